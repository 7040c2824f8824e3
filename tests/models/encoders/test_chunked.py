"""A batch that passes the encoder in chunks is the whole batch, in less memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.encoders import ENCODERS, Encoder
from models.precision import autocast
from study import ConfigError, TrialConfig
from study.planning.resolve import resolve
from study.trial.trial import Trial
from tests.models.test_ranks import CLOSE, contrasts, in_chunks, numbers, references, unmixed


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors that were made within and are held at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.peak, self._held = 0, dict[StorageWeakRef, int]()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        made = function(*arguments, **(named or {}))
        self._held = {ref: size for ref, size in self._held.items() if not ref.expired()}
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._held[StorageWeakRef(tensor.untyped_storage())] = tensor.untyped_storage().nbytes()
        self.peak = max(self.peak, sum(self._held.values()))
        return made


def deep(chunk: int | None) -> Encoder:
    """Ten layers over 64 positions of 16 channels, that draw: far more activations than weights."""
    torch.manual_seed(0)
    layers = [layer for _ in range(10) for layer in (nn.Linear(16, 16), nn.GELU(), nn.Dropout(0.1))]
    encoder = Encoder(nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 4)), feature_dim=4, modality="image")
    encoder.chunk = chunk
    return encoder


def inputs(count: int) -> Tensor:
    return torch.randn(count, 64, 16, generator=torch.Generator().manual_seed(0))


def gradients(encoder: nn.Module) -> list[Tensor]:
    return [p.grad for p in encoder.parameters() if p.grad is not None]


def check(trials: dict[str, Trial], cache: Path) -> None:
    whole, chunked = (numbers({n: in_chunks(t, size) for n, t in trials.items()}, cache, 1) for size in (None, 5))
    for name, expected in whole.items():
        assert any(n.startswith("step 1 gradient of encoder") for n in expected), name
        for n, value in expected.items():
            np.testing.assert_allclose(chunked[name][n], value, rtol=CLOSE, atol=CLOSE, err_msg=f"{name}: {n}")


def test_losses_and_gradients_in_chunks_are_those_of_the_whole_batch(cache: Path) -> None:
    check(
        {n: t for n, t in references().items() if n.split()[0] in ("simclr", "swav", "moco", "supcon", "byol")}, cache
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_losses_and_gradients_of_every_method_and_strategy_in_chunks_are_those_of_the_whole_batch(cache: Path) -> None:
    check(references() | contrasts((None,), ["simclr", "moco"]), cache)


def test_layers_that_draw_have_the_same_draws_when_they_are_computed_again() -> None:
    chunked, plain, x = deep(8), deep(None), inputs(32)
    torch.manual_seed(1)
    torch.logsumexp(chunked(x), dim=0).sum().backward()
    torch.manual_seed(1)
    features = torch.cat([plain(part) for part in x.split(8)])
    torch.logsumexp(features, dim=0).sum().backward()
    assert len(gradients(chunked)) == 22
    torch.testing.assert_close(gradients(chunked), gradients(plain), rtol=0, atol=0)


def test_activations_of_one_chunk_are_held_at_a_time() -> None:
    x, peaks = inputs(256), {}
    for chunk in (None, 64, 16):
        encoder = deep(chunk)
        for p in encoder.parameters():
            p.grad = torch.zeros_like(p)
        with Held() as held:
            torch.logsumexp(encoder(x), dim=0).sum().backward()
        peaks[chunk] = held.peak / x.nbytes  # in activations of one layer
    assert peaks[None] > 20, "of each layer its input and GELU's, at least"
    assert peaks[64] < peaks[None] / 3
    assert peaks[16] < peaks[64] / 2


def test_chunks_go_with_arithmetic_in_bfloat16() -> None:
    x, found = inputs(32), {}
    for chunk in (None, 8):
        encoder = deep(chunk).train()
        for layer in encoder.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        with autocast("bfloat16", torch.device("cpu")):
            features = encoder(x)
        torch.logsumexp(features.float(), dim=0).sum().backward()
        found[chunk] = gradients(encoder)
    torch.testing.assert_close(found[8], found[None], rtol=0.02, atol=1e-3)


def test_an_encoder_that_mixes_the_examples_of_a_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="encoder_chunk: conv-small mixes the examples of a batch, as batch normal"):
        resolve(TrialConfig(encoder_chunk=16))
    with pytest.raises(
        ConfigError, match="encoder_chunk: input should be greater than or equal to 1, or left out, got 0"
    ):
        TrialConfig(encoder_chunk=0)


def test_an_encoder_that_mixes_none_takes_chunks_which_are_part_of_a_trials_identity() -> None:
    ENCODERS.register("unmixed", modality="image")(unmixed)
    try:
        whole, chunked = (resolve(TrialConfig(encoder="unmixed", **more)) for more in ({}, {"encoder_chunk": 16}))
    finally:
        del ENCODERS._entries["unmixed"]
    assert chunked.identity == {**whole.identity, "encoder_chunk": 16}

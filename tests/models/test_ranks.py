"""A step that two ranks share is the step of one process with the whole batch, for whatever the registries hold."""

import functools
import io
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from models.augment import NoAugmentation, SimCLRViews
from models.contrast import StepContext
from models.encoders.shared import share
from models.methods import METHODS, Batch
from models.multi_crop import small_views
from models.objectives import OBJECTIVES
from models.ranks import WHOLE, average_gradients, own_share
from study import ConfigError, TrialConfig
from study.data import Dataset, Split
from study.data.images.packed import Packed
from study.planning.resolve import Resolver
from study.trial import views
from study.trial.learner import learner_of
from study.trial.training import Training
from study.trial.trial import Trial
from tests.models.methods.test_conformance import VARIANTS
from tests.models.test_every_combination import SMALL, TINY, WIDE, candidates_for, component, strategies
from tests.ranks import RANKS, Pair

pytestmark = pytest.mark.timeout(900)  # on a busy machine the imports of two processes take minutes

STEPS = 2
"""The second meets what the first left: weights, running statistics, a queue or bank."""
CLOSE = 1e-10

NEGATIVES = strategies()
"""As they are when tests are collected, without what another test registers."""

Numbers = dict[str, np.ndarray[Any, np.dtype[np.float64]]]
RESOLVER = Resolver()


def resolved(**config: Any) -> Trial:
    data = {"name": "shapes", "train_size": 64, "test_size": 20}
    encoder = {"name": "conv-small", "width": 2}
    return RESOLVER.resolve(TrialConfig(**{**TINY, "data": data, "encoder": encoder, **config}))


def references() -> dict[str, Trial]:
    """Every method, with its authors' head; those with negatives with all candidates."""
    head = {"name": "mlp", "dim": 16}
    multi_crop = {"augmentation": {"name": "multi-crop", "small_views": 3}, "head": head}
    return {
        f"{name} {params}": resolved(method=component(name, SMALL.get(name, {}), params), head=head)
        for name, params in [*VARIANTS, ("moco", {"batch_norm": "shuffle", "parts": 4})]
    } | {
        "simclr with small views": resolved(objective="hard", **multi_crop),
        "swav with small views": resolved(method=component("swav", SMALL["swav"]), **multi_crop),
    }


def contrasts(objectives: tuple[str | None, ...], names: list[str]) -> dict[str, Trial]:
    """Every strategy with these methods and objectives, as far as a config allows."""
    found = {}
    for name, negatives, objective in itertools.product(names, NEGATIVES, objectives):
        k = candidates_for(negatives)
        if k > 24 and name != "moco":
            continue
        method = component(name, {"queue_size": 1100} if k > 24 else SMALL.get(name, {}))
        loss = None if objective is None else component(objective, WIDE.get(objective, {}))
        with suppress(ConfigError):
            trial = resolved(method=method, negatives=negatives, objective=loss, k=k)
            found[f"{name}, {negatives}, {objective}"] = trial
    return found


def unmixed() -> nn.Module:
    """An encoder that takes each example by itself."""
    layers = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.GroupNorm(2, 4), nn.GELU(), nn.AdaptiveAvgPool2d(2)
    return nn.Sequential(*layers, nn.Flatten())


def in_chunks(trial: Trial, size: int | None) -> Trial:
    """The trial with such an encoder, of that many inputs at a time."""
    parts = replace(trial.parts, encoder=functools.partial(unmixed))
    return replace(trial, parts=parts, config={**trial.config, "encoder_chunk": size})


def numbers(trials: dict[str, Trial], cache: Path, ranks: int) -> dict[str, Numbers]:
    """Losses, gradients, weights and buffers of each after its steps, in float64."""
    torch.set_num_threads(1)
    data = next(iter(trials.values())).parts.data.load(cache)
    return {name: _numbers(trial, data, ranks) for name, trial in trials.items()}


def _numbers(trial: Trial, data: Dataset, ranks: int) -> Numbers:
    semantics = trial.parts.meaning.semantics(data.classes)
    learner = learner_of(trial, data, semantics, steps=STEPS, device=torch.device("cpu"), ranks=ranks).double()
    optimizer = torch.optim.SGD([p for p in learner.parameters() if p.requires_grad], lr=0.1)
    draw, draw_views = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    size, found = trial.config["batch_size"], {}
    for step in range(STEPS):
        drawn = functools.partial(torch.randn, generator=draw_views, dtype=torch.float64)
        full = tuple(drawn(size, 3, 8, 8) for _ in range(trial.parts.method.views))
        small = tuple(drawn(size, 3, 4, 4) for _ in range(small_views(trial.parts.augmentation).number))
        instance = torch.arange(size * step, size * (step + 1)) % len(data.train)
        own = own_share() if ranks > 1 and trial.parts.method.rows_apart else WHOLE
        full, small = (tuple(map(own.of, of)) for of in (full, small))
        batch = Batch(full, instance, torch.tensor(data.train.labels)[instance], small)
        made = learner.step(batch, StepContext(draw, 0.3, epoch=0, epochs=1, observe=True, step=step))
        optimizer.zero_grad(set_to_none=True)
        made.loss.backward()
        if ranks > 1:
            average_gradients(learner.parameters())
        optimizer.step()
        learner.after_step((step + 1) / STEPS)
        found |= {f"step {step} loss": made.loss} | {f"step {step} {n}": value for n, value in made.observed.items()}
        found |= {f"step {step} gradient of {n}": p.grad for n, p in learner.named_parameters() if p.grad is not None}
    found |= learner.state_dict()
    return {name: value.detach().double().numpy() for name, value in found.items()}


@dataclass(frozen=True, kw_only=True)
class Plain:
    """An augmentation that begins with a crop and knows of no ranks."""

    min_scale: float = 0.5

    def __call__(self, inputs: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
        raise NotImplementedError("its crops are made for it")

    def after_crop(self, inputs: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
        brightness = torch.rand(len(inputs), generator=generator)
        return NoAugmentation()(inputs) * brightness[:, None, None, None]


def whole_trials() -> dict[str, Trial]:
    """Every method with the augmentation that has most to draw, one with an augmentation that knows of no ranks."""
    trials = {
        name: trial
        if small_views(trial.parts.augmentation).number
        else with_views(trial, SimCLRViews(blur_probability=0.5))
        for name, trial in references().items()
    }
    return trials | {"plain": with_views(resolved(), Plain())}


def with_views(trial: Trial, augmentation: Any) -> Trial:
    return replace(trial, parts=replace(trial.parts, augmentation=augmentation))


class Epoch(NamedTuple):
    """Of a rank."""

    loss: float
    weights: np.ndarray[Any, np.dtype[np.float64]]
    decoded: list[int]
    """the images, each as often as it was"""


def epochs(cache: Path, ranks: int) -> dict[str, Epoch]:
    """An epoch's training of each in float64, of the images' files and of arrays."""
    found = {}
    for name, trial in whole_trials().items():
        data = trial.parts.data.load(cache)
        found[name] = _epoch(trial, replace(data, train=packed(data.train)), ranks)
        if name.startswith(("simclr with", "imix", "supervised")):
            found[f"{name}, arrays"] = _epoch(trial, data, ranks)
    return found


def packed(split: Split) -> Split:
    """The same images as the bytes of their files."""
    files = []
    for image in split.take(slice(None)):
        Image.fromarray(image).save(file := io.BytesIO(), "PNG")
        files.append(file.getvalue())
    ends = np.cumsum([0, *map(len, files)])
    content = np.frombuffer(b"".join(files), np.uint8)
    return Split(Packed(content, np.stack([ends[:-1], ends[1:]], axis=1), split.inputs.shape[1]), split.labels)


def _epoch(trial: Trial, data: Dataset, ranks: int) -> Epoch:
    decoded: list[int] = []
    image, view_of = Packed.image, views.view_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Packed, "image", lambda of, row: decoded.append(row) or image(of, row))
        patch.setattr(views, "view_of", lambda *given, **named: view_of(*given, **named).double())
        trial = replace(trial, config={**trial.config, "precision": "float32"})
        training = Training(trial, data, torch.device("cpu"), ranks=ranks)
        training.learner.double()
        loss = training.train_epoch()["train.loss"]
    weights = torch.cat([p.detach().flatten() for p in training.learner.encoder.parameters()])
    return Epoch(loss, weights.numpy(), sorted(decoded))


def check_epochs(by_one: dict[str, Epoch], *by_rank: dict[str, Epoch]) -> None:
    """Each rank's is that of one process, of half of the files."""
    for name, expected in by_one.items():
        for found in (epochs[name] for epochs in by_rank):
            assert found.loss == pytest.approx(expected.loss, rel=CLOSE, abs=CLOSE), name
            np.testing.assert_allclose(found.weights, expected.weights, rtol=CLOSE, atol=CLOSE, err_msg=name)
        decoded = [epochs[name].decoded for epochs in by_rank]
        if name.endswith("arrays"):
            assert decoded == [[], []]
        elif name.startswith(("imix", "unmix", "plain")) or "shuffle" in name:
            assert decoded == [expected.decoded] * 2, name
        else:
            assert sorted(decoded[0] + decoded[1]) == expected.decoded == list(range(64)), name
            assert len(decoded[0]) == len(decoded[1]) == 32, name


def shared(trials: dict[str, Trial], cache: Path) -> tuple[dict[str, Numbers], list[Any], dict[str, Epoch]]:
    """These of a rank; features of an encoder that draws, with a number drawn after it; and epochs."""
    torch.manual_seed(0)
    dropout = nn.Dropout(0.5)
    share(dropout)
    drawn = [dropout(torch.ones(8, 32)).tolist(), torch.rand(1).item()]
    return numbers(trials, cache, RANKS), drawn, epochs(cache, RANKS)


def check(trials: dict[str, Trial], cache: Path, folder: Path) -> None:
    with Pair(folder, shared, trials, cache) as pair:
        alone, by_one = numbers(trials, cache, 1), epochs(cache, 1)
        (first, drawn, by_first), (second, also, by_second) = pair.results()
    assert drawn == also, "features, and draws that follow, are the same on all ranks"
    assert drawn[0][:4] != drawn[0][4:], "no two shares have the draws of one"
    for name, expected in alone.items():
        assert any(n.startswith("step 1 gradient of encoder") for n in expected), name
        for rank, found in enumerate((first, second)):
            assert found[name].keys() == expected.keys()
            for n, value in expected.items():
                np.testing.assert_allclose(
                    found[name][n], value, rtol=CLOSE, atol=CLOSE, err_msg=f"{name}: {n} of rank {rank}"
                )
    check_epochs(by_one, by_first, by_second)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_method_and_strategy_over_two_ranks_is_that_of_one_process(cache: Path, tmp_path: Path) -> None:
    methods = references()
    chunks = {f"{name}, in chunks": in_chunks(trial, 5) for name, trial in list(methods.items())[:3]}
    check(methods | chunks | contrasts((None,), ["moco"]), cache, tmp_path)


@pytest.mark.slow
def test_every_combination_over_two_ranks_is_that_of_one_process(cache: Path, tmp_path: Path) -> None:
    names = [name for name in METHODS.names() if METHODS.trait(name, "has_negatives")]
    check(contrasts((None, *OBJECTIVES.names()), names), cache, tmp_path)

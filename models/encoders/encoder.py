"""Encoders f: from an input to features h [B, feature_dim].

An image encoder takes float [B, 3, H, W] in channels_last, a text encoder token ids [B, L] with 0 = padding.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from models.encoders.chunked import in_chunks
from models.encoders.small_maps import multiply_small_maps
from models.registry import Registry

ENCODERS = Registry("encoder")
"""Entries are `build(**parameters) -> nn.Module`, registered with the trait `modality`: "image" or "text".

The module is an `Encoder`, or any other that gives features [B, F], whose width is then found with `as_encoder`. An
entry that takes `input_size` or `vocabulary_size` is given the data's. Further traits:

- `files`: parameters that name a file; its content is part of a trial's identity, and its path is not.
- `by_size`: parameter → a function of the size (H, W) and the entry's parameters, that decides it where it is "auto".
- `as_before`: parameter → what was done before there was one: trials that have that value keep the ids they had.
- `any_size`: whether all parameters and image sizes go together, so that a plan need not try.
"""

Built = TypeVar("Built")


class Encoder(nn.Module):
    """Layers, with the width of the features that leave them and the kind of input they read."""

    chunk: int | None = None
    """inputs that a training takes through the layers at a time; by default all"""

    def __init__(self, layers: nn.Module, *, feature_dim: int, modality: Literal["image", "text"]) -> None:
        super().__init__()
        self.layers = layers
        self.feature_dim = feature_dim
        self.modality = modality
        if modality == "image":
            self.to(memory_format=torch.channels_last)
            multiply_small_maps(layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs to features h [B, feature_dim]."""
        if self.training and self.chunk is not None:
            return in_chunks(self.layers, inputs, self.chunk)
        return self.layers(inputs)


def as_encoder(network: Any, example: Tensor) -> Encoder:
    """The encoder that a module is: an `Encoder` as it is, another with the width of what it makes of an example.

    ValueError for what is no module, or makes no features [B, F].
    """
    if isinstance(network, Encoder):
        return network
    if not isinstance(network, nn.Module):
        raise ValueError(f"an encoder is a torch.nn.Module, not a {type(network).__name__}")
    training = network.training
    with torch.no_grad():
        features = network.eval()(example)
    network.train(training)
    if not isinstance(features, Tensor):
        raise ValueError(f"it returns a {type(features).__name__}, not features [B, F]; return one tensor")
    if features.ndim != 2 or len(features) != len(example):
        raise ValueError(
            f"it makes {list(features.shape)} of {list(example.shape)}, not features [B, F]; pool, flatten"
        )
    return Encoder(network, feature_dim=features.shape[1], modality="text" if example.ndim == 2 else "image")


def example(size: Sequence[int], *, count: int = 2, device: torch.device | str | None = None) -> Tensor:
    """Zeros in the form of a batch: float [count, 3, H, W] for a size (H, W), token ids [count, L] for (L,)."""
    if len(size) == 1:
        return torch.zeros(count, *size, dtype=torch.int32, device=device)
    return torch.zeros(count, 3, *size, device=device).to(memory_format=torch.channels_last)


def seeded(build: Callable[[], Built], *, seed: int) -> Built:
    """Return what `build` returns with initial weights drawn from `seed`: `seeded(lambda: mlp(512), seed=1)`.

    torch's initialisers draw from the CPU's global generator; it is seeded for the call and put back afterwards.
    Build on the CPU and move the module then: every device starts from the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return build()

"""Encoders f: from an input to features h [B, feature_dim].

An image encoder takes float [B, 3, H, W] in channels_last, a text encoder token ids [B, L] with 0 = padding.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from models.registry import Registry

ENCODERS = Registry("encoder")
"""Entries are `build(**parameters) -> Encoder`, registered with the trait `modality`: "image" or "text"."""

Built = TypeVar("Built")


class Encoder(nn.Module):
    """Layers, with the width of the features that leave them and the kind of input they read."""

    def __init__(self, layers: nn.Module, *, feature_dim: int, modality: Literal["image", "text"]) -> None:
        super().__init__()
        self.layers = layers
        self.feature_dim = feature_dim
        self.modality = modality
        if modality == "image":
            self.to(memory_format=torch.channels_last)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs to features h [B, feature_dim]."""
        return self.layers(inputs)


def seeded(build: Callable[[], Built], *, seed: int) -> Built:
    """Return what `build` returns with initial weights drawn from `seed`: `seeded(lambda: mlp(512), seed=1)`.

    torch's initialisers draw from the CPU's global generator; it is seeded for the call and put back afterwards.
    Build on the CPU and move the module then: every device starts from the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return build()


@ENCODERS.register("conv-small", modality="image")
def conv_small(*, width: int = 32) -> Encoder:
    """Four strided convolutions, 8·width features: learns much per CPU second on 32×32 images."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}; give for instance width=32")
    layers = nn.Sequential(
        *_halve(3, width, kernel=4),
        *_halve(width, 2 * width, kernel=3),
        *_halve(2 * width, 4 * width, kernel=3),
        *_halve(4 * width, 8 * width, kernel=3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return Encoder(layers, feature_dim=8 * width, modality="image")


def _halve(inputs: int, outputs: int, *, kernel: int) -> list[nn.Module]:
    """Half the height and width, by stride instead of pooling: no convolution runs at full size."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


@ENCODERS.register("resnet18", modality="image")
def resnet18() -> Encoder:
    """ResNet-18 with the stem for 32×32 images; 512 features."""
    return _resnet("resnet18")


@ENCODERS.register("resnet50", modality="image")
def resnet50() -> Encoder:
    """ResNet-50 with the stem for 32×32 images; 2048 features."""
    return _resnet("resnet50")


def _resnet(name: str) -> Encoder:
    """He et al. 2015, arXiv 1512.03385; stem of SimCLR's CIFAR recipe (2002.05709 §B.9): 3×3, stride 1, no max-pool."""
    from torchvision.models import get_model  # seconds to import

    net = get_model(name, weights=None)
    feature_dim = net.fc.in_features
    net.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's own
    net.maxpool = nn.Identity()
    net.fc = nn.Identity()
    return Encoder(net, feature_dim=feature_dim, modality="image")


@ENCODERS.register("bag-of-embeddings", modality="text")
def bag_of_embeddings(*, vocabulary_size: int = 0, dim: int = 128) -> Encoder:
    """Text: the mean of its tokens' embeddings; padding does not count, a text without tokens is the zero vector.

    `vocabulary_size` counts the padding; 0 stands for the data set's, which the caller fills in.
    """
    if vocabulary_size < 2:
        raise ValueError(f"vocabulary_size must be at least 2 (padding and a token), got {vocabulary_size}")
    if dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}; give for instance dim=128")
    layers = nn.EmbeddingBag(vocabulary_size, dim, mode="mean", padding_idx=0)
    return Encoder(layers, feature_dim=dim, modality="text")

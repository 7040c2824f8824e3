"""Residual networks, with a stem for the size of the images."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import nn

from models.encoders.encoder import ENCODERS, Encoder

Stem = Literal["auto", "cifar", "imagenet"]
"""Layers before the residual blocks: "cifar", a 3×3 convolution of stride 1, keeps the size of the images; "imagenet",
a 7×7 of stride 2 and a max-pool, quarters it, for a sixteenth of the blocks' work."""

SMALL = 64
"""Pixels of a side up to which "auto" is "cifar": the last block then sees at most 8×8."""


def stem_for(size: Sequence[int], parameters: Mapping[str, Any]) -> Stem:
    """The stem for images of a size (H, W): "cifar" for small ones."""
    return "cifar" if max(size) <= SMALL else "imagenet"


_TRAITS: dict[str, Any] = {
    "modality": "image",
    "by_size": {"stem": stem_for},
    "as_before": {"stem": "cifar"},
    "any_size": True,
}


@ENCODERS.register("resnet18", **_TRAITS)
def resnet18(*, stem: Stem = "auto", input_size: tuple[int, int] = (32, 32)) -> Encoder:
    """ResNet-18 with the stem for 32×32 images up to 64 pixels, else ImageNet's; 512 features."""
    return _resnet("resnet18", stem, input_size)


@ENCODERS.register("resnet50", **_TRAITS)
def resnet50(*, stem: Stem = "auto", input_size: tuple[int, int] = (32, 32)) -> Encoder:
    """ResNet-50 with the stem for 32×32 images up to 64 pixels, else ImageNet's; 2048 features."""
    return _resnet("resnet50", stem, input_size)


def _resnet(name: str, stem: Stem, size: Sequence[int]) -> Encoder:
    """He et al. 2015, arXiv 1512.03385."""
    from torchvision.models import get_model  # seconds to import

    net = get_model(name, weights=None)
    feature_dim = net.fc.in_features
    if (stem_for(size, {}) if stem == "auto" else stem) == "cifar":
        keep_size(net)
    net.fc = nn.Identity()
    return Encoder(net, feature_dim=feature_dim, modality="image")


def keep_size(net: Any) -> None:
    """Give a ResNet of torchvision the stem of SimCLR's CIFAR recipe (2002.05709 §B.9): 3×3, stride 1, no max-pool."""
    net.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's own
    net.maxpool = nn.Identity()

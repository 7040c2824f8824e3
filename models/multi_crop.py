"""Multi-crop: beside its full views, small views of an image, of small parts of it at a lower resolution.

Source: Caron et al. 2020, 2006.09882, section 3.2. On ImageNet: 2 views of 160 or 224 pixels and 4 or 6 of 96.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from models.augment import AUGMENTATIONS, SimCLRViews, random_crops, to_planes
from models.ranks import WHOLE, Share


@dataclass(frozen=True, kw_only=True)
class SmallCrops:
    """Random crops of small parts, at a size of their own, flipped with probability ½; then the rest of a recipe."""

    size: int
    """Side of the views, in pixels."""
    min_scale: float
    """Least area of a crop, as a share of the image's area."""
    max_scale: float
    """Greatest area of a crop."""
    rest: Callable[[Tensor, torch.Generator, Share], Tensor]
    """From planes [3, B, size, size] to float32 [B, 3, size, size]."""

    def __call__(self, inputs: Tensor, *, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
        """uint8 [B, H, W, 3] to float32 [B, 3, size, size] in channels_last, normalised."""
        planes, scale = to_planes(inputs), {"min_scale": self.min_scale, "max_scale": self.max_scale}
        boxes, flip = random_crops(planes, **scale, generator=generator, share=share)
        return self.rest(crop_to(planes, boxes, flip, self.size), generator, share)

    def after_crop(self, inputs: Tensor, *, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
        """The rest, of images uint8 [B, size, size, 3] that are cropped and flipped already."""
        return self.rest(to_planes(inputs), generator, share)


@runtime_checkable
class GivesSmallViews(Protocol):
    """An augmentation that gives small views beside its full ones: one's own may, too."""

    small_views: int
    """Number of small views of an example."""
    small: SmallCrops
    """Makes one of them."""


@AUGMENTATIONS.register("multi-crop")
@dataclass(frozen=True, kw_only=True)
class MultiCrop(SimCLRViews):
    """SimCLR's views and further small ones of parts of the image, at a lower resolution (SwAV's multi-crop).

    Crops of full views have an area of U(min_scale, 1) of the image, those of small views U(small_min_scale,
    small_max_scale); the rest of the recipe is the same. A blur is in pixels of either. Small views are of a training's
    steps alone: evaluations see full ones. Source: Caron et al. 2020, 2006.09882, whose shares are the defaults.
    """

    min_scale: float = 0.14
    """Least area of a full view's crop, as a share of the image's area; in (0, 1]."""
    small_views: int = 4
    """Small views of an example; 0: none."""
    small_size: int = 16
    """Side of a small view in pixels, below that of the images; for ImageNet's 224, SwAV uses 96."""
    small_min_scale: float = 0.05
    """Least area of a small view's crop; in (0, 1]."""
    small_max_scale: float = 0.14
    """Greatest area of a small view's crop; from small_min_scale to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.small_views < 0:
            raise ValueError(f"small_views must be 0 (none) or more, got {self.small_views}; SwAV uses small_views=4")
        if self.small_size < 1:
            raise ValueError(f"small_size must be at least 1, got {self.small_size}; give for instance small_size=16")
        if not 0 < self.small_min_scale <= self.small_max_scale <= 1:
            raise ValueError(
                "shares must hold 0 < small_min_scale <= small_max_scale <= 1, got "
                f"{self.small_min_scale} and {self.small_max_scale}; SwAV uses 0.05 and 0.14"
            )

    @property
    def small(self) -> SmallCrops:
        """Makes a small view."""
        return SmallCrops(
            size=self.small_size,
            min_scale=self.small_min_scale,
            max_scale=self.small_max_scale,
            rest=self._recoloured,
        )


class Small(NamedTuple):
    """Small views of an example."""

    number: int = 0
    size: int = 0
    """side in pixels"""


def small_views(augmentation: Any) -> Small:
    """The small views that an augmentation gives of an example."""
    gives = isinstance(augmentation, GivesSmallViews) and augmentation.small_views > 0
    return Small(augmentation.small_views, augmentation.small.size) if gives else Small()


def work_in_views(full: int, augmentation: Any, size: tuple[int, ...]) -> float:
    """Full views of images of that size (H, W) that have as many pixels as an example's full and small ones."""
    small = small_views(augmentation)
    return full + small.number * small.size**2 / math.prod(size) if small.number else full


def crop_to(planes: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Each sample's crop resized to a square by anti-aliased bilinear interpolation, flipped where `flip`.

    planes [3, B, H, W], boxes [B, 4] (top, left, height, width), flip bool [B] → [3, B, size, size]. At the image's own
    size, where no crop shrinks, `resized_crop` does the same with fewer operations.
    """
    top, left, height, width = boxes.unbind(dim=1)
    rows = _weights(top, height, planes.shape[2], size)  # [B, size, H]
    columns = _weights(left, width, planes.shape[3], size)  # [B, size, W]
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    return rows @ planes @ columns.mT


def _weights(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """Matrices [B, size, side] that resize the pixels start … start + length − 1 to `size` ones: a triangle each."""
    pixel = torch.arange(side, device=start.device, dtype=start.dtype)
    at = torch.arange(size, device=start.device, dtype=start.dtype)
    step = length / size
    centre = start[:, None] + (at + 0.5) * step[:, None] - 0.5  # [B, size]
    weight = 1 - (centre[:, :, None] - pixel).abs_() / step.clamp(min=1)[:, None, None]
    outside = (pixel < start[:, None]) | (pixel >= (start + length)[:, None])  # [B, side]
    weight = weight.clamp_(min=0).masked_fill_(outside[:, None], 0)
    return weight / weight.sum(dim=2, keepdim=True)

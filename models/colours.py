"""Colours of images that are planes [3, B, H, W] in [0, 1]: a factor for each sample, all in place.

The operators are those of `torchvision.transforms.v2.functional`. Each colour is one contiguous block, on which a CPU's
arithmetic is fast, and what is overwritten is in its cache already.
"""

import math

import torch
from torch import Tensor

from models.blocks import row_blocks

RED, GREEN, BLUE = 0.2989, 0.587, 0.114
"""Shares of the colours in the luma of ITU-R BT.601."""

CACHED = 2**15
"""Pixels that a CPU works on at a time where much is made on the way, so that all of it is cached."""


def adjust_brightness(planes: Tensor, factor: Tensor) -> Tensor:
    """factor · x, clamped to [0, 1]; factor [B]."""
    return planes.mul_(factor[:, None, None]).clamp_(0, 1)


def adjust_contrast(planes: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean of the sample's grey: factor · x + (1 − factor) · mean, clamped; factor [B]."""
    mean = grey_of(planes.mean(dim=(2, 3)))
    return planes.mul_(factor[:, None, None]).add_(((1 - factor) * mean)[:, None, None]).clamp_(0, 1)


def adjust_saturation(planes: Tensor, factor: Tensor) -> Tensor:
    """Blend with grey: factor · x + (1 − factor) · grey, clamped; factor [B], 0 = grey."""
    return planes.lerp_(grey_of(planes), (1 - factor)[:, None, None]).clamp_(0, 1)


def adjust_hue(planes: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of the HSV colour by `shift` turns, shift [B] on the CPU; value and chroma stay.

    A colour moves along the hexagon of Smith (1978), whose sides have the length of the chroma c = max − min. By a part
    e ≥ 0 of a side red becomes r − g + max(min(g, max − e c), min(b, min + e c)), clamped to [min, max], and so on
    around; by e < 0 green and blue exchange their parts in it. No hue is computed, and no case told apart. Further
    turns than a side are made of equal ones.
    """
    turns = max(math.ceil(6 * shift.abs().max()), 1)
    part = 6 * shift / turns
    sides = torch.stack([part.abs(), (part >= 0).to(part.dtype)])[:, :, None, None]
    sides = sides.to(planes.device, non_blocking=True)
    for at in row_blocks(planes.shape[1:], planes.device, block=CACHED):
        for _ in range(turns):
            _turn(planes[:, at], *sides[:, at])
    return planes


def grey_of(planes: Tensor) -> Tensor:
    """Luma: [3, …] to […]."""
    r, g, b = planes
    return (RED * r).add_(g, alpha=GREEN).add_(b, alpha=BLUE)


def _turn(planes: Tensor, part: Tensor, forth: Tensor) -> None:
    """Turn the hue by that part of a side, [B, 1, 1] in [0, 1], from red to green where `forth` is 1, else back, 0."""
    r, g, b = planes
    low, high = torch.minimum(r, g), torch.maximum(r, g)
    torch.minimum(low, b, out=low), torch.maximum(high, b, out=high)
    step = torch.sub(high, low).mul_(part)
    falling, rising = torch.sub(high, step), step.add_(low)
    most_after, most_before = torch.lerp(rising, falling, forth), torch.lerp(falling, rising, forth)
    turned, other = torch.empty_like(planes), torch.empty_like(r)
    for out, own, after, before in zip(turned, (r, g, b), (g, b, r), (b, r, g), strict=True):
        torch.minimum(after, most_after, out=out)
        torch.minimum(before, most_before, out=other)
        torch.maximum(out, other, out=out)
        out.sub_(torch.lerp(before, after, forth, out=other)).add_(own)
        torch.clamp(out, low, high, out=out)
    planes.copy_(turned)

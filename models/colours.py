"""Colours of images that are planes [3, B, H, W] in [0, 1]: a factor for each sample, all in place.

The operators are those of `torchvision.transforms.v2.functional`. Each colour is one contiguous block, on which a CPU's
arithmetic is fast, and what is overwritten is in its cache already.
"""

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
    """Turn the hue of the HSV colour by `shift` turns, shift [B] in [−½, ½], given on the CPU; value and chroma stay.

    In sixths of a turn a shift is 2k + e, k an integer and |e| ≤ 1. A turn by 2 takes red to green, green to blue and
    blue to red. A turn by e ≥ 0 moves a colour along the hexagon of Smith (1978), whose sides have the length of the
    chroma c = max − min: red becomes r − g + max(min(g, max − e c), min(b, min + e c)), clamped to [min, max], and so
    on around; a turn by e < 0 is one by −e with green and blue exchanged. No hue is computed and no case told apart.
    """
    moved = shift.nonzero().squeeze(1)
    *rows, part = _sixths(shift, moved)
    flat = planes.view(-1, *planes.shape[2:])  # [3 B, H, W]
    taken, put, part = (x.to(planes.device, non_blocking=True) for x in (*rows, part[:, None, None]))
    for at in row_blocks(torch.Size([len(moved), *planes.shape[2:]]), planes.device, block=CACHED):
        turned = _turn(flat.index_select(0, taken[:, at].flatten()).unflatten(0, (3, -1)), part[at])
        flat[put[:, at].flatten()] = turned.flatten(0, 1)
    return planes


def grey_of(planes: Tensor) -> Tensor:
    """Luma: [3, …] to […]."""
    r, g, b = planes
    return (RED * r).add_(g, alpha=GREEN).add_(b, alpha=BLUE)


def _sixths(shift: Tensor, moved: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of M samples that are moved: rows int64 [3, M] among the 3 B planes, to be turned and to be put; and |e|, [M]."""
    thirds = (3 * shift[moved]).round()
    rest = 6 * shift[moved] - 2 * thirds
    colours = torch.arange(3)[:, None]
    put = torch.where(rest < 0, -colours, colours).remainder(3)  # green and blue exchanged, or not
    taken = (put - thirds.long()).remainder(3)
    return taken * len(shift) + moved, put * len(shift) + moved, rest.abs()


def _turn(planes: Tensor, part: Tensor) -> Tensor:
    """The hue turned by that part of a sixth, [B, 1, 1] in [0, 1], from red towards green: [3, B, H, W], new."""
    r, g, b = planes
    low, high = torch.minimum(r, g), torch.maximum(r, g)
    torch.minimum(low, b, out=low), torch.maximum(high, b, out=high)
    step = torch.sub(high, low).mul_(part)
    falling = torch.sub(high, step)
    rising = step.add_(low)
    turned, other = torch.empty_like(planes), torch.empty_like(r)
    for out, own, after, before in zip(turned, (r, g, b), (g, b, r), (b, r, g), strict=True):
        torch.minimum(after, falling, out=out)
        torch.minimum(before, rising, out=other)
        torch.maximum(out, other, out=out).sub_(after).add_(own)
        torch.clamp(out, low, high, out=out)
    return turned

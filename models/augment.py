"""Augmentation of whole batches: parameters of their own for every sample, drawn from a generator, applied on device.

Random numbers come from a generator of the CPU and are sent to the device: views are the same on every device, and
nothing waits for it. An augmentation that takes a `share` may be given a rank's rows of a batch: it draws for the whole
batch, and applies to these what is theirs, so that the ranks' views together are those of one process.

torchvision's v2 transforms draw one set of parameters a call, so a batch would share one crop; here a call draws B
of them. The operators are those of `torchvision.transforms.v2.functional` on float images in [0, 1]. Inside, images
are planes [3, B, H, W]: see `models.colours`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.blocks import row_blocks
from models.colours import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, grey_of
from models.ranks import WHOLE, Share
from models.registry import Registry, added

AUGMENTATIONS = Registry("augmentation")

PADDING = 0
"""The token id that stands for no token."""

MEAN, STD = 0.5, 0.25
"""Images leave as (x − MEAN) / STD, x in [0, 1]; the same for every data set, so that their trials compare."""

RATIO = (3 / 4, 4 / 3)
"""Range of a crop's width / height, log-uniform."""

ATTEMPTS = 10
"""How often a crop's box is drawn until one fits."""
NUMBERS_OF_BOX = 2 * ATTEMPTS + 2
"""Random numbers that a box is made of: area and ratio of each attempt, and where it lies."""

AT_ONCE = 2**18
"""Pixels of samples that a CPU changes at a time: less memory than for all, and of 224 pixels a side less time."""


@runtime_checkable
class Cropping(Protocol):
    """An augmentation that begins with a random resized crop and a flip, which may be made for it.

    One with an attribute `max_scale`, the greatest area of a crop, or `size`, the side of what it makes, is given such
    crops; without them an area of up to 1, at the images' size. It may take a `share` as the ones here do.
    """

    min_scale: float
    """Least area of a crop, as a share of the image's area."""

    def after_crop(self, inputs: Tensor, *, generator: torch.Generator) -> Tensor:
        """The rest, of images uint8 [B, H, W, 3] that are cropped and flipped already."""


@AUGMENTATIONS.register("none")
@dataclass(frozen=True, kw_only=True)
class NoAugmentation:
    """No change: images are only normalised, token ids pass as they are (used for every evaluation)."""

    modality: ClassVar[str] = "any"

    def __call__(self, inputs: Tensor, *, generator: torch.Generator | None = None, share: Share = WHOLE) -> Tensor:
        """uint8 [B, H, W, 3] to float32 [B, 3, H, W]; token ids [B, L] as they are."""
        return inputs if inputs.ndim == 2 else to_input(to_planes(inputs))


@AUGMENTATIONS.register("crop-flip")
@dataclass(frozen=True, kw_only=True)
class CropFlip:
    """Random resized crop (bilinear) and horizontal flip."""

    modality: ClassVar[str] = "image"

    min_scale: float = 0.08
    """Least area of a crop, as a share of the image's area; in (0, 1]."""

    def __post_init__(self) -> None:
        _check_share("min_scale", self.min_scale)
        if self.min_scale == 0:
            raise ValueError("min_scale must be above 0, got 0; give for instance min_scale=0.08")

    def __call__(self, inputs: Tensor, *, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
        """uint8 [B, H, W, 3] to float32 [B, 3, H, W] in channels_last, normalised."""
        return to_input(random_crop_flip(to_planes(inputs), min_scale=self.min_scale, generator=generator, share=share))

    def after_crop(self, inputs: Tensor, *, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
        """The rest, of images that are cropped and flipped already."""
        return to_input(to_planes(inputs))


@AUGMENTATIONS.register("simclr")
@dataclass(frozen=True, kw_only=True)
class SimCLRViews:
    """Crop, flip, colour jitter, grey and blur: SimCLR's recipe; by default that for CIFAR-10 (strength 0.5, no blur).

    Chen et al. 2020, arXiv 2002.05709, appendices A and B.9. With s = strength, jitter draws brightness, contrast and
    saturation factors from U(1 − 0.8 s, 1 + 0.8 s) and a hue shift from U(−0.2 s, 0.2 s) turns. The order of the four
    is drawn once a call, as each sample's factors are independent of it: a sample's own distribution is the recipe's.
    Blur is a Gaussian of U(0.1, 2) pixels over a tenth of the image's side. For ImageNet: strength 1, blur in a half.
    """

    modality: ClassVar[str] = "image"

    min_scale: float = 0.08
    """Least area of a crop, as a share of the image's area; in (0, 1]."""
    strength: float = 0.5
    """Strength s of the colour jitter; in [0, 1.25]."""
    jitter_probability: float = 0.8
    """Probability that a sample's colours are jittered."""
    grey_probability: float = 0.2
    """Probability that a sample is turned grey."""
    blur_probability: float = added(0.0)
    """Probability that a sample is blurred; SimCLR uses 0.5 for ImageNet."""

    def __post_init__(self) -> None:
        CropFlip(min_scale=self.min_scale)
        _check_share("jitter_probability", self.jitter_probability)
        _check_share("grey_probability", self.grey_probability)
        _check_share("blur_probability", self.blur_probability)
        if not 0 <= self.strength <= 1.25:
            raise ValueError(
                f"strength must be between 0 and 1.25 (factors 1 ± 0.8·strength stay positive), got {self.strength}; "
                "SimCLR uses strength=0.5 for CIFAR-10 and strength=1 for ImageNet"
            )

    def __call__(self, inputs: Tensor, *, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
        """uint8 [B, H, W, 3] to float32 [B, 3, H, W] in channels_last, normalised."""
        planes = random_crop_flip(to_planes(inputs), min_scale=self.min_scale, generator=generator, share=share)
        return self._recoloured(planes, generator, share)

    def after_crop(self, inputs: Tensor, *, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
        """The rest, of images that are cropped and flipped already."""
        return self._recoloured(to_planes(inputs), generator, share)

    def _recoloured(self, planes: Tensor, generator: torch.Generator, share: Share) -> Tensor:
        """The rest, of planes that are overwritten."""
        count = share.ranks * planes.shape[1]
        jittered = torch.rand(count, generator=generator) < self.jitter_probability
        shift = torch.rand(4, count, generator=generator).mul_(2).sub_(1) * (self.strength * jittered)
        order = torch.randperm(4, generator=generator).tolist()
        grey = torch.rand(count, generator=generator) < self.grey_probability
        _jitter(planes, share.of(shift, dim=1), order)
        _change_some(planes, share.of(grey), lambda some, _: grey_of(some).expand_as(some))
        if self.blur_probability:
            random_blur(planes, probability=self.blur_probability, generator=generator, share=share)
        return to_input(planes)


@AUGMENTATIONS.register("erase-replace")
@dataclass(frozen=True, kw_only=True)
class EraseReplace:
    """Text: words erased (turned to padding) or replaced by random ones of the vocabulary, whatever they mean.

    The erasing is the random deletion of Wei & Zou 2019, arXiv 1901.11196; one token of a text is never erased. The
    replacing is noise: neither their synonym replacement (one of a word's WordNet synonyms) nor that of Nozawa & Sato
    2021, arXiv 2102.06866 (one of its 5 nearest fastText words), both of which keep the meaning about as it was.
    """

    modality: ClassVar[str] = "text"

    erase_probability: float = 0.2
    """Probability that a token is erased."""
    replace_probability: float = 0.1
    """Probability that a token that is not erased is replaced by a uniformly random one; 0: words are only erased."""
    vocabulary_size: int = 0
    """Number of token ids, padding included; 0 = the data set's."""

    def __post_init__(self) -> None:
        _check_share("erase_probability", self.erase_probability)
        _check_share("replace_probability", self.replace_probability)
        if self.vocabulary_size < 0:
            raise ValueError(f"vocabulary_size must be 0 (the data set's) or more, got {self.vocabulary_size}")

    def __call__(self, inputs: Tensor, *, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
        """Token ids [B, L], 0 = padding, to token ids [B, L]."""
        if self.vocabulary_size < 2:
            raise ValueError("erase-replace needs to know the tokens; give vocabulary_size=N, padding included")
        present = inputs != PADDING
        whole = (share.ranks * len(inputs), inputs.shape[1])
        drawn = share.of(torch.rand(2, *whole, generator=generator), dim=1)
        score, replace = drawn.to(inputs.device, non_blocking=True)
        longest_lived = score == score.masked_fill(~present, -1).amax(dim=1, keepdim=True)
        erased = (score < self.erase_probability) & ~longest_lived
        random_ids = share.of(torch.randint(PADDING + 1, self.vocabulary_size, whole, generator=generator))
        random_ids = random_ids.to(inputs.device, inputs.dtype, non_blocking=True)
        replaced = torch.where((replace < self.replace_probability) & present, random_ids, inputs)
        return replaced.masked_fill(erased, PADDING)


def to_planes(images: Tensor) -> Tensor:
    """Images uint8 [B, H, W, 3] to planes float32 [3, B, H, W] in [0, 1]."""
    return images.permute(3, 0, 1, 2).contiguous().to(torch.float32).div_(255)


def to_input(planes: Tensor) -> Tensor:
    """Planes [3, B, H, W] in [0, 1], which are overwritten, to an encoder's input: [B, 3, H, W], normalised.

    It is in channels_last.
    """
    planes.mul_(1 / STD).sub_(MEAN / STD)
    return planes.permute(1, 0, 2, 3).contiguous(memory_format=torch.channels_last)


def random_crop_flip(planes: Tensor, *, min_scale: float, generator: torch.Generator, share: Share = WHOLE) -> Tensor:
    """A random resized crop of each sample, flipped with probability ½: planes [3, B, H, W] to the same shape."""
    return resized_crop(planes, *random_crops(planes, min_scale=min_scale, generator=generator, share=share))


def random_crops(
    planes: Tensor, *, min_scale: float, max_scale: float = 1.0, generator: torch.Generator, share: Share = WHOLE
) -> tuple[Tensor, Tensor]:
    """A random box [B, 4] and whether to flip it, bool [B], for each sample of planes [3, B, H, W], on their device."""
    _, count, height, width = planes.shape
    whole, scale = share.ranks * count, {"min_scale": min_scale, "max_scale": max_scale}
    drawn = (
        random_boxes(whole, height, width, **scale, generator=generator),
        torch.rand(whole, generator=generator) < 0.5,
    )
    boxes, flip = (share.of(x).to(planes.device, non_blocking=True) for x in drawn)
    return boxes, flip


def random_boxes(
    count: int, height: int, width: int, *, min_scale: float, max_scale: float = 1.0, generator: torch.Generator
) -> Tensor:
    """Crop boxes [B, 4] = top, left, height, width in whole pixels, on the CPU: see `boxes_of`."""
    drawn = torch.rand(1, NUMBERS_OF_BOX * count, generator=generator)
    return boxes_of(drawn, torch.tensor([[height, width]]), min_scale=min_scale, max_scale=max_scale)[0]


def boxes_of(drawn: Tensor, sizes: Tensor, *, min_scale: float, max_scale: float = 1.0) -> Tensor:
    """B crop boxes of each of n images, [n, B, 4] = top, left, height, width in whole pixels.

    drawn: numbers of U(0, 1), [n, NUMBERS_OF_BOX · B]; sizes: the images' heights and widths [n, 2]. Area
    U(min_scale, max_scale) of the image's, width / height log-uniform in RATIO, position uniform. As in torchvision, a
    box that does not fit is drawn anew, at most ten times; after that the crop is the whole image.
    """
    count = drawn.shape[1] // NUMBERS_OF_BOX
    areas, ratios, place = drawn.split([ATTEMPTS * count, ATTEMPTS * count, 2 * count], dim=1)
    height, width = sizes.to(drawn.dtype)[:, :, None].unbind(dim=1)  # [n, 1]
    area = (areas * (max_scale - min_scale)).add_(min_scale).mul_(height).mul_(width)
    low, high = map(math.log, RATIO)
    ratio = (ratios * (high - low)).add_(low).exp_()
    widths, heights = (area * ratio).sqrt_().round_(), (area / ratio).sqrt_().round_()
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    fits, widths, heights = (x.view(-1, count, ATTEMPTS) for x in (fits, widths, heights))
    fitted, first = fits.max(dim=2, keepdim=True)
    fitted = fitted.squeeze(2)
    w = torch.where(fitted, widths.gather(2, first).squeeze(2), width)
    h = torch.where(fitted, heights.gather(2, first).squeeze(2), height)
    down, across = place.split(count, dim=1)
    return torch.stack([(down * (height - h + 1)).floor(), (across * (width - w + 1)).floor(), h, w], dim=2)


def resized_crop(planes: Tensor, boxes: Tensor, flip: Tensor) -> Tensor:
    """Each sample's crop, resized to the image's own size by bilinear interpolation and flipped where `flip`.

    planes [3, B, H, W], boxes [B, 4] (top, left, height, width), flip bool [B]. A bilinear resize is a product with
    one matrix a side, R · X · Cᵀ. It never shrinks, so antialiasing would change nothing.
    """
    top, left, height, width = boxes.unbind(dim=1)
    at_rows, at_columns = (torch.arange(size, device=boxes.device, dtype=boxes.dtype) for size in planes.shape[2:])
    rows = _interpolation(_centres(top, height, at_rows)[:, :, None], at_rows)  # [B, H, H]
    centres = _centres(left, width, at_columns)
    centres = torch.where(flip[:, None], centres.flip(1), centres)
    columns = _interpolation(centres[:, None], at_columns[:, None])  # [B, W, W], transposed
    resized = torch.empty_like(planes)
    for plane, out in zip(planes, resized, strict=True):
        torch.bmm(rows @ plane, columns, out=out)
    return resized


def _centres(start: Tensor, length: Tensor, pixel: Tensor) -> Tensor:
    """Where the pixels lie among start … start + length − 1 when these are stretched over all of them, [B, size]."""
    centre = start[:, None] + (pixel + 0.5) * (length / len(pixel))[:, None] - 0.5
    return centre.clamp(start[:, None], (start + length - 1)[:, None])


def _interpolation(centre: Tensor, pixel: Tensor) -> Tensor:
    """Linear weights of the pixels at each centre: [B, size, size]."""
    return (centre - pixel).abs_().neg_().add_(1).clamp_(min=0)


def random_blur(planes: Tensor, *, probability: float, generator: torch.Generator, share: Share = WHOLE) -> None:
    """Blur each sample with that probability, by a deviation of U(0.1, 2) pixels: planes [3, B, H, W], in place."""
    count = share.ranks * planes.shape[1]
    chosen = share.of(torch.rand(count, generator=generator) < probability)
    sigma = share.of(torch.rand(count, generator=generator).mul_(1.9).add_(0.1))[chosen]
    sigma = sigma.to(planes.device, non_blocking=True)
    _change_some(planes, chosen, lambda some, at: blur(some, sigma[at]))


def blur(planes: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur over a tenth of the side, mirrored at the edges: planes [3, B, H, W], deviations in pixels [B]."""
    _, count, height, width = planes.shape
    reach = min(height, width) // 20
    steps = torch.arange(-reach, reach + 1, device=planes.device, dtype=planes.dtype)
    taps = torch.softmax(-0.5 * (steps / sigma[:, None]) ** 2, dim=1)  # [B, 2 · reach + 1]
    taps = taps.repeat(3, 1)[:, None, None]
    padded = F.pad(planes.reshape(1, 3 * count, height, width), (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, taps, groups=3 * count)
    return F.conv2d(rows, taps.mT, groups=3 * count).view_as(planes)


def _jitter(planes: Tensor, shift: Tensor, order: Sequence[int]) -> None:
    """Change brightness, contrast, saturation and hue, 0 to 3, in that order by shifts [4, B]: see SimCLRViews."""
    factors = (1 + 0.8 * shift[:3]).to(planes.device, non_blocking=True)
    for operator in order:
        if operator == 0:
            adjust_brightness(planes, factors[0])
        elif operator == 1:
            adjust_contrast(planes, factors[1])
        elif operator == 2:
            adjust_saturation(planes, factors[2])
        else:
            adjust_hue(planes, 0.2 * shift[3])


def _change_some(planes: Tensor, chosen: Tensor, change: Callable[[Tensor, slice], Tensor]) -> None:
    """Put in place of the chosen samples, bool [B] on the CPU, what they are changed into, a few at a time on a CPU.

    change: called with planes of some and with where these lie among the chosen.
    """
    index = chosen.nonzero().squeeze(1).to(planes.device, non_blocking=True)
    for at in row_blocks(torch.Size([len(index), *planes.shape[2:]]), planes.device, block=AT_ONCE):
        planes.index_copy_(1, index[at], change(planes.index_select(1, index[at]), at))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value}; give for instance {name}=0.2")

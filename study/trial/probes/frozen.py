"""A data set as the trial's frozen encoder sees it: the splits' features, at the size of the images of the training."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from study.data import DataSource, Split
from study.evaluation.classifier import Labelled, Rows
from study.trial.encode import both
from study.trial.training import Training
from study.trial.views import Examples


@dataclass(frozen=True, eq=False)
class Seen:
    """The splits of a labelled data set, where a training reads them."""

    train: Examples
    test: Examples
    validation: Examples | None
    classes: tuple[str, ...]

    def features(self, training: Training) -> Labelled:
        """h of every split, un-augmented, by the encoder as it is now in evaluation mode."""
        held = None if self.validation is None else _features(training, self.validation)
        return Labelled(_features(training, self.train), _features(training, self.test), held, self.classes)


def own(training: Training) -> Seen:
    """The data that the encoder is trained on."""
    return Seen(training.train, training.test, training.validation, training.data.classes)


def second(training: Training, source: DataSource, cache: Path | None) -> Seen:
    """Another data set, its images resized to those of the training (Kornblith et al. 2019, 1805.08974).

    They are normalised as in the training, by the same constants for every data set, as frozen weights expect.
    """
    data, size = source.load(cache), training.data.train.inputs.shape[1:3]

    def resized(split: Split) -> Examples:
        return Resized(split, training.device, size)

    held = None if data.validation is None else resized(data.validation)
    return Seen(resized(data.train), resized(data.test), held, data.classes)


class Resized(Examples):
    """Examples whose images leave at another size."""

    def __init__(self, split: Split, device: torch.device, size: tuple[int, ...]) -> None:
        super().__init__(split, device)
        self._size = size

    def part(self, start: int, stop: int) -> Tensor:
        return resize(super().part(start, stop), self._size)


def resize(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """The centre of the images at that size, their shorter side scaled to it: bicubic, anti-aliased.

    Shape: uint8 [B, H, W, 3] → uint8 [B, *size, 3].
    """
    height, width = images.shape[1:3]
    if (height, width) == tuple(size):
        return images
    scale = max(size[0] / height, size[1] / width)
    scaled = [round(height * scale), round(width * scale)]
    planes = images.permute(0, 3, 1, 2).float()
    planes = F.interpolate(planes, size=scaled, mode="bicubic", antialias=True, align_corners=False)
    top, left = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    planes = planes[:, :, top : top + size[0], left : left + size[1]]
    return planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _features(training: Training, split: Examples) -> Rows:
    assert split.labels is not None  # resolve refuses data without labels
    return both(training, split)[0], split.labels

"""Augmented views, and the examples that they are made of: the one place where an augmentation is called."""

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.augment import Cropping
from models.multi_crop import small_views
from models.precision import no_autocast
from models.ranks import WHOLE, Share
from study.data import Split
from study.data.images.packed import Packed
from study.trial.crops import Crops, Kind

RESIDENT_SHARE = 1 / 16
"""Of a GPU's memory: a split up to that size lies there as a whole, so that a step copies nothing."""


ENCODE_BATCH, ENCODE_SIDE = 500, 96
"""Examples that pass the encoder at once, of images up to that side; of larger ones as many as have no more pixels. The
memory of that does not depend on the batch size of the training."""


def encode_batch(size: tuple[int, ...]) -> int:
    """How many examples of that size, (H, W) or (L,), pass the encoder at once."""
    return max(min(ENCODE_BATCH, ENCODE_BATCH * ENCODE_SIDE**2 // math.prod(size)), 1)


@torch.no_grad()
def view_of(
    augmentation: Callable[..., Tensor], inputs: Tensor, *, generator: torch.Generator, share: Share = WHOLE
) -> Tensor:
    """An augmented view of each of these inputs, never under autocast: pixels are not rounded to bfloat16.

    The generator is one of the CPU, whatever device the inputs are on; `share`: that of the batch which they are.
    """
    of_share = {} if share == WHOLE else {"share": share}
    with no_autocast(inputs.device):
        return augmentation(inputs, generator=generator, **of_share)


class Wanted(NamedTuple):
    """Views of each example."""

    augmentation: Any
    """called with inputs and a generator"""
    number: int

    @property
    def by_rows(self) -> bool:
        """Whether a rank can make them of its own rows: the augmentation draws for the whole batch all the same."""
        called = [self.augmentation]
        if isinstance(self.augmentation, Cropping):
            called.append(self.augmentation.after_crop)
        return all("share" in inspect.signature(each).parameters for each in called)

    @property
    def kind(self) -> Kind | None:
        """The crops that they begin with; None where they are not known to begin with any."""
        if not isinstance(self.augmentation, Cropping):
            return None
        optional = getattr(self.augmentation, "max_scale", 1.0), getattr(self.augmentation, "size", None)
        return Kind(self.number, self.augmentation.min_scale, *optional)


def wanted(augmentation: Any, full: int) -> tuple[Wanted, ...]:
    """The views of a training's step: so many full ones, and the small ones that the augmentation gives."""
    few = small_views(augmentation).number
    return (Wanted(augmentation, full), *([Wanted(augmentation.small, few)] if few else []))


def made_of(views: Iterable[Wanted], share: Share) -> Share:
    """The rows that a rank makes these views of: its own, or all, where an augmentation knows of no share."""
    return share if share == WHOLE or all(of.by_rows for of in views) else WHOLE


class Examples:
    """A split where a training reads it: on a GPU as a whole where it is small beside its memory, else batch by batch.

    Packed images are decoded batch by batch, and their random crops are taken at their own size. Whoever reads does not
    wait for the copy.
    """

    def __init__(self, split: Split, device: torch.device) -> None:
        self._split, self._device = split, device
        self._resident: Tensor | None = None
        self._crops = Crops(split) if isinstance(split.inputs, Packed) else None
        if self._crops is None and device.type != "cpu" and split.nbytes <= RESIDENT_SHARE * memory_of(device):
            self._resident = torch.from_numpy(split.take(slice(None))).to(device)
        self.labels = None if split.labels is None else torch.from_numpy(split.labels.copy()).to(device)

    def __len__(self) -> int:
        return len(self._split)

    def take(self, index: Tensor, index_there: Tensor) -> Tensor:
        """The inputs at an index int64 [B], which is given on the CPU and on the device."""
        return self._sent(self._split.take(index.numpy())) if self._resident is None else self._resident[index_there]

    def expect(self, order: Tensor) -> None:
        """Make ready for these batches, [steps, B] on the CPU: each is decoded while the one before it is used."""
        if self._crops is not None:
            self._crops.expect(order)

    def views(
        self, index: Tensor, there: Tensor, *wanted: Wanted, generator: torch.Generator, key: tuple[int, ...],
        share: Share = WHOLE,
    ) -> list[tuple[Tensor, ...]]:  # fmt: skip
        """The augmented views that are wanted of the examples at an index, which is given on the CPU and on the device.

        `key`: words that seed the crops of packed images, with the example's index; all else is the generator's.
        `share`: of the batch at the index, those rows alone: the same as without it, to the order of sums.
        """
        rows = made_of(wanted, share)
        views = self._made(rows.of(index), rows.of(there), wanted, generator, key, rows)
        return views if rows == share else [tuple(map(share.of, of)) for of in views]

    def _made(
        self, index: Tensor, there: Tensor, wanted: Sequence[Wanted], generator: torch.Generator,
        key: tuple[int, ...], rows: Share,
    ) -> list[tuple[Tensor, ...]]:  # fmt: skip
        draw: Any = functools.partial(view_of, generator=generator, share=rows)
        kinds = [kind for of in wanted if (kind := of.kind) is not None]
        if self._crops is None or len(kinds) < len(wanted):
            inputs = self.take(index, there)
            return [tuple(draw(of.augmentation, inputs) for _ in range(of.number)) for of in wanted]
        crops = self._crops.take(index, *kinds, key=key)
        return [
            tuple(draw(of.augmentation.after_crop, self._sent(each)) for each in cropped)
            for of, cropped in zip(wanted, crops, strict=True)
        ]

    def part(self, start: int, stop: int) -> Tensor:
        """The inputs from one index to another."""
        if self._resident is None:
            return self._sent(self._split.take(slice(start, stop)))
        return self._resident[start:stop]

    def _sent(self, inputs: np.ndarray) -> Tensor:
        return sent(torch.from_numpy(inputs), self._device)


def sent(x: Tensor, device: torch.device) -> Tensor:
    """x on the device; to a GPU from pinned memory, without waiting for the copy."""
    return x if device.type == "cpu" else x.pin_memory().to(device, non_blocking=True)


def memory_of(device: torch.device) -> int:
    """Bytes of a GPU's memory."""
    return torch.cuda.get_device_properties(device).total_memory

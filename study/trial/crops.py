"""Random resized crops of packed images, from their own pixels, decoded by threads while a step is computed."""

from collections import deque
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.augment import NUMBERS_OF_BOX, boxes_of
from study.data import Split
from study.data.images.packed import Packed, in_threads
from study.trial.streams import generator

_MOST_PIXELS = 2**22
"""Images are held decoded by a thread until they have more: 16 MiB."""


class Kind(NamedTuple):
    """Crops of one kind, of each example."""

    number: int
    min_scale: float
    max_scale: float = 1.0
    side: int | None = None
    """by default the images'"""


class Wanted(NamedTuple):
    """Crops of a batch."""

    examples: bytes
    kinds: tuple[Kind, ...]
    key: tuple[int, ...]


Started = tuple[list[np.ndarray], list[Future[None]]]


class Crops:
    """The crops of a split: those of an example depend on a key and its index, and on nothing else."""

    def __init__(self, split: Split) -> None:
        assert isinstance(split.inputs, Packed)
        self._packed, self._rows = split.inputs, split.rows
        self._coming: deque[Tensor] = deque()
        self._started: dict[Wanted, Started] = {}

    def expect(self, order: Tensor) -> None:
        """Make ready for these batches, [steps, B]: each is begun when the one before it is asked for."""
        self._coming = deque(order)

    def take(self, index: Tensor, *kinds: Kind, key: tuple[int, ...]) -> list[np.ndarray]:
        """Crops of the examples at an index int64 [B], half of them flipped: uint8 [count, B, S, S, 3] of each kind.

        An example is decoded once for all of its crops.
        """
        wanted = Wanted(index.numpy().tobytes(), kinds, key)
        crops, jobs = self._started.pop(wanted) if wanted in self._started else self._start(wanted)
        self._started.clear()  # of batches that were not asked for after all
        if self._coming and torch.equal(self._coming[0], index):
            self._coming.popleft()
            if self._coming:
                after = wanted._replace(examples=self._coming[0].numpy().tobytes())
                self._started[after] = self._start(after)
        for job in jobs:
            job.result()
        return crops

    def _start(self, wanted: Wanted) -> Started:
        places = np.frombuffer(wanted.examples, np.int64)
        rows = places if self._rows is None else self._rows[places]
        sides = [kind.side or self._packed.shape[1] for kind in wanted.kinds]
        forms = [(kind.number, len(places), side, side, 3) for kind, side in zip(wanted.kinds, sides, strict=True)]
        crops = [np.empty(form, np.uint8) for form in forms]

        def make(some: range) -> None:
            images: list[Image.Image] = []
            for place in some:
                images.append(self._packed.image(int(rows[place])))
                if place == some[-1] or sum(image.width * image.height for image in images) > _MOST_PIXELS:
                    cut(images, slice(place + 1 - len(images), place + 1))
                    images = []

        def cut(images: list[Image.Image], of: slice) -> None:
            draws = [generator("cpu", *wanted.key, place) for place in places[of].tolist()]
            for kind, of_kind in zip(wanted.kinds, crops, strict=True):
                _crop(images, of_kind[:, of].swapaxes(0, 1), kind, draws)

        return crops, in_threads(make, len(places))


def _crop(images: list[Image.Image], out: np.ndarray, kind: Kind, draws: list[torch.Generator]) -> None:
    """Fill out [n, count, S, S, 3] with crops of n images (bilinear, anti-aliased), each flipped in half of the cases.

    All their boxes are computed at once: for one image alone that takes a tenth of the time to decode and crop it.
    """
    count = out.shape[1]
    drawn = torch.stack([torch.rand((NUMBERS_OF_BOX + 1) * count, generator=draw) for draw in draws])
    of_boxes, of_flips = drawn.split([NUMBERS_OF_BOX * count, count], dim=1)
    sizes = torch.tensor([[image.height, image.width] for image in images])
    boxes = boxes_of(of_boxes, sizes, min_scale=kind.min_scale, max_scale=kind.max_scale).int().tolist()
    for image, *of_image in zip(images, out, boxes, of_flips.tolist(), strict=True):
        for to, (top, left, height, width), flip in zip(*of_image, strict=True):
            cropped = image.crop((left, top, left + width, top + height))
            resized = cropped.resize((to.shape[1], to.shape[0]), Image.Resampling.BILINEAR)
            to[:] = np.asarray(resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip < 0.5 else resized)

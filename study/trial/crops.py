"""Random resized crops of packed images, from their own pixels, decoded by threads while a step is computed."""

from collections import deque
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.augment import random_boxes
from study.data import Split
from study.data.images.packed import Packed, in_threads
from study.trial.streams import generator


class Wanted(NamedTuple):
    """Crops of a batch."""

    examples: bytes
    min_scale: float
    views: int
    key: tuple[int, ...]


Started = tuple[np.ndarray, list[Future[None]]]


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

    def take(self, index: Tensor, *, min_scale: float, count: int, key: tuple[int, ...]) -> np.ndarray:
        """`count` crops of each example at an index int64 [B], half of them flipped: uint8 [count, B, S, S, 3]."""
        wanted = Wanted(index.numpy().tobytes(), min_scale, count, key)
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
        crops = np.empty((wanted.views, len(places), *self._packed.shape[1:]), np.uint8)

        def make(i: int) -> None:
            image = self._packed.image(int(rows[i]))
            draw = generator("cpu", *wanted.key, int(places[i]))
            _crop(image, crops[:, i], min_scale=wanted.min_scale, draw=draw)

        return crops, in_threads(make, len(places))


def _crop(image: Image.Image, out: np.ndarray, *, min_scale: float, draw: torch.Generator) -> None:
    """Fill out [count, S, S, 3] with crops (bilinear, anti-aliased), each flipped with probability one half."""
    boxes = random_boxes(len(out), image.height, image.width, min_scale=min_scale, generator=draw).int().tolist()
    flips = torch.rand(len(out), generator=draw).tolist()
    for to, (top, left, height, width), flip in zip(out, boxes, flips, strict=True):
        cropped = image.crop((left, top, left + width, top + height))
        resized = cropped.resize((to.shape[1], to.shape[0]), Image.Resampling.BILINEAR)
        to[:] = np.asarray(resized)[:, ::-1] if flip < 0.5 else np.asarray(resized)

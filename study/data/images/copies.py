"""Test images that are training images too: the accuracy of these is not one of unseen images."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from study.data.cache import file_of
from study.data.images.packed import Packed

Read = Callable[[int], bytes]


def copies(train: np.ndarray | Packed, test: np.ndarray | Packed) -> int:
    """How many test images are a training image to the bit: of files their bytes, else pixels uint8 [N, S, S, 3]."""
    with _readers(train) as (middle, whole), _readers(test) as (middle_tested, whole_tested):
        marks = [hash(middle(row)) for row in range(len(train))]
        tested = [hash(middle_tested(row)) for row in range(len(test))]
        likely = set(marks) & set(tested)
        seen = {_digest(whole(row)) for row, mark in enumerate(marks) if mark in likely}
        return sum(mark in likely and _digest(whole_tested(row)) in seen for row, mark in enumerate(tested))


@contextmanager
def _readers(images: np.ndarray | Packed) -> Iterator[tuple[Read, Read]]:
    """Readers of an image's middle (of its file, or its middle row), which few share, and of all of it.

    Pixels in a file are not read through its map, whose pages would count as memory.
    """
    if isinstance(images, Packed):
        yield images.middle, images.file
        return
    image, line, middle = images[:1].nbytes, images[:1, 0].nbytes, images.shape[1] // 2
    path = file_of(images)
    if path is None:
        yield lambda row: images[row, middle].tobytes(), lambda row: images[row].tobytes()
        return
    start = images.offset  # type: ignore[attr-defined]
    with path.open("rb") as file:
        yield (
            lambda row: os.pread(file.fileno(), line, start + row * image + middle * line),
            lambda row: os.pread(file.fileno(), image, start + row * image),
        )


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()

"""Test images that are training images too: the accuracy of these is not one of unseen images."""

import hashlib
from collections.abc import Callable

import numpy as np

from study.data.cache import bytes_of
from study.data.images.packed import Packed

Read = Callable[[int], bytes]


def copies(train: np.ndarray | Packed, test: np.ndarray | Packed) -> int:
    """How many test images are a training image to the bit: of files their bytes, else pixels uint8 [N, S, S, 3]."""
    (middle, whole), (middle_tested, whole_tested) = _readers(train), _readers(test)
    marks = [hash(middle(row)) for row in range(len(train))]
    tested = [hash(middle_tested(row)) for row in range(len(test))]
    likely = set(marks) & set(tested)
    seen = {_digest(whole(row)) for row, mark in enumerate(marks) if mark in likely}
    return sum(mark in likely and _digest(whole_tested(row)) in seen for row, mark in enumerate(tested))


def _readers(images: np.ndarray | Packed) -> tuple[Read, Read]:
    """Readers of an image's middle (of its file, or its middle row), which few share, and of all of it."""
    if isinstance(images, Packed):
        return images.middle, images.file
    read, image, line = bytes_of(images), images[:1].nbytes, images[:1, 0].nbytes
    middle = images.shape[1] // 2 * line
    return (
        lambda row: read(row * image + middle, row * image + middle + line),
        lambda row: read(row * image, (row + 1) * image),
    )


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()

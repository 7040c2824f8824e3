"""Images kept as the bytes of their files, one after another in one file: decoded whenever they are asked for."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, cached_property
from typing import Any

import numpy as np
from PIL import Image

from study.data.cache import bytes_of
from study.data.pixels import fitted, upright

_CHUNK = 8
"""Images that a thread takes at once."""
_FEW = 64
"""Bytes of an image's middle."""


class Packed:
    """Images of files, to be read as an array uint8 [N, S, S, 3] of their centre squares; in memory are none."""

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, content: np.ndarray, index: np.ndarray, size: int) -> None:
        """content: bytes uint8 [n], of a file or in memory; index: where each image begins and ends, int64 [N, 2]."""
        self.content, self.index = content, index
        self.shape = (len(index), size, size, 3)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Centre squares of these images, resized as `decode_image` does it, uint8 [n, S, S, 3]."""
        places = np.arange(len(self))[rows]
        out = np.empty((len(places), *self.shape[1:]), np.uint8)

        def put(some: range) -> None:
            for place in some:
                out[place] = fitted(self.image(int(places[place])), self.shape[1:3])

        for job in in_threads(put, len(places)):
            job.result()
        return out

    def image(self, row: int) -> Image.Image:
        """An image at its own size, upright, RGB."""
        return upright(self.file(row))[0]

    def file(self, row: int) -> bytes:
        """The bytes of an image's file."""
        return self._read(*self.index[row].tolist())

    def middle(self, row: int) -> bytes:
        """A few bytes from the middle of an image's file: few files have the same."""
        start, stop = self.index[row].tolist()
        return self._read((start + stop) // 2, min((start + stop) // 2 + _FEW, stop))

    def pieces(self) -> Iterator[bytes]:
        """Each image's number of bytes, and these: the same in whatever order they lie in the file."""
        for row in range(len(self)):
            content = self.file(row)
            yield len(content).to_bytes(8, "big")
            yield content

    def held(self) -> "Packed":
        """The same with its bytes in memory."""
        return Packed(np.array(self.content), self.index, self.shape[1])

    @cached_property
    def _read(self) -> Callable[[int, int], bytes]:
        return bytes_of(self.content)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_read"}


def in_threads(make: Callable[[range], None], count: int) -> list[Future[None]]:
    """Start make of parts of 0 … count − 1 on as many threads as torch has for this process."""
    import torch

    pool = _pool(os.getpid(), torch.get_num_threads())
    return [pool.submit(make, range(count)[start : start + _CHUNK]) for start in range(0, count, _CHUNK)]


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """`process`: a fork has none of its parent's threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="decode")

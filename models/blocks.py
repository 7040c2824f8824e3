"""Row blocks: arithmetic on B × K matrices a few rows at a time, whose temporaries then stay in the cache.

On the CPU, memory that is fresh from the system costs more to touch than what is computed into it: so the temporaries
of a block are reused by the next one.
"""

import threading
from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 2**20  # elements


def row_blocks(shape: torch.Size, device: torch.device) -> Iterator[slice]:
    """Slices that part the rows of a [B, K] matrix; all of the rows at once on an accelerator."""
    rows = max(BLOCK // max(shape[1], 1), 1) if device.type == "cpu" else max(shape[0], 1)
    for start in range(0, shape[0], rows):
        yield slice(start, start + rows)


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.by_use: dict[tuple[str, torch.dtype], Tensor] = {}


_BUFFERS = _Buffers()


def scratch(use: str, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """An uninitialised tensor of that shape, whose memory the next call with the same `use` takes over.

    For temporaries within a block; what is larger than a block, or on an accelerator, is a tensor like any other.
    """
    dtype = dtype or like.dtype
    if like.device.type != "cpu" or like.numel() > BLOCK:
        return torch.empty_like(like, dtype=dtype)
    if (use, dtype) not in _BUFFERS.by_use:
        _BUFFERS.by_use[use, dtype] = torch.empty(BLOCK, dtype=dtype)
    return _BUFFERS.by_use[use, dtype][: like.numel()].view(like.shape)

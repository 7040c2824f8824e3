"""Row blocks: arithmetic on B × K matrices a few rows at a time, whose temporaries then stay in the cache.

On the CPU, memory that is fresh from the system costs more to touch than what is computed into it: so the temporaries
of a block are reused by the next one, and the large results of a step by the next step.
"""

import math
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
        self.results: dict[tuple[str, torch.dtype], Tensor] = {}


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


def result(use: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor in the memory of the last one of that use, if nobody holds that any more.

    For what outlives a block: whoever keeps it, a graph that awaits its backward pass included, keeps it unharmed.
    """
    count = math.prod(shape)
    if device.type != "cpu" or count <= BLOCK:
        return torch.empty(shape, dtype=dtype, device=device)
    held = _BUFFERS.results.get((use, dtype))
    if held is None or held.numel() < count or _holders(held) > 2:  # the buffer, and the storage that is asked
        held = _BUFFERS.results[use, dtype] = torch.empty(count, dtype=dtype)
    stride = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    return torch.empty(0, dtype=dtype).set_(held.untyped_storage(), 0, shape, stride)  # no view: a history of its own


def _holders(x: Tensor) -> int:
    return torch._C._storage_Use_Count(x.untyped_storage()._cdata)

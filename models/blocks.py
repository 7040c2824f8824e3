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


def on_cpu(x: Tensor) -> bool:
    """Whether a look at the values of x costs nothing. On an accelerator it waits for all that was asked before."""
    return x.device.type == "cpu"


def row_blocks(shape: torch.Size, device: torch.device) -> Iterator[slice]:
    """Slices that part the rows of a [B, K] matrix; all of the rows at once on an accelerator."""
    rows = max(BLOCK // max(shape[1], 1), 1) if device.type == "cpu" else max(shape[0], 1)
    for start in range(0, shape[0], rows):
        yield slice(start, start + rows)


class _Memory(threading.local):
    def __init__(self) -> None:
        self.by_use: dict[tuple[str, torch.dtype], Tensor] = {}


_MEMORY = _Memory()


def reused(use: str, like: Tensor, shape: tuple[int, ...] | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """An uninitialised tensor in the memory of the last one of that use, if nobody holds that any more.

    Whoever keeps one, a graph that awaits its backward pass included, keeps it unharmed; a loop hands its memory on
    from turn to turn if no name holds the tensor in between. On an accelerator it is a tensor like any other.
    """
    shape, dtype = like.shape if shape is None else shape, dtype or like.dtype
    if like.device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=like.device)
    count = math.prod(shape)
    held = _MEMORY.by_use.get((use, dtype))
    if held is None or held.numel() < count or _holders(held) > 2:  # the dictionary, and the storage that is asked
        held = _MEMORY.by_use[use, dtype] = torch.empty(max(count, BLOCK), dtype=dtype, device="cpu")
    empty = torch.empty(0, dtype=dtype, device="cpu")  # set, not viewed: for autograd it has a history of its own
    return empty.set_(held.untyped_storage(), 0, shape)  # type: ignore[call-overload]


def _holders(x: Tensor) -> int:
    return torch._C._storage_Use_Count(x.untyped_storage()._cdata)

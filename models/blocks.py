"""Row blocks: arithmetic on B × K matrices a few rows at a time, whose temporaries then stay in the cache."""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 2**20  # elements


def on_cpu(x: Tensor) -> bool:
    """Whether a look at the values of x costs nothing. On an accelerator it waits for all that was asked before."""
    return x.device.type == "cpu"


def row_blocks(shape: torch.Size, device: torch.device, *, block: int = BLOCK) -> Iterator[slice]:
    """Slices that part the rows of a [B, K, …], `block` elements each; all of the rows at once on an accelerator."""
    rows = max(block // max(shape[1:].numel(), 1), 1) if device.type == "cpu" else max(shape[0], 1)
    for start in range(0, shape[0], rows):
        yield slice(start, start + rows)

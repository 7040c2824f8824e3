"""Row blocks: arithmetic on B × K matrices a few rows at a time, whose temporaries then stay in the cache.

On the CPU a fresh 64 MiB temporary costs more than what is computed into it; a block of 2 MiB is reused.
"""

from collections.abc import Iterator

import torch

BLOCK = 2**19  # elements


def row_blocks(shape: torch.Size, device: torch.device) -> Iterator[slice]:
    """Slices that part the rows of a [B, K] matrix; all of the rows at once on an accelerator."""
    rows = max(BLOCK // max(shape[1], 1), 1) if device.type == "cpu" else max(shape[0], 1)
    for start in range(0, shape[0], rows):
        yield slice(start, start + rows)

"""A machine on which a tensor above a size cannot be made."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class ShortOfMemory(TorchDispatchMode):
    """Within it an operation that makes more than `most` elements runs out of memory; `times` counts how often."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.times = most, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if any(isinstance(x, torch.Tensor) and x.numel() > self.most for x in tree_iter(made)):
            self.times += 1
            raise torch.OutOfMemoryError(f"{func}: more than {self.most} elements")
        return made

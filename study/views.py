"""Augmented views, and the examples that they are made of: the one place where an augmentation is called."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.precision import no_autocast


@torch.no_grad()
def view_of(augmentation: Callable[..., Tensor], inputs: Tensor, *, generator: torch.Generator) -> Tensor:
    """An augmented view of each of these inputs, never under autocast: pixels are not rounded to bfloat16."""
    with no_autocast(inputs.device):
        return augmentation(inputs, generator=generator)

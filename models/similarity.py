"""The similarities that a step is made of, in memory that steps hand on: fresh memory costs as much as the product."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.blocks import reused


def similarities(anchors: Tensor, keys: Tensor, *, room: int = 0) -> Tensor:
    """s(i, j) = z_i · z_j of unit rows, with room beside each row for more. Shapes: [B, D], [P, D] → [B, P]."""
    return _Product.apply(anchors, keys, room)


def beside(similarity: Tensor, synthetic: Tensor) -> Tensor:
    """The similarities with the pool's rows and with the synthetic keys, in the room if it is as large.

    Shapes: [B, P], [B, S] → [B, P + S].
    """
    return _Beside.apply(similarity, synthetic)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, room: int) -> Tensor:
        ctx.save_for_backward(x, y)
        whole = reused("product", x, (len(x), len(y) + room))
        return torch.mm(x, y.T, out=_columns(whole, len(y)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, y = ctx.saved_tensors
        return grad @ y if ctx.needs_input_grad[0] else None, grad.T @ x if ctx.needs_input_grad[1] else None, None


class _Beside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.width = x.shape[1]
        if x.stride(0) != x.shape[1] + y.shape[1]:
            return torch.cat([x, y], dim=1)
        whole = _columns(x, x.stride(0))
        whole[:, ctx.width :] = y
        return whole

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad[:, : ctx.width], grad[:, ctx.width :]


def _columns(x: Tensor, count: int) -> Tensor:
    """So many columns of the rows of x, in its memory and yet, for autograd, no view of it."""
    return x.new_empty(0).set_(x.untyped_storage(), 0, (len(x), count), x.stride())

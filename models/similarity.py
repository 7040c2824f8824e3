"""The similarities that a step is made of, in memory that steps hand on: fresh memory costs as much as the product."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.blocks import result


def similarities(anchors: Tensor, keys: Tensor) -> Tensor:
    """s(i, j) = z_i · z_j of unit rows. Shapes: [B, D], [P, D] → [B, P]."""
    return _Product.apply(anchors, keys)


def beside(similarity: Tensor, synthetic: Tensor) -> Tensor:
    """The similarities with the pool's rows and with the synthetic keys. Shapes: [B, P], [B, S] → [B, P + S]."""
    return _Beside.apply(similarity, synthetic)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return torch.mm(x, y.T, out=result("product", (len(x), len(y)), x.dtype, x.device))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, y = ctx.saved_tensors
        return grad @ y if ctx.needs_input_grad[0] else None, grad.T @ x if ctx.needs_input_grad[1] else None


class _Beside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.width = x.shape[1]
        shape = (len(x), x.shape[1] + y.shape[1])
        return torch.cat([x, y], dim=1, out=result("beside", shape, x.dtype, x.device))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad[:, : ctx.width], grad[:, ctx.width :]

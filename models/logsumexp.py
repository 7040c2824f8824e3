"""log Σ_k w_k e^{s_k/t}, the sum over the negatives that every objective is made of, without B × K temporaries."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.blocks import row_blocks


def scaled(similarity: Tensor, temperature: float) -> Tensor:
    """Logits s/t, at least in float32: a bf16 cosine divided by t = 0.02 is off by a tenth of a nat."""
    return similarity.to(_wide(similarity)) / temperature


def log_sum_exp(similarity: Tensor, temperature: float, log_weight: Tensor | None = None) -> Tensor:
    """log Σ_k w_k e^{s_k/t}, max-subtracted; −∞, with gradient 0, where nothing is left. Shapes: [B, K] twice → [B]."""
    return _LogSumExp.apply(similarity, temperature, log_weight)


def count_weights(similarity: Tensor, log_weight: Tensor | None) -> Tensor:
    """N = Σ_k w_k, the number of negatives, in the similarities' type (float32 at least). Shape: [B]."""
    n = torch.full(similarity.shape[:1], similarity.shape[1], dtype=_wide(similarity), device=similarity.device)
    if log_weight is not None:
        for at in row_blocks(similarity.shape, similarity.device):
            n[at] = exp_(log_weight[at].to(n.dtype, copy=True)).sum(dim=1)
    return n


def exp_(x: Tensor) -> Tensor:
    """e^x in place, and exactly 0 where that is not a normal number, as of −∞."""
    least = _least(x.dtype)
    return torch.threshold_(x.clamp_(min=least).exp_(), math.exp(least + 1), 0.0)


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _logits(similarity: Tensor, temperature: float, log_weight: Tensor | None, at: slice) -> Tensor:
    logits = similarity[at].to(_wide(similarity)) / temperature  # [b, K]
    return logits if log_weight is None else logits.add_(log_weight[at].to(logits.dtype))


def _least(dtype: torch.dtype) -> float:
    """Below this e^x is not a normal number, and takes ten times as long: as 0, it is lost in any sum."""
    return math.log(torch.finfo(dtype).tiny) + 1


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, similarity: Tensor, temperature: float, log_weight: Tensor | None) -> Tensor:
        total = torch.empty(len(similarity), dtype=_wide(similarity), device=similarity.device)
        for at in row_blocks(similarity.shape, similarity.device):
            logits = _logits(similarity, temperature, log_weight, at)
            m = logits.amax(dim=1, keepdim=True)  # [b, 1]
            logits.sub_(m.nan_to_num(neginf=0.0)).clamp_(min=_least(logits.dtype))
            total[at] = logits.exp_().sum(dim=1).log_() + m[:, 0]
        ctx.temperature = temperature
        ctx.save_for_backward(similarity, log_weight, total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        similarity, log_weight, total = ctx.saved_tensors
        gradient = torch.empty_like(similarity)  # ∂/∂s_k = w_k e^{s_k/t} / (t Σ), [B, K]
        for at in row_blocks(similarity.shape, similarity.device):
            share = _logits(similarity, ctx.temperature, log_weight, at)
            exp_(share.sub_(total[at, None].nan_to_num(neginf=torch.inf)))  # what is left out has no gradient at all
            torch.mul(share, grad[at, None] / ctx.temperature, out=gradient[at])
        return gradient, None, None

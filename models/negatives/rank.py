"""Exact ranks of the candidates of each anchor: which of them are its n-th to m-th hardest."""

import torch
from torch import Tensor


def share(fraction: float, k: Tensor) -> Tensor:
    """How many of k candidates a fraction of them is: ⌊fraction · k⌋, int64, same shape as k."""
    return (k.double() * fraction + 1e-6).floor().long()  # 0.29 · 100 is 28.999… in floating point


def edges(lo: float, hi: float, k: Tensor) -> tuple[Tensor, Tensor]:
    """The ranks [first, last) of the percentile band [lo, hi) among k candidates; at least one rank. Shapes: [B]."""
    first = torch.minimum(share(lo, k), (k - 1).clamp(min=0))
    return first, torch.maximum(share(hi, k), first + 1).minimum(k)


def band(scores: Tensor, first: Tensor, last: Tensor, offered: Tensor | None = None) -> Tensor:
    """Which candidates have a rank in [first, last), the highest score first; exactly last − first of each row.

    Equal scores rank in the order of their rows. Shapes: scores [B, P], first and last int64 [B], offered bool [B, P].
    """
    if offered is not None:
        scores = scores.masked_fill(~offered, float("-inf"))
    order = scores.argsort(dim=1, descending=True, stable=True)  # [B, P]
    rank = torch.arange(scores.shape[1], device=scores.device)
    inside = (rank >= first[:, None]) & (rank < last[:, None])
    return torch.empty_like(inside).scatter_(1, order, inside)

"""Metrics of a step besides its loss: computed only where the step is observed."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from models.blocks import row_blocks
from models.logsumexp import exp_
from models.negatives.rank import at_least, band, share
from models.negatives.strategy import Candidates
from models.objectives import OBSERVERS, Objective


def observe(
    candidates: Candidates, negatives: Tensor, log_weight: Tensor | None, positive: Tensor, temperature: float
) -> dict[str, Tensor]:
    """Scalars of a step's negatives: means over the anchors, or over those that have any where negatives are described.

    K, K_eff and the share of anchors without negatives; mean similarities; with labels, the collision rates of the
    pool and of the selection; the entropy, in nats, of the relative penalty r(j) = w_j e^{s_j/t}/Σ_k w_k e^{s_k/t}
    (Wang & Liu 2021, 2012.09740), and the share of the gradient on the negatives that the hardest 5 % of them bear; NaN
    where no anchor has any. Shapes: negatives [B, P + S], positive [B].
    """
    p = candidates.similarity.shape[1]
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}

    def add(name: str, value: Tensor, of: Tensor | None = None) -> None:
        over = torch.ones_like(value, dtype=torch.bool) if of is None else of
        sums[name] = sums.get(name, 0.0) + torch.where(over, value, 0.0).sum(dtype=torch.float64)
        counts[name] = counts.get(name, 0) + over.sum()

    for at in row_blocks(negatives.shape, negatives.device):
        s, block = negatives[at], candidates.rows(at)
        log_w = s.new_zeros(()) if log_weight is None else log_weight[at]
        kept = (log_w > float("-inf")).expand_as(s)
        marks = kept.to(s.dtype)  # sums of 1 and 0 of that type are several times as fast as of bools
        k_eff = marks.sum(dim=1).long()
        met = k_eff > 0
        log_r = (s / temperature).add_(log_w).log_softmax(dim=1)  # [b, P + S], NaN where none is kept
        r = exp_(log_r.clone())
        hardest = band(s.masked_fill(~kept, -2), 0, at_least(share(0.05, k_eff), 1))
        offered = None if block.offered is None else block.offered.to(s.dtype)
        add("k", s.new_full((len(s),), p) if offered is None else offered.sum(dim=1))
        add("k_eff", k_eff)
        add("empty_share", (~met).to(s.dtype))
        add("similarity.positive", positive[at].reshape(len(s), -1)[:, 0])
        add("similarity.negative", (s * marks).sum(dim=1) / k_eff, met)
        add("penalty.entropy", -(log_r.clamp_(min=-1e4).mul_(r)).sum(dim=1), met)  # r is 0 where log r is −∞
        add("penalty.hardest_5pct_share", hardest.mul_(r).sum(dim=1), met)
        if block.anchor_labels is not None and block.key_labels is not None:
            same = block.same_class().to(s.dtype)
            at_hand = torch.ones_like(same) if offered is None else offered
            add("collision_rate.pool", (same * at_hand).sum(dim=1) / at_hand.sum(dim=1))
            real = marks[:, :p]
            selected = real.sum(dim=1)
            add("collision_rate.selection", same.mul_(real).sum(dim=1) / selected, selected > 0)
    return {name: value / counts[name] for name, value in sums.items()}


def observe_classes(candidates: Candidates, log_weight: Tensor | None, classes: int) -> dict[str, Tensor]:
    """Masses of meeting classes: `mass.selected`, `mass.offered`, float64 [C, C], anchor's class by negative's class.

    Selected pairs count by their weight, offered ones 1; anchors and rows without a class (−1) are left out. Nothing
    without labels.
    """
    if candidates.anchor_labels is None or candidates.key_labels is None:
        return {}
    p = candidates.similarity.shape[1]
    anchors, keys = candidates.anchor_labels, candidates.key_labels.remainder(classes + 1)  # −1 → C
    masses = torch.zeros(2, classes + 1, classes + 1, dtype=torch.float64, device=anchors.device)
    for at in row_blocks(candidates.similarity.shape, anchors.device):
        block = candidates.rows(at)
        ones = torch.ones_like(block.similarity)
        offered = ones if block.offered is None else block.offered.to(ones.dtype)
        selected = offered if log_weight is None else exp_(log_weight[at, :p].to(ones.dtype, copy=True))
        for mass, weight in zip(masses, (selected, offered), strict=True):
            by_key = ones.new_zeros(len(ones), classes + 1).scatter_add_(1, keys.expand(len(ones), -1), weight)
            mass.index_add_(0, anchors[at].remainder(classes + 1), by_key.double())
    return {"mass.selected": masses[0, :-1, :-1], "mass.offered": masses[1, :-1, :-1]}


def observe_objective(
    objective: Objective, positive: Tensor, negatives: Tensor, arguments: dict[str, Any]
) -> dict[str, Tensor]:
    """Further scalars of the objective: the clamped fraction, where it clamps."""
    function: Any = objective
    while isinstance(function, partial):
        function, arguments = function.func, {**function.keywords, **arguments}
    return OBSERVERS[function](positive, negatives, **arguments) if function in OBSERVERS else {}

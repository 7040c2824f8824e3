"""One contrastive step: one similarity product, K candidates an anchor, the strategy's selection, the objective."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.negatives.strategy import Candidates, Selection, Strategy
from models.pools import Pool

Objective = Callable[..., Tensor]


@dataclass(frozen=True)
class Moment:
    """Where in training a step stands, and its randomness."""

    generator: torch.Generator
    temperature: float
    epoch: int = 0  # from 0
    epochs: int = 1
    observe: bool = False  # whether to compute what is only logged


@dataclass(frozen=True)
class Step:
    """A step's loss, with gradient, and what was observed on the way (detached scalars)."""

    loss: Tensor
    observed: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Contrast:
    """What every contrastive method shares: K, the strategy and the objective."""

    strategy: Strategy
    objective: Objective
    params: dict[str, Any] = field(default_factory=dict)  # of the objective
    k: int | None = None  # candidates an anchor; None: the whole pool
    directions: str = "both"  # of the objective: "one" view or "both" views of an instance are anchors

    def __call__(
        self,
        anchors: Tensor,
        positive: Tensor,
        pool: Pool,
        offered: Tensor | None,
        moment: Moment,
        *,
        labels: Tensor | None = None,
    ) -> Step:
        """The objective over the anchors.

        Shapes: anchors [B, D] and positive [B, D] unit rows, pool [P, D], offered bool [B, P] or None (every row).
        """
        s_pos = (anchors * positive).sum(dim=1)  # [B]
        s_neg = anchors @ pool.keys.T  # [B, P]: the step's one similarity product
        candidates = Candidates(
            s_neg.detach(), anchors.detach(), pool.keys.detach(), offered, labels, pool.labels,
            epoch=moment.epoch, epochs=moment.epochs,
        )  # fmt: skip
        with torch.no_grad():
            selection = self.strategy.select(candidates, generator=moment.generator)
            log_weight = _log_weight(candidates, selection)
        negatives = s_neg
        if selection.synthetic is not None:
            s_synthetic = torch.einsum("bd,bsd->bs", anchors, selection.synthetic)  # [B, S]
            negatives = torch.cat([s_neg, s_synthetic], dim=1)  # [B, P + S]
            if log_weight is not None:
                log_weight = F.pad(log_weight, (0, s_synthetic.shape[1]))
        loss = self.objective(
            s_pos, negatives, temperature=moment.temperature, log_weight=log_weight, **self.params
        )  # fmt: skip
        if selection.attract is not None:
            loss = loss + attraction(s_pos, s_neg, selection.attract, temperature=moment.temperature)
        observed = observe(candidates, negatives.detach(), log_weight, s_pos.detach()) if moment.observe else {}
        return Step(loss, observed)


def attraction(positive: Tensor, similarity: Tensor, attract: Tensor, *, temperature: float) -> Tensor:
    """What further positives F_i add to an InfoNCE loss: (s⁺ − mean of s over {⁺} ∪ F_i)/t, mean over anchors.

    Shapes: positive [B], similarity [B, P], attract bool [B, P]. Source: Huynh 2020, 2011.11765, eq. 3.
    """
    total = positive + (similarity * attract).sum(dim=1)
    return ((positive - total / (1 + attract.sum(dim=1))) / temperature).mean()


def _log_weight(candidates: Candidates, selection: Selection) -> Tensor | None:
    if candidates.offered is None:
        return selection.log_weight
    if selection.log_weight is None:
        return Selection.keep(candidates.offered).log_weight
    return selection.log_weight.masked_fill(~candidates.offered, float("-inf"))


def observe(
    candidates: Candidates, negatives: Tensor, log_weight: Tensor | None, positive: Tensor
) -> dict[str, Tensor]:
    """K, K_eff, mean similarities, and, with labels, the collision rates of the pool and of the selection."""
    rows = candidates.similarity.shape[1]
    kept = torch.ones_like(negatives) if log_weight is None else (log_weight > float("-inf")).to(negatives.dtype)
    observed = {
        "k": candidates.count().float().mean(),
        "k_eff": kept.sum(dim=1).mean(),
        "similarity.positive": positive.mean(),
        "similarity.negative": (negatives * kept).sum() / kept.sum(),
    }
    if candidates.anchor_labels is not None and candidates.key_labels is not None:
        same = candidates.same_class().to(kept.dtype)
        offered = torch.ones_like(same) if candidates.offered is None else candidates.offered.to(same.dtype)
        real = kept[:, :rows]
        observed["collision_rate.pool"] = (same * offered).sum() / offered.sum()
        observed["collision_rate.selection"] = (same * real).sum() / real.sum().clamp(min=1)
    return observed

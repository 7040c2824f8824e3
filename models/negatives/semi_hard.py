"""Semi-hard negatives: less similar to the anchor than its positive is, but not by much (Schroff 2015, 1503.03832)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.negatives.rank import at_most, band
from models.negatives.strategy import STRATEGIES, Candidates, Filter

ROUNDED = 1e-5
"""Difference of squared distances that rounding makes: a positive that is among the candidates is none of them."""


@STRATEGIES.register("semi_hard")
@dataclass(frozen=True, kw_only=True)
class SemiHard(Filter):
    """Candidates further than the positive, 0 < d²(a, n) − d²(a, p) < margin, d² = 2 − 2s (FaceNet, Schroff 2015).

    `count=1, margin=None` takes the hardest of all that are further than the positive, as Xuan et al. 2020 (1904.04370)
    do. An anchor without such candidates has no negatives.
    """

    margin: float | None = 0.2
    """how much further than the positive, in squared distance; None: any"""
    count: int | None = None
    """how many of them are kept, hardest first; None: all"""

    def __post_init__(self) -> None:
        if self.margin is not None and self.margin <= 0:
            raise ValueError(f"semi_hard: margin must be above 0, or null for any, got {self.margin}; FaceNet has 0.2")
        if self.count is not None and self.count < 1:
            raise ValueError(f"semi_hard: count must be at least 1, got {self.count}; null keeps all")

    def within(self, candidates: Candidates) -> Tensor:
        """Bool [B, P]: the candidates that are offered and lie in the margin."""
        if candidates.positive is None:
            raise ValueError("semi_hard compares candidates with the positive: give Candidates its similarity")
        wide = torch.promote_types(candidates.similarity.dtype, torch.float32)
        further = 2 * (candidates.positive.to(wide)[:, None] - candidates.similarity.to(wide))  # d²(a, n) − d²(a, p)
        within = further > ROUNDED if self.margin is None else (further > ROUNDED) & (further < self.margin)
        return within if candidates.offered is None else within & candidates.offered

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        within = self.within(candidates)
        if self.count is None:
            return within
        scores = candidates.similarity.masked_fill(~within, -2)
        return band(scores, 0, at_most(candidates.similarity.shape[1], self.count)).mul_(within)


@STRATEGIES.register("semi_hard_other_class")
@dataclass(frozen=True, kw_only=True)
class SemiHardOtherClass(SemiHard):
    """Semi-hard candidates of other classes than the anchor's, as labelled triplets are mined (uses labels)."""

    uses_labels: ClassVar[bool] = True

    def classes_met(self, classes: int, class_similarity: Tensor | None) -> Tensor:
        """Bool [C, C]: all but the diagonal."""
        return ~torch.eye(classes, dtype=torch.bool)

    def within(self, candidates: Candidates) -> Tensor:
        return super().within(candidates) & (candidates.same_class() == 0)

"""False negatives found by their similarity, and eliminated or attracted (Huynh 2020, 2011.11765)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.negatives.rank import at_most, band
from models.negatives.strategy import STRATEGIES, Candidates, Filter, Selection


@STRATEGIES.register("false_negative_cancellation")
@dataclass(frozen=True, kw_only=True)
class FalseNegativeCancellation(Filter):
    """The candidates most similar to the anchor are taken for false negatives: left out, or attracted (Huynh 2020).

    Found are those among the `top_k` most similar whose similarity reaches `threshold`. The support set is the anchor
    itself, with no further views. Source: 2011.11765.
    """

    mode: Literal["eliminate", "attract"] = "eliminate"
    """whether what is found is left out of the denominator, or counts as further positives"""
    top_k: int | None = 10
    """how many of the most similar candidates may be false negatives; None: any number"""
    threshold: float | None = None
    """similarity that a false negative reaches, in [−1, 1]; None: any"""

    def __post_init__(self) -> None:
        if self.mode not in ("eliminate", "attract"):
            raise ValueError(f"false_negative_cancellation: mode is 'eliminate' or 'attract', got {self.mode!r}")
        if self.top_k is None and self.threshold is None:
            raise ValueError("false_negative_cancellation takes every candidate for a false negative; give top_k=10")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"false_negative_cancellation: top_k must be at least 1, got {self.top_k}")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise ValueError(f"false_negative_cancellation: threshold must lie in [-1, 1], got {self.threshold}")

    @property
    def attracts(self) -> bool:
        return self.mode == "attract"

    def check(self, epochs: int, k: int) -> None:
        if self.threshold is None and self.top_k is not None and self.top_k >= k:
            raise ValueError(
                f"false_negative_cancellation: top_k {self.top_k} takes all K = {k} candidates for false negatives; "
                "lower top_k, raise k, or give a threshold"
            )

    def found(self, candidates: Candidates) -> Tensor:
        """1 for the candidates that are taken for false negatives, else 0, [B, P]."""
        s = candidates.ranked_by(candidates.similarity)
        found = torch.ones_like(s)
        if self.top_k is not None:
            found = band(s, 0, at_most(candidates.count(), self.top_k))
        return found if self.threshold is None else found.mul_(s >= self.threshold)

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        return self.found(candidates).neg_().add_(1)

    def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
        if self.mode == "eliminate":
            return super().select(candidates, generator=generator)
        return Selection(attract=candidates.by_rows(self._attracted, dtype=torch.bool))

    def _attracted(self, candidates: Candidates) -> Tensor:
        found = self.found(candidates)
        return found if candidates.offered is None else found * candidates.offered

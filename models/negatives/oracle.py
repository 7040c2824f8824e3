"""Label oracles: what an ideal detector of collisions would leave. They use labels, and say so."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.negatives.difficulty import check_band
from models.negatives.rank import band, check_rounding, edges
from models.negatives.strategy import STRATEGIES, Candidates, Filter


@STRATEGIES.register("without_same_class")
@dataclass(frozen=True, kw_only=True)
class WithoutSameClass(Filter):
    """Every candidate but those of the anchor's class: no collisions (uses labels)."""

    uses_labels: ClassVar[bool] = True

    def classes_met(self, classes: int, class_similarity: Tensor | None) -> Tensor:
        """Bool [C, C]: all but the diagonal."""
        return ~torch.eye(classes, dtype=torch.bool)

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        return candidates.same_class().neg_().add_(1)


@STRATEGIES.register("only_same_class")
@dataclass(frozen=True, kw_only=True)
class OnlySameClass(Filter):
    """Only the candidates of the anchor's class: collisions alone (uses labels)."""

    uses_labels: ClassVar[bool] = True

    def classes_met(self, classes: int, class_similarity: Tensor | None) -> Tensor:
        """Bool [C, C]: the diagonal."""
        return torch.eye(classes, dtype=torch.bool)

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        return candidates.same_class()


@STRATEGIES.register("without_same_class_in")
@dataclass(frozen=True, kw_only=True)
class WithoutSameClassIn(Filter):
    """Every candidate but those of the anchor's class within the difficulty band [lo, hi) (uses labels).

    Source: Cai 2020, 2010.06682: same-class negatives removed from the hardest ones.
    """

    uses_labels: ClassVar[bool] = True
    lo: float = 0.0
    """where the band of difficulty starts, in [0, hi)"""
    hi: float = 0.05
    """where it ends, in (lo, 1]"""

    def __post_init__(self) -> None:
        check_band("without_same_class_in", self.lo, self.hi)

    def check(self, epochs: int, k: int) -> None:
        check_rounding("without_same_class_in", self.lo, self.hi, k)

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        first, last = edges(self.lo, self.hi, candidates.count())
        in_band = band(candidates.ranked_by(candidates.similarity), first, last)
        return in_band.mul_(candidates.same_class()).neg_().add_(1)

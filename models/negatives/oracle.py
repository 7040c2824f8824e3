"""Label oracles: what an ideal detector of collisions would leave. They use labels, and say so."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.negatives.difficulty import check_band
from models.negatives.rank import band, edges
from models.negatives.strategy import STRATEGIES, Candidates, Selection, Strategy


@dataclass(frozen=True, kw_only=True)
class Oracle(Strategy):
    """A strategy that looks at labels; an anchor that it would leave without negatives keeps its easiest candidate."""

    uses_labels: ClassVar[bool] = True

    def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
        return Selection.keep(keep_one(self.kept(candidates), candidates))

    def kept(self, candidates: Candidates) -> Tensor:
        """Which candidates the rule leaves, bool [B, P]; it may be none."""
        raise NotImplementedError


def keep_one(kept: Tensor, candidates: Candidates) -> Tensor:
    """`kept`, with its easiest candidate for each anchor that has none: the one whose weight is least. bool [B, P]."""
    real = kept if candidates.offered is None else kept & candidates.offered
    empty = ~real.any(dim=1)
    if empty.any():
        last = candidates.count()
        easiest = band(candidates.similarity, last - 1, last, candidates.offered)
        kept = torch.where(empty[:, None], easiest, kept)
    return kept


@STRATEGIES.register("without_same_class")
@dataclass(frozen=True, kw_only=True)
class WithoutSameClass(Oracle):
    """Every candidate but those of the anchor's class: no collisions (uses labels)."""

    def kept(self, candidates: Candidates) -> Tensor:
        return ~candidates.same_class()


@STRATEGIES.register("only_same_class")
@dataclass(frozen=True, kw_only=True)
class OnlySameClass(Oracle):
    """Only the candidates of the anchor's class: collisions alone (uses labels)."""

    def kept(self, candidates: Candidates) -> Tensor:
        return candidates.same_class()


@STRATEGIES.register("without_same_class_in")
@dataclass(frozen=True, kw_only=True)
class WithoutSameClassIn(Oracle):
    """Every candidate but those of the anchor's class within the difficulty band [lo, hi) (uses labels).

    Source: Cai 2020, 2010.06682, §3.2: same-class negatives removed from the hardest ones.
    """

    lo: float = 0.0
    """where the band of difficulty starts, in [0, hi)"""
    hi: float = 0.05
    """where it ends, in (lo, 1]"""

    def __post_init__(self) -> None:
        check_band("without_same_class_in", self.lo, self.hi)

    def kept(self, candidates: Candidates) -> Tensor:
        first, last = edges(self.lo, self.hi, candidates.count())
        return ~(band(candidates.similarity, first, last, candidates.offered) & candidates.same_class())

"""Ash et al. 2021, "Investigating the role of negatives in contrastive representation learning": K and the classes."""

from dataclasses import dataclass

from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Comparison, TrendOverClasses

SOURCE = "Ash et al. 2021, arXiv 2106.09943"


@CLAIMS.register("ash2021_gain_grows")
@dataclass(frozen=True, kw_only=True)
class GainGrows(Claim):
    """The more classes there are, the more accuracy gains from more negatives.

    In points: accuracies of many classes are lower, so that the same gain is larger in proportion to them, whatever K
    does. Published is that the best K grows with C; it lies outside most ranges of K that are studied, and a slope that
    grows with C is what would move it.
    """

    source: str = SOURCE
    comparison: Comparison = TrendOverClasses("k")
    metric: str = "linear.features.top1"
    direction: Direction = "greater"
    margin: float = 0.25

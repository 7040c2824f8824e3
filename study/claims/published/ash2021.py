"""Ash et al. 2021, "Investigating the role of negatives in contrastive representation learning": K and the classes."""

from dataclasses import dataclass

from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Comparison, TrendOverClasses

SOURCE = "Ash et al. 2021, arXiv 2106.09943"


@CLAIMS.register("ash2021_best_k_grows")
@dataclass(frozen=True, kw_only=True)
class BestKGrows(Claim):
    """The more classes there are, the more accuracy gains from more negatives, so that the best K grows with C.

    Of log₂ accuracy, as accuracies of few and of many classes differ in scale. The best K itself lies outside most
    ranges of K that are studied; that the slope over log₂ K grows with C is what moves it.
    """

    source: str = SOURCE
    comparison: Comparison = TrendOverClasses("k")
    metric: str = "linear.features.top1"
    log: bool = True
    direction: Direction = "greater"
    margin: float = 0.01

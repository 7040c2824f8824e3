"""Huynh et al. 2020: false-negative cancellation."""

from dataclasses import dataclass

from study.claims.cells import ALL, ORACLE
from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Against, Comparison

SOURCE = "Huynh et al. 2020, arXiv 2011.11765"
FOUND = ("false_negative_cancellation",)


@CLAIMS.register("huynh2020_gain")
@dataclass(frozen=True, kw_only=True)
class CancellationGain(Claim):
    """Cancelling false negatives gains accuracy."""

    source: str = SOURCE
    comparison: Comparison = Against({"negatives": FOUND}, {"negatives": ALL})
    metric: str = "linear.features.top1"
    direction: Direction = "greater"
    margin: float = 0.5


@CLAIMS.register("huynh2020_bounded")
@dataclass(frozen=True, kw_only=True)
class CancellationBounded(Claim):
    """Cancelling false negatives gains no more than dropping the anchor's class does.

    Not half a point more than the oracle, which knows the labels.
    """

    source: str = SOURCE
    comparison: Comparison = Against({"negatives": FOUND}, {"negatives": ORACLE})
    metric: str = "linear.features.top1"
    direction: Direction = "less"
    reference: float = 0.5
    margin: float = 0.5

"""Chuang et al. 2020: the debiased objective."""

from dataclasses import dataclass

from study.claims.cells import ALL, INFO_NCE, ORACLE
from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Against, Comparison

SOURCE = "Chuang et al. 2020, arXiv 2007.00224"


@CLAIMS.register("chuang2020_gain")
@dataclass(frozen=True, kw_only=True)
class DebiasedGain(Claim):
    """The debiased objective gains accuracy over InfoNCE."""

    source: str = SOURCE
    comparison: Comparison = Against({"objective": ("debiased",)}, {"objective": INFO_NCE})
    metric: str = "linear.features.top1"
    direction: Direction = "greater"
    margin: float = 0.5


@CLAIMS.register("chuang2020_bounded")
@dataclass(frozen=True, kw_only=True)
class DebiasedBounded(Claim):
    """The debiased objective gains no more than InfoNCE does without the anchor's class.

    Not half a point more than the oracle, which knows the labels.
    """

    source: str = SOURCE
    comparison: Comparison = Against(
        {"objective": ("debiased",), "negatives": ALL}, {"objective": INFO_NCE, "negatives": ORACLE}
    )
    metric: str = "linear.features.top1"
    direction: Direction = "less"
    reference: float = 0.5
    margin: float = 0.5

"""Robinson et al. 2021: the hard-negative objective."""

from dataclasses import dataclass

from study.claims.cells import ALL, INFO_NCE, ORACLE
from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Against, Comparison

SOURCE = "Robinson et al. 2021, arXiv 2010.04592"


@CLAIMS.register("robinson2021_gain")
@dataclass(frozen=True, kw_only=True)
class HardGain(Claim):
    """The hard objective gains accuracy over InfoNCE."""

    source: str = SOURCE
    comparison: Comparison = Against({"objective": ("hard",)}, {"objective": INFO_NCE})
    metric: str = "linear.features.top1"
    direction: Direction = "greater"
    margin: float = 0.5


@CLAIMS.register("robinson2021_bounded")
@dataclass(frozen=True, kw_only=True)
class HardBounded(Claim):
    """The hard objective gains no more than InfoNCE does without the anchor's class.

    Not half a point more than the oracle, which knows the labels.
    """

    source: str = SOURCE
    comparison: Comparison = Against(
        {"objective": ("hard",), "negatives": ALL}, {"objective": INFO_NCE, "negatives": ORACLE}
    )
    metric: str = "linear.features.top1"
    direction: Direction = "less"
    reference: float = 0.5
    margin: float = 0.5

"""Yeh et al. 2021: decoupled contrastive learning."""

from dataclasses import dataclass

from study.claims.cells import INFO_NCE
from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Against, Comparison, Trend

SOURCE = "Yeh et al. 2021, arXiv 2110.06848"
DECOUPLED = Against({"objective": ("decoupled", "decoupled_weighted")}, {"objective": INFO_NCE})


@CLAIMS.register("yeh2021_small_k")
@dataclass(frozen=True, kw_only=True)
class DecouplingAtSmallK(Claim):
    """Decoupling narrows the gap at small K: its gain over InfoNCE falls as K grows."""

    source: str = SOURCE
    comparison: Comparison = Trend("k", of=DECOUPLED)
    metric: str = "linear.features.top1"
    direction: Direction = "less"
    margin: float = 0.25

"""Seeds that an undecided claim is missing, and how long they take."""

import math

from scipy.special import stdtrit

from study.analysis.paired import detectable_ratio
from study.claims.claim import Claim
from study.claims.estimate import Estimate

MOST = 200
"""More seeds than that nobody runs."""


def seeds_missing(claim: Claim, estimate: Estimate, condition: int, level: float) -> int:
    """How many seeds more find, at this level and in 80 % of studies, an effect that lies `margin` beyond the
    reference; of an equivalence, that no effect is none. From the residual's variance; 0 where there are as many."""
    now = estimate.seeds
    for seeds in range(now, MOST + 1):
        df = max(1, round(estimate.df * (seeds - 1) / (now - 1)))
        error = float(estimate.errors[condition]) * math.sqrt(now / seeds)
        if error * _ratio(claim, float(stdtrit(df, 1 - level / 2)), df) <= claim.margin:
            return seeds - now
    return MOST - now


def missing(claim: Claim, more: int, cells: int, seconds: float) -> str:
    """In words: so many seeds more of so many cells, seconds of a trial."""
    if not more:
        smallest = f"{claim.margin:g} {claim.unit}".strip()
        return f"nothing: these seeds find an effect of {smallest}, the smallest of interest, in 80 % of studies"
    count = f"about {more}" if more < MOST // 2 else f"more than {MOST // 2}"
    many = f"{count} more seed{'s' if more > 1 else ''} of {cells} cell{'s' if cells > 1 else ''}"
    return f"{many}, {duration(more * cells * seconds)}" if math.isfinite(seconds) else many


def duration(seconds: float) -> str:
    """`40 seconds`, `11 minutes` or `3.5 hours`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _ratio(claim: Claim, critical: float, df: int) -> float:
    """The margin over the standard error that is needed."""
    if claim.direction == "equivalent":  # both ends must be told, and each is missed in 10 % of studies
        return critical + float(stdtrit(df, 0.9))
    return detectable_ratio(critical, df)

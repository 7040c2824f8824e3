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


def seeds_to_verdict(claim: Claim, estimate: Estimate, condition: int, level: float) -> int:
    """How many seeds more, of a study that is looked at after each, decide the claim if its effect stays as it is
    measured, or show that it lies within `margin` of the reference."""
    now, effect = estimate.seeds, float(estimate.effects[condition])
    for seeds in range(now + 1, MOST + 1):
        later = estimate._replace(df=estimate.df + seeds - now, errors=estimate.errors * math.sqrt(now / seeds))
        if later.worth is not None:
            later = later._replace(worth=later.worth * seeds / now)
        half = later.half_width(condition, level)
        if _told(claim.region, effect, half) or negligible(claim, effect - half, effect + half):
            return seeds - now
    return MOST - now


def negligible(claim: Claim, low: float, high: float) -> bool:
    """Whether an interval lies within the smallest effect of interest on both sides of the reference."""
    return claim.reference - claim.margin < low and high < claim.reference + claim.margin


def nothing_to_find(claim: Claim) -> str:
    """In words, of an interval that is `negligible`."""
    return f"nothing: the effect is nearer than {claim.margin:g} {claim.unit}".strip() + ", the smallest of interest"


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


def _told(region: tuple[float, float], effect: float, half: float) -> bool:
    """Whether an interval lies wholly in the region or outside it."""
    return all(abs(effect - end) > half for end in region if math.isfinite(end))


def _ratio(claim: Claim, critical: float, df: int) -> float:
    """The margin over the standard error that is needed."""
    if claim.direction == "equivalent":  # both ends must be told, and each is missed in 10 % of studies
        return critical + float(stdtrit(df, 0.9))
    return detectable_ratio(critical, df)

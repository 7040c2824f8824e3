"""Cai et al. 2020, "Are all negatives created equal in contrastive instance discrimination?": bands of difficulty."""

from dataclasses import dataclass

from study.claims.cells import ALL, ORACLE
from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Against, Comparison, Level, Optimum

SOURCE = "Cai et al. 2020, arXiv 2010.06682"
HARDEST = ("hardest_5pct", "difficulty(hi=0.05)", "difficulty(lo=0, hi=0.05)")
HARDEST_CONTROL = ("hardest_5pct_control", "difficulty_control(hi=0.05)", "difficulty_control(lo=0, hi=0.05)")
EASIEST = ("easiest_95pct", "difficulty(lo=0.05)", "difficulty(lo=0.05, hi=1)")
EASIEST_CONTROL = ("easiest_95pct_control", "difficulty_control(lo=0.05)", "difficulty_control(lo=0.05, hi=1)")
REST = ("without_hardest_0.1pct", "difficulty(lo=0.001)", "difficulty(lo=0.001, hi=1)")


@CLAIMS.register("cai2020_hardest_necessary")
@dataclass(frozen=True, kw_only=True)
class HardestNecessary(Claim):
    """The hardest 5 % of the negatives teach more than as many random ones."""

    source: str = SOURCE
    comparison: Comparison = Against({"negatives": HARDEST}, {"negatives": HARDEST_CONTROL})
    metric: str = "linear.features.top1"
    direction: Direction = "greater"
    margin: float = 1.0


@CLAIMS.register("cai2020_hardest_suffice")
@dataclass(frozen=True, kw_only=True)
class HardestSuffice(Claim):
    """The hardest 5 % of the negatives suffice: with them alone accuracy is not 2 points lower than with all."""

    source: str = SOURCE
    comparison: Comparison = Against({"negatives": HARDEST}, {"negatives": ALL})
    metric: str = "linear.features.top1"
    direction: Direction = "greater"
    reference: float = -2.0
    margin: float = 2.0


@CLAIMS.register("cai2020_easiest_insufficient")
@dataclass(frozen=True, kw_only=True)
class EasiestInsufficient(Claim):
    """The easiest 95 % of the negatives do not suffice: they teach less than as many random ones."""

    source: str = SOURCE
    comparison: Comparison = Against({"negatives": EASIEST}, {"negatives": EASIEST_CONTROL})
    metric: str = "linear.features.top1"
    direction: Direction = "less"
    margin: float = 1.0


@CLAIMS.register("cai2020_hardest_are_collisions")
@dataclass(frozen=True, kw_only=True)
class HardestAreCollisions(Claim):
    """Dropping the hardest 0.1 % of the negatives is like dropping those of the anchor's class."""

    source: str = SOURCE
    comparison: Comparison = Against({"negatives": REST}, {"negatives": ORACLE})
    metric: str = "linear.features.top1"
    direction: Direction = "equivalent"
    margin: float = 1.0


@CLAIMS.register("cai2020_share_follows_classes")
@dataclass(frozen=True, kw_only=True)
class ShareFollowsClasses(Claim):
    """The share of hardest negatives that is best removed is that of the anchor's class, 1/C, within a factor of 4.

    Best: by the gain over as many removed at random. Published: 0.1 % where 1/C is 0.1 % (ImageNet).
    """

    source: str = SOURCE
    comparison: Comparison = Optimum(
        "negatives.lo",
        of=Against({"negatives": ("difficulty",)}, {"negatives": ("difficulty_control",)}, alike=True),
        near_one_class=4.0,
    )
    metric: str = "linear.features.top1"
    direction: Direction = "greater"
    margin: float = 0.5


@CLAIMS.register("cai2020_hard_are_near")
@dataclass(frozen=True, kw_only=True)
class HardAreNear(Claim):
    """The hardest 5 % of the negatives of other classes are nearer in WordNet than all are."""

    source: str = SOURCE
    comparison: Comparison = Level()
    metric: str = "negatives.hard_5pct.wup_other"
    minus: str = "negatives.pool.wup_other"
    direction: Direction = "greater"
    margin: float = 0.01


@CLAIMS.register("cai2020_easy_are_near")
@dataclass(frozen=True, kw_only=True)
class EasyAreNear(Claim):
    """The easiest 5 % of the negatives of other classes are nearer in WordNet than all are."""

    source: str = SOURCE
    comparison: Comparison = Level()
    metric: str = "negatives.easy_5pct.wup_other"
    minus: str = "negatives.pool.wup_other"
    direction: Direction = "greater"
    margin: float = 0.01


@CLAIMS.register("cai2020_same_are_hard")
@dataclass(frozen=True, kw_only=True)
class SameAreHard(Claim):
    """The same negatives are hard across queries, more than by chance."""

    source: str = SOURCE
    comparison: Comparison = Level()
    metric: str = "negatives.hard_5pct.overdispersion"
    direction: Direction = "greater"
    reference: float = 1.0
    margin: float = 0.5

"""Confusions and meaning, and whether what is claimed of contrastive learning needs contrastive learning."""

from dataclasses import dataclass

from study.claims.cells import CONTRASTIVE, NO_NEGATIVES
from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Against, Comparison, Level

CONTROL = "control of this project"
WITHOUT: Comparison = Against({"method": CONTRASTIVE}, {"method": NO_NEGATIVES})


@CLAIMS.register("alsallakh2017_confusions")
@dataclass(frozen=True, kw_only=True)
class ConfusionsFollowMeaning(Claim):
    """Classes that are near in WordNet are confused more."""

    source: str = "Alsallakh et al. 2017, arXiv 1710.06501"
    comparison: Comparison = Level()
    metric: str = "linear.features.confusion_spearman_wup"
    direction: Direction = "greater"
    margin: float = 0.1


@CLAIMS.register("control_untrained")
@dataclass(frozen=True, kw_only=True)
class BeyondUntrained(Claim):
    """Contrastive learning gains accuracy over its untrained encoder."""

    source: str = CONTROL
    comparison: Comparison = Level()
    metric: str = "linear.features.top1"
    minus: str = "linear.floor.top1"
    direction: Direction = "greater"
    margin: float = 1.0


@CLAIMS.register("control_meaning")
@dataclass(frozen=True, kw_only=True)
class MeaningNeedsNegatives(Claim):
    """Difficulty follows meaning more after contrastive learning than after learning without negatives."""

    source: str = CONTROL
    comparison: Comparison = WITHOUT
    metric: str = "negatives.spearman_wup_other"
    direction: Direction = "greater"
    margin: float = 0.05


@CLAIMS.register("control_same_are_hard")
@dataclass(frozen=True, kw_only=True)
class SameAreHardNeedsNegatives(Claim):
    """The same negatives are hard more after contrastive learning than after learning without negatives."""

    source: str = CONTROL
    comparison: Comparison = WITHOUT
    metric: str = "negatives.hard_5pct.overdispersion"
    direction: Direction = "greater"
    margin: float = 0.5


@CLAIMS.register("control_confusions")
@dataclass(frozen=True, kw_only=True)
class ConfusionsNeedNegatives(Claim):
    """Confusions follow meaning more after contrastive learning than after learning without negatives."""

    source: str = CONTROL
    comparison: Comparison = WITHOUT
    metric: str = "linear.features.confusion_spearman_wup"
    direction: Direction = "greater"
    margin: float = 0.1

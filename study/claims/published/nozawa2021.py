"""Nozawa & Sato 2021: more negatives do not hurt, and bounds that say so."""

from dataclasses import dataclass

from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Comparison, Trend

SOURCE = "Nozawa & Sato 2021, arXiv 2102.06866"


@CLAIMS.register("nozawa2021_accuracy")
@dataclass(frozen=True, kw_only=True)
class AccuracyOverK(Claim):
    """Accuracy does not fall as K grows."""

    source: str = SOURCE
    comparison: Comparison = Trend("k")
    metric: str = "linear.features.top1"
    direction: Direction = "greater"
    reference: float = -0.5
    margin: float = 0.5


@CLAIMS.register("nozawa2021_arora_explodes")
@dataclass(frozen=True, kw_only=True)
class AroraExplodes(Claim):
    """Arora's upper bound on the supervised loss grows faster than K.

    Of K at which the draws see all classes: below, it falls, as it divides by the probability that they do.
    """

    source: str = SOURCE
    comparison: Comparison = Trend("k", all_classes=True)
    metric: str = "bounds.arora2019.supervised_upper"
    log: bool = True
    direction: Direction = "greater"
    reference: float = 1.0
    margin: float = 0.5


@CLAIMS.register("nozawa2021_does_not_explode")
@dataclass(frozen=True, kw_only=True)
class DoesNotExplode(Claim):
    """Nozawa and Sato's upper bound on the supervised loss grows more slowly than K."""

    source: str = SOURCE
    comparison: Comparison = Trend("k", all_classes=True)
    metric: str = "bounds.nozawa2021.supervised_upper"
    log: bool = True
    direction: Direction = "less"
    reference: float = 1.0
    margin: float = 0.5


@CLAIMS.register("nozawa2021_collision_bound_flat")
@dataclass(frozen=True, kw_only=True)
class CollisionBoundFlat(Claim):
    """The upper bound of the collision term does not change with K.

    Published: 0.60 at K + 1 = 32 and 0.62 at 512 (CIFAR-10), 0.52 and 0.51 (CIFAR-100).
    """

    source: str = SOURCE
    comparison: Comparison = Trend("k")
    metric: str = "bounds.collision_upper"
    direction: Direction = "equivalent"
    margin: float = 0.02

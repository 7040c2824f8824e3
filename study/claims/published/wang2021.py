"""Wang & Liu 2021, "Understanding the behaviour of contrastive loss": what the temperature does."""

from dataclasses import dataclass

from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Comparison, Optimum, Trend

SOURCE = "Wang & Liu 2021, arXiv 2012.09740"


@CLAIMS.register("wang2021_uniformity")
@dataclass(frozen=True, kw_only=True)
class Uniformity(Claim):
    """A lower temperature spreads embeddings more uniformly.

    Uniformity is log E e^(−2 d²), lower where embeddings are more uniform: it rises with t.
    """

    source: str = SOURCE
    comparison: Comparison = Trend("temperature")
    metric: str = "geometry.uniformity"
    direction: Direction = "greater"
    margin: float = 0.05


@CLAIMS.register("wang2021_tolerance")
@dataclass(frozen=True, kw_only=True)
class Tolerance(Claim):
    """A lower temperature tolerates pairs of a class less."""

    source: str = SOURCE
    comparison: Comparison = Trend("temperature")
    metric: str = "geometry.tolerance"
    direction: Direction = "greater"
    margin: float = 0.002


@CLAIMS.register("wang2021_concentration")
@dataclass(frozen=True, kw_only=True)
class Concentration(Claim):
    """A lower temperature concentrates the gradient on the hardest negatives."""

    source: str = SOURCE
    comparison: Comparison = Trend("temperature")
    metric: str = "train.penalty.hardest_5pct_share"
    direction: Direction = "less"
    margin: float = 0.02


@CLAIMS.register("wang2021_optimum")
@dataclass(frozen=True, kw_only=True)
class InteriorOptimum(Claim):
    """Accuracy has its optimum between the lowest and the highest temperature."""

    source: str = SOURCE
    comparison: Comparison = Optimum("temperature")
    metric: str = "linear.features.top1"
    direction: Direction = "greater"
    margin: float = 0.5

"""Kalantidis et al. 2020: what mixed hard negatives (MoCHi) do to the embeddings."""

from dataclasses import dataclass

from study.claims.cells import ALL
from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Against, Comparison

SOURCE = "Kalantidis et al. 2020, arXiv 2010.01028"
MIXED: Comparison = Against({"negatives": ("mixing",)}, {"negatives": ALL})


@CLAIMS.register("kalantidis2020_uniformity")
@dataclass(frozen=True, kw_only=True)
class MixingUniformity(Claim):
    """MoCHi spreads embeddings more uniformly."""

    source: str = SOURCE
    comparison: Comparison = MIXED
    metric: str = "geometry.uniformity"
    direction: Direction = "less"
    margin: float = 0.05


@CLAIMS.register("kalantidis2020_alignment")
@dataclass(frozen=True, kw_only=True)
class MixingAlignment(Claim):
    """MoCHi aligns the views of an example less.

    Alignment is E‖z − z⁺‖², higher where views are further apart.
    """

    source: str = SOURCE
    comparison: Comparison = MIXED
    metric: str = "geometry.alignment"
    direction: Direction = "greater"
    margin: float = 0.01

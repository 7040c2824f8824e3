"""Bands of semantic similarity between the classes of anchor and negative: an oracle too."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.negatives.strategy import STRATEGIES, Candidates, Filter


@STRATEGIES.register("semantic")
@dataclass(frozen=True, kw_only=True)
class Semantic(Filter):
    """Candidates whose class has a WordNet similarity to the anchor's class in [lo, hi) (uses labels).

    The caller puts the measure's [C, C] matrix into the candidates; a row without class is left out.
    """

    uses_labels: ClassVar[bool] = True
    measure: str = "wup"
    """measure of WordNet similarity between classes"""
    lo: float = 0.0
    """lowest similarity that is kept"""
    hi: float | None = None
    """similarity from which on nothing is kept; wup below 1 leaves out the anchor's own class; None: no end"""

    def __post_init__(self) -> None:
        if self.hi is not None and not self.lo < self.hi:
            raise ValueError(f"semantic: a band needs lo < hi, got lo={self.lo}, hi={self.hi}")

    @property
    def needs_similarity(self) -> str | None:
        return self.measure

    def classes_met(self, classes: int, class_similarity: Tensor | None) -> Tensor:
        """Bool [C, C]: where the similarity lies in the band."""
        if class_similarity is None:
            raise ValueError(f"semantic: no matrix of {self.measure!r} was given; set Contrast.class_similarity to it")
        above = class_similarity >= self.lo
        return above if self.hi is None else above & (class_similarity < self.hi)

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        anchors, keys = candidates.anchor_labels, candidates.key_labels
        if anchors is None or keys is None:
            raise ValueError("the data has no labels: choose a strategy that does not use them")
        matrix = candidates.class_similarity
        met = self.classes_met(0 if matrix is None else len(matrix), matrix)
        in_band = torch.nn.functional.pad(met, (0, 1)).to(candidates.similarity.dtype)  # column −1: no class
        return in_band[anchors].index_select(1, keys % in_band.shape[1])  # [B, P]

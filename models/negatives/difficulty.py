"""Bands of difficulty: the candidates ranked by similarity to the anchor (Cai 2020, 2010.06682), and their controls."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.negatives.rank import band, check_rounding, edges
from models.negatives.strategy import STRATEGIES, Candidates, Filter
from models.negatives.uniform import random_subset


def check_band(name: str, lo: float, hi: float) -> None:
    """Refuse, with ValueError, a band of fractions that selects nothing or does not lie in [0, 1]."""
    if not 0 <= lo < hi <= 1:
        raise ValueError(
            f"{name}: a band needs 0 <= lo < hi <= 1, got lo={lo}, hi={hi}; the hardest 5 % are lo=0, hi=0.05"
        )


@STRATEGIES.register("difficulty")
@dataclass(frozen=True, kw_only=True)
class Difficulty(Filter):
    """The percentile band [lo, hi) of each anchor's candidates, ranked by similarity, hardest first; at least one.

    Source: Cai 2020, 2010.06682.
    """

    lo: float = 0.0
    """share of the hardest candidates to leave out, in [0, hi)"""
    hi: float = 1.0
    """where the band ends, in (lo, 1]"""

    def __post_init__(self) -> None:
        check_band("difficulty", self.lo, self.hi)

    def check(self, epochs: int, k: int) -> None:
        check_rounding("difficulty", self.lo, self.hi, k)

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        first, last = edges(self.lo, self.hi, candidates.count())
        return band(candidates.ranked_by(candidates.similarity), first, last)


@STRATEGIES.register("difficulty_control")
@dataclass(frozen=True, kw_only=True)
class DifficultyControl(Difficulty):
    """As many candidates as difficulty(lo, hi) keeps, at random: fewer negatives alone act like another temperature."""

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        first, last = edges(self.lo, self.hi, candidates.count())
        return random_subset(candidates, last - first, generator=generator)


PRESETS = {  # Cai 2020's conditions: lo, hi
    "hardest_5pct": (0.0, 0.05),
    "easiest_95pct": (0.05, 1.0),
    "without_hardest_0.1pct": (0.001, 1.0),
    "hardest_5pct_without_0.1pct": (0.001, 0.05),
}


def _preset(kind: type[Difficulty], lo: float, hi: float, doc: str) -> Callable[[], Difficulty]:
    def preset() -> Difficulty:
        return kind(lo=lo, hi=hi)

    preset.__doc__, preset.__qualname__ = doc, f"{kind.__name__}({lo}, {hi})"
    return preset


for _name, (_lo, _hi) in PRESETS.items():
    STRATEGIES.register(_name)(_preset(Difficulty, _lo, _hi, f"difficulty({_lo}, {_hi}) of Cai 2020, 2010.06682."))
    STRATEGIES.register(f"{_name}_control")(
        _preset(DifficultyControl, _lo, _hi, f"As many candidates as {_name} keeps, at random.")
    )

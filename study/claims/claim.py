"""A claim: a sentence of a publication, as a test of an effect that a study's cells can show."""

import inspect
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from models.registry import Registry
from study.claims.comparisons import Comparison
from study.metric_names import is_percentage

CLAIMS = Registry("claim")

Direction = Literal["greater", "less", "equivalent"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An effect, and where it lies if the claim holds. The docstring's first line is the claim, in one sentence.

    Register a frozen dataclass that gives these fields their defaults, with `@CLAIMS.register("name")`.
    """

    source: str
    """authors, year, arXiv id"""
    comparison: Comparison
    """the cells, and what is made of them"""
    metric: str
    """by its name in docs/metrics.md"""
    minus: str = ""
    """a metric of the same trial that is subtracted"""
    log: bool = False
    """whether the effect is one on log₂ of the metric"""
    direction: Direction
    """greater or less than `reference`, or equivalent to it within ± `margin`"""
    reference: float = 0.0
    """what the effect is held against, in the effect's unit; −0.5 and greater: it does not fall by more than 0.5"""
    margin: float
    """smallest effect of interest, from the reference: seeds are counted for 80 % power at it"""
    seeds: int = 2
    """that cells must have in common for a verdict"""

    def __post_init__(self) -> None:
        if self.direction not in ("greater", "less", "equivalent"):
            raise ValueError(f"a claim's direction is greater, less or equivalent, got {self.direction!r}")
        if not (self.margin > 0 and math.isfinite(self.margin)):
            raise ValueError(f"a claim's margin, the smallest effect of interest, must be above 0, got {self.margin}")
        if self.seeds < 2:
            raise ValueError(f"a claim needs 2 seeds or more, without which noise is unknown, got {self.seeds}")

    @property
    def statement(self) -> str:
        return (inspect.getdoc(self) or "").splitlines()[0]

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that a trial must have measured."""
        return (self.metric, self.minus) if self.minus else (self.metric,)

    @property
    def unit(self) -> str:
        """Of the effect, in words: `%`, `doublings per doubling of k`; empty for a number without unit."""
        own = "doublings" if self.log else "%" if is_percentage(self.metric) else ""
        return f"{own} {self.comparison.per}".strip()

    @property
    def region(self) -> tuple[float, float]:
        """Where the effect lies if the claim holds."""
        if self.direction == "equivalent":
            return self.reference - self.margin, self.reference + self.margin
        return (self.reference, math.inf) if self.direction == "greater" else (-math.inf, self.reference)

    def outcomes(self, trials: pd.DataFrame) -> np.ndarray:
        """Each trial's value [trials]; NaN where a metric is missing or has no finite value."""
        if not set(self.metrics) <= set(trials):
            return np.full(len(trials), np.nan)
        values = trials[self.metric].to_numpy(dtype=float)
        if self.minus:
            values = values - trials[self.minus].to_numpy(dtype=float)
        if self.log:
            values = np.log2(np.where(values > 0, values, np.nan))
        return np.where(np.isfinite(values), values, np.nan)

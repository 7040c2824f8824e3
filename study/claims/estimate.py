"""A claim's effect from its trials: paired by seed, with its error, and how far it lies from where the claim ends."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from study.analysis import anytime
from study.analysis.paired import ROUNDING, block_design, unequal_noise

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


class Estimate(NamedTuple):
    """Of several conditions of which all must hold, each."""

    effects: Array
    """[conditions], in the effect's unit"""
    errors: Array
    """[conditions], standard errors"""
    df: int
    seeds: int
    """that the cells have in common"""
    worth: Array | None = None
    """[conditions], the effective number of seeds, of a study that is looked at after each: p-values and intervals then
    hold whenever one stops (`study.analysis.anytime`); else they are Student's"""

    def p_values(self, ratio: Array) -> Array:
        """Of each condition's |t|, two-sided."""
        return 2 * stdtr(self.df, -ratio) if self.worth is None else anytime.p_values(ratio, self.df, self.worth)

    def critical(self, condition: int, level: float) -> float:
        """The |t| beyond which a condition's p-value is below the level."""
        if self.worth is None:
            return float(stdtrit(self.df, 1 - level / 2))
        return float(anytime.critical(level, self.df, self.worth[condition]))

    def judged(self, region: tuple[float, float]) -> "Judged":
        """The p-value of a verdict: the least α whose 1 − α interval lies wholly within the claim's region, or wholly
        outside it. Within, every condition must be told (Berger 1982, intersection–union); outside, one is enough, and
        its p is multiplied by their number."""
        low, high = region
        inside = (self.effects > low) & (self.effects < high)
        distance = np.minimum(np.abs(self.effects - low), np.abs(self.effects - high))
        ratio = np.divide(distance, self.errors, out=np.where(distance > 1e-12, np.inf, 0.0), where=self.errors > 1e-12)
        p = self.p_values(ratio)
        if inside.all():
            return Judged(True, int(np.argmax(p)), float(p.max()), 1)
        at = int(np.argmin(np.where(inside, np.inf, p)))
        return Judged(False, at, float(min(1, len(p) * p[at])), len(p))

    def half_width(self, condition: int, level: float) -> float:
        """Of the interval that holds a condition's effect in 1 − level of studies."""
        critical = self.critical(condition, level)
        return critical * float(self.errors[condition]) if np.isfinite(critical) else critical


class Judged(NamedTuple):
    inside: bool
    """whether the estimate is as the claim says"""
    condition: int
    """the one that decides"""
    p_value: float
    conditions: int
    """by whose number p is multiplied"""


class Sample:
    """The trials of a study that have a claim's value: outcomes [trials], their cells of `cells`, and seeds.

    anytime: whether the study is looked at after each seed.
    """

    def __init__(
        self, of_cells: Indices, seeds: Indices, outcomes: Array, cells: int, *, anytime: bool = False
    ) -> None:
        self.of_cells, self.outcomes, self.anytime = of_cells, outcomes, anytime
        self.seeds = np.unique(seeds, return_inverse=True)[1]
        self.there = np.zeros((cells, int(self.seeds.max(initial=-1)) + 1), dtype=bool)
        self.there[of_cells, self.seeds] = True

    def shared(self, weights: Array) -> Indices:
        """The seeds that all cells with a weight have in common."""
        return np.flatnonzero(self.there[(weights != 0).any(axis=0)].all(axis=0))

    def paired(self, weights: Array) -> Estimate | None:
        """Of weights [conditions, cells] that sum to 0: the model cell + seed over all cells of the study, whose pooled
        residual is the noise. Where a cell has more noise than the others (Cochran 1941, p ≤ 1 %), over the cells with
        a weight alone, if these have a residual. None where no noise can be told.

        Looked at after each seed, as `level`: a contrast's values by seed are alike normal whatever the noise of each
        cell, and which trials a look holds follows from their number alone.
        """
        if self.anytime:
            return self.level(weights)
        own = np.flatnonzero((weights != 0).any(axis=0))
        alone = _Model(self, own) if self._unequal and len(own) < len(self.there) else None
        model = alone if alone is not None and np.isfinite(alone.sigma) else self._all
        if not np.isfinite(model.sigma):
            return None
        contrast = weights[:, model.cells] @ model.design.weights
        errors = model.sigma * np.linalg.norm(contrast, axis=1)
        return Estimate(contrast @ model.outcomes, errors, model.design.df, len(self.shared(weights)))

    def level(self, weights: Array) -> Estimate | None:
        """Of any weights: Student's t over the seeds that all cells with a weight have in common. None where these are
        too few, or no noise is left."""
        seeds = self.shared(weights)
        if len(seeds) < 2:
            return None
        values = np.zeros(self.there.shape)
        values[self.of_cells, self.seeds] = self.outcomes
        by_seed = values[:, seeds].T @ weights.T  # [seeds, conditions]
        errors = by_seed.std(axis=0, ddof=1) / np.sqrt(len(seeds))
        if (errors <= ROUNDING * np.abs(self.outcomes).max()).any():
            return None
        worth = np.full(len(weights), float(len(seeds))) if self.anytime else None
        return Estimate(by_seed.mean(axis=0), errors, len(seeds) - 1, len(seeds), worth)

    @cached_property
    def _all(self) -> "_Model":
        return _Model(self, np.unique(self.of_cells))

    @cached_property
    def _unequal(self) -> bool:
        draw, codes = np.random.default_rng(0), np.unique(self.of_cells, return_inverse=True)[1]
        return unequal_noise(self._all.design, codes, self.outcomes, generator=draw) <= 0.01


class _Model:
    """Cell + seed, of the trials of some cells."""

    def __init__(self, sample: Sample, among: Indices) -> None:
        trials = np.isin(sample.of_cells, among)
        self.cells, codes = np.unique(sample.of_cells[trials], return_inverse=True)
        self.outcomes = sample.outcomes[trials]
        self.design = block_design(codes, np.unique(sample.seeds[trials], return_inverse=True)[1])
        self.sigma = float(self.design.sigma(self.outcomes))

"""Comparison of cells that share seeds: differences by seed with a pooled residual, adjusted for their number."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtrinc, stdtr, stdtrit

from study.analysis.intervals import half_width
from study.analysis.studentized_range import quantile, survival

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

LEVEL, POWER = 0.05, 0.8
DRAWS = 50_000
"""Of the largest |t| of a family: its quantile is then known to 0.1 % of probability."""
CHUNK = 5_000
ROUNDING = 1e-9
"""Of the outcomes: noise below that is none."""
NO_NOISE = "no noise was measured"
WAY_OUT = "beside cell and seed nothing is left; measure on more examples, or at a harder task"
SIMULATED = 1_999
HIGHER, LOWER, APART = "higher", "lower", "not told apart"
COLUMNS = ("difference", "low", "high", "p_value", "p_adjusted", "detectable")


class BlockDesign(NamedTuple):
    """The two-way model outcome = cell + seed + residual: seeds are blocks, as cells under one seed share
    initialisation, order and views (Fisher 1935). The residual's variance is one for all cells: intervals of a cell
    with more noise than the others are too narrow (by how much: docs/results/statistics.md)."""

    weights: Array
    """[cells, trials]: the difference of two rows, times the outcomes, estimates the difference of two cells by least
    squares; where both have every seed, it is the mean of the paired differences"""
    basis: Array
    """orthonormal, of what the model explains [trials, rank]"""
    df: int
    """of the residual; 0 where no two cells have two seeds in common"""
    counts: Indices
    """trials of each cell"""
    shared: Indices
    """seeds that two cells have in common [cells, cells]"""

    def sigma(self, outcomes: Array) -> Array:
        """The residual's standard deviation, in the metric's unit; NaN without degrees of freedom, and where nothing
        but rounding is left: trials that agree by chance, as accuracies of few examples do, tell no noise.

        outcomes: [..., trials].
        """
        if not self.df:
            return np.full(outcomes.shape[:-1], np.nan)
        centred = outcomes - outcomes.mean(axis=-1, keepdims=True)
        left = centred - centred @ self.basis @ self.basis.T
        sigma = np.sqrt((left**2).sum(axis=-1) / self.df)
        return np.where(sigma > ROUNDING * np.abs(outcomes).max(axis=-1), sigma, np.nan)

    def half_widths(self, outcomes: Array) -> Array:
        """Half of the 95 % interval of each cell's mean under the seeds of the study, t(.975; df)·σ/√n [..., cells]
        (Loftus & Masson 1994): what seeds share is no part of it. A difference has √2 of that."""
        return half_width(self.sigma(outcomes)[..., None] / np.sqrt(self.counts), self.df + 1)


def block_design(cells: Indices, seeds: Indices) -> BlockDesign:
    """From each trial's cell and seed, both as 0, 1, 2 …"""
    of_cells, of_seeds = (index[:, None] == np.arange(index.max() + 1) for index in (cells, seeds))
    model = np.hstack([of_cells, of_seeds]).astype(float)
    left, singular, right = np.linalg.svd(model, full_matrices=False)
    kept = singular > 1e-9 * singular[0]
    basis = left[:, kept]
    inverse = (right[kept].T / singular[kept]) @ basis.T
    pairs = (of_cells.T.astype(int) @ of_seeds.astype(int)) > 0
    return BlockDesign(
        weights=inverse[: of_cells.shape[1]],
        basis=basis,
        df=len(cells) - basis.shape[1],
        counts=of_cells.sum(axis=0),
        shared=pairs.astype(int) @ pairs.T.astype(int),
    )


def differences(
    design: BlockDesign, outcomes: Array, pairs: Indices, *, generator: np.random.Generator, margin: float | None = None
) -> "pd.DataFrame":
    """Each pair's first cell minus its second, one row per pair: seeds (in common), difference, low, high, p_value,
    p_adjusted, detectable, verdict. Metric's unit; NaN where a pair has fewer than two seeds in common.

    pairs: [m, 2], a family of comparisons. low, high: intervals that hold all m differences together in 95 % of
    studies, ± c·σ·‖w‖ with c the quantile of max |t|; p_adjusted = P(max |T| ≥ |t|) (Dunnett 1955 for one baseline;
    Hothorn, Bretz & Westfall 2008 for any family). detectable: the difference that is found in 80 % of studies.
    verdict: higher or lower where p_adjusted ≤ 5 %; "equal within the margin" where the interval lies in ±margin.
    """
    seeds = design.shared[pairs[:, 0], pairs[:, 1]]
    sigma = design.sigma(outcomes)
    told = (seeds > 1) & np.isfinite(sigma)
    contrasts = (design.weights[pairs[:, 0]] - design.weights[pairs[:, 1]])[told]
    family = Family(contrasts, design.df, generator) if told.any() else None
    found: dict[str, Any] = {}
    if family is not None:
        difference, error = contrasts @ outcomes, sigma * family.norms
        found = judged(difference, error, design.df, family.critical(), family.p_values(studentized(difference, error)))
    return _table(seeds, told, found, margin)


def differences_from_best(
    design: BlockDesign,
    outcomes: Array,
    *,
    upwards: bool = True,
    margin: float | None = None,
    chosen_by: Array | None = None,
) -> "tuple[int, pd.DataFrame]":
    """(best cell by mean, each cell's difference from it as in `differences`, one row per cell; NaN for itself).

    chosen_by: the outcomes by whose means the best is chosen, such as those of held-out examples. Which cell is best is
    known only after looking, so intervals and p-values are those of all pairs at once, by the studentized range (Tukey
    1953; Kramer 1956 for unequal variances): c = q(.95; cells, df)/√2. A cell that is not told from the best may be the
    best.
    """
    effects = design.weights @ (outcomes if chosen_by is None else chosen_by)
    best = int(np.argmax(effects if upwards else -effects))
    cells = len(effects)
    seeds = design.shared[:, best]
    sigma = design.sigma(outcomes)
    told = (seeds > 1) & (np.arange(cells) != best) & np.isfinite(sigma)
    found: dict[str, Any] = {}
    if told.any():
        contrasts = (design.weights - design.weights[best])[told]
        difference, error = contrasts @ outcomes, sigma * np.linalg.norm(contrasts, axis=1)
        p = survival(np.sqrt(2) * studentized(difference, error), cells, design.df)
        found = judged(difference, error, design.df, tukey(cells, design.df), p)
    table = _table(seeds, told, found, margin)
    table.loc[best, "verdict"] = ""
    return best, table


def unequal_noise(design: BlockDesign, cells: Indices, outcomes: Array, *, generator: np.random.Generator) -> float:
    """p-value of the largest cell's share of the residual mean squares (Cochran 1941), simulated in equal normal noise:
    small where a cell has more noise than the others, of which the pooled residual makes too little; 1 without any."""
    if not np.isfinite(design.sigma(outcomes)):
        return 1.0
    noise = generator.normal(size=(SIMULATED, len(outcomes)))
    both = np.vstack([outcomes - outcomes.mean(), noise])
    left = (both - both @ design.basis @ design.basis.T) ** 2
    of_cells = left @ (cells[:, None] == np.arange(len(design.counts))) / design.counts
    largest = of_cells.max(axis=1) / np.maximum(of_cells.sum(axis=1), np.finfo(float).tiny)
    return float((largest >= largest[0] * (1 - 1e-9)).mean())


def tukey(cells: int, df: int) -> float:
    """c of all pairs of cells: |difference| > c·σ·√(2/n) in 5 % of studies in which none differ (Tukey 1953)."""
    return quantile(LEVEL, cells, df) / float(np.sqrt(2))


def detectable_ratio(critical: float, df: float) -> float:
    """The difference, in standard errors, whose |t| is above `critical` in 80 % of studies (noncentral t)."""
    return float(nctdtrinc(df, 1 - POWER, critical))


def detectable_by(cells: int, seeds: int) -> tuple[float, float, float]:
    """The differences that a study of so many cells and seeds ≥ 2 finds with 80 % power at 5 %, in σ of a cell's seeds:
    between two given cells; between two halves of the cells, as of a parameter of two values; from the first to the
    last of four values of a number between which the metric is linear in their ranks, for which the test of importance
    needs half as much again (simulated: docs/results/statistics.md). Each by itself, not adjusted for others."""
    df = (cells - 1) * (seeds - 1)
    ratio = detectable_ratio(float(stdtrit(df, 1 - LEVEL / 2)), df)
    halves = 2 * ratio / math.sqrt(cells * seeds)
    return ratio * math.sqrt(2 / seeds), halves, 1.5 * halves


class Family:
    """The distribution of the largest |t| of contrasts [m, trials] that share one estimate of σ, by simulation."""

    def __init__(self, contrasts: Array, df: float, generator: np.random.Generator) -> None:
        self.norms, self.df = np.linalg.norm(contrasts, axis=1), df
        self.largest = np.empty(0)
        if len(contrasts) == 1:  # Student's own
            return
        normed = contrasts / self.norms[:, None]
        values, vectors = np.linalg.eigh(normed @ normed.T)
        root = vectors[:, values > 1e-9] * np.sqrt(values[values > 1e-9])
        chunks = (np.abs(generator.normal(size=(CHUNK, root.shape[1])) @ root.T).max(1) for _ in range(DRAWS // CHUNK))
        self.largest = np.sort(np.concatenate(list(chunks)) / np.sqrt(generator.chisquare(df, DRAWS) / df))

    def critical(self) -> float:
        """The value that max |t| exceeds in 5 % of studies in which nothing differs."""
        if not len(self.largest):
            return float(stdtrit(self.df, 1 - LEVEL / 2))
        return float(np.quantile(self.largest, 1 - LEVEL))

    def p_values(self, t: Array) -> Array:
        """P(max |T| ≥ t), adjusted for all contrasts; never below a single one's."""
        alone: Array = np.asarray(2 * stdtr(self.df, -t), dtype=float)
        if not len(self.largest):
            return alone
        above = len(self.largest) - np.searchsorted(self.largest, t)
        return np.maximum((1 + above) / (1 + len(self.largest)), alone)


def studentized(difference: Array, error: Array) -> Array:
    """|t|; ∞ for a difference without any noise, 0 for none."""
    size = np.abs(difference)
    return np.divide(size, error, out=np.where(size > 1e-12, np.inf, 0.0), where=error > 1e-12)


def judged(difference: Array, error: Array, df: float, critical: float, p_adjusted: Array) -> dict[str, Array]:
    """The columns of `differences`, of differences with these standard errors."""
    return {
        "difference": difference,
        "low": difference - critical * error,
        "high": difference + critical * error,
        "p_value": np.asarray(2 * stdtr(df, -studentized(difference, error)), dtype=float),
        "p_adjusted": p_adjusted,
        "detectable": detectable_ratio(critical, df) * error,
    }


def _table(
    seeds: NDArray[np.int_], told: NDArray[np.bool_], found: dict[str, Array], margin: float | None
) -> "pd.DataFrame":
    import pandas as pd  # a plan needs none, and asks this module what its seeds will find

    table = pd.DataFrame({"seeds": seeds})
    for name in COLUMNS:
        table[name] = np.nan
        if found:
            table.loc[told, name] = found[name]
    table["verdict"] = [verdict(row, margin) for row in table.to_dict("records")]
    return table


def verdict(row: dict[Any, Any], margin: float | None) -> str:
    """The column of that name, of the others."""
    if np.isnan(row["difference"]):
        return NO_NOISE if row["seeds"] > 1 else f"seeds in common: {row['seeds']}; add seeds"
    if margin is not None and -margin <= row["low"] and row["high"] <= margin:
        return f"equal within {margin:g}"
    return APART if row["p_adjusted"] > LEVEL else HIGHER if row["difference"] > 0 else LOWER

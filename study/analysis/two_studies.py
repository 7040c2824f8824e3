"""Comparison of cells of two studies: by trial where both ran the same ones, else unpaired, after Welch."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr, stdtr, stdtrit

from study.analysis.paired import COLUMNS, LEVEL, Array, Indices, block_design, judged, studentized, verdict

Flags = NDArray[np.bool_]


class Trials(NamedTuple):
    """The trials of one study: outcome, and cell and seed as 0, 1, 2 …, each [trials]."""

    outcomes: Array
    cells: Indices
    seeds: Indices

    def of(self, rows: Any) -> "Trials":
        """Some of them."""
        return Trials(self.outcomes[rows], self.cells[rows], self.seeds[rows])


class Modulus(NamedTuple):
    """The studentized maximum modulus: the largest of `many` independent |z| over one estimate of σ."""

    many: int
    df: float

    def p_value(self, t: Array) -> Array:
        """P(largest ≥ t) = 1 − E_s[(2 Φ(t s) − 1)^many] with df·s² ~ χ²(df), by quadrature over the quantiles of s."""
        at, weights = _nodes()
        s = np.sqrt(2 * gammaincinv(self.df / 2, at) / self.df)
        below = ((1 - 2 * ndtr(-np.asarray(t)[..., None] * s)) ** self.many) @ weights
        alone = 2 * stdtr(self.df, -np.asarray(t))
        return np.clip(1 - below, alone, np.minimum(self.many * alone, 1))

    def critical(self) -> float:
        """The value that the largest exceeds in 5 % of studies in which nothing differs."""
        alone, all_at_once = (float(stdtrit(self.df, 1 - level / 2)) for level in (LEVEL, LEVEL / self.many))
        if self.many == 1:
            return alone
        from scipy.optimize import brentq  # slow to import

        return float(brentq(lambda c: float(self.p_value(np.array(c))) - LEVEL, alone, all_at_once))


@cache
def _nodes() -> tuple[Array, Array]:
    """Gauss and Legendre's for integrals from 0 to 1."""
    at, weights = np.polynomial.legendre.leggauss(400)
    return (at + 1) / 2, weights / 2


class Noise(NamedTuple):
    """Variance of a cell's values over seeds, and the degrees of freedom that it is known with."""

    variance: float
    df: float


def pooled_noise(trials: Trials) -> Noise:
    """Mean square within cells, with Satterthwaite's degrees of freedom (1946); NaN where no cell has two trials.

    What a seed does to all cells alike is noise here, of which many cells tell no more than one: with SS_s the part of
    the sum of squares within cells that the seeds explain, of d_s degrees of freedom, and SS_r the rest, of d_r,
    df = (SS_s + SS_r)² / (SS_s²/d_s + SS_r²/d_r).
    """
    codes = np.unique(trials.cells, return_inverse=True)[1]
    counts = np.bincount(codes)
    means = np.bincount(codes, trials.outcomes) / counts
    within, df = float(((trials.outcomes - means[codes]) ** 2).sum()), len(codes) - len(counts)
    if not df:
        return Noise(np.nan, np.nan)
    design = block_design(codes, np.unique(trials.seeds, return_inverse=True)[1])
    rest = float(np.nan_to_num(design.sigma(trials.outcomes))) ** 2 * design.df
    if not within:
        return Noise(0.0, df)
    share = min(rest / within, 1.0)
    parts = [(1 - share, df - design.df), (share, design.df)]
    return Noise(within / df, 1 / sum(part**2 / of for part, of in parts if of))


def differences_of_studies(
    first: Trials,
    second: Trials,
    pairs: Indices,
    twins: Indices,
    *,
    margin: float | None = None,
) -> pd.DataFrame:
    """Each pair's cell of the second study minus that of the first, one row per pair: seeds, paired, difference, low,
    high, p_value, p_adjusted, detectable, verdict, as in `study.analysis.paired.differences`. Metric's unit.

    pairs: [m, 2], a cell of each study. twins: [t, 2], trials of the two studies that are the same one, run twice. A
    pair with two twins or more is compared by their differences d, whose noise is pooled over the pairs: error =
    √(s²_d/n). Any other is unpaired: error = √(s²_1/n_1 + s²_2/n_2), with the noise of each study pooled over its
    cells and the degrees of freedom of Welch (1947), the fewest of all pairs'. Intervals hold together, and p is
    adjusted, by the largest of m independent |t|: what seeds do to all cells alike makes that wider than it need be
    (Šidák 1967). NaN where a pair has fewer than two seeds in either study.
    """
    of_pair = {int(cell): i for i, cell in enumerate(pairs[:, 0])}
    of_twin = np.array([of_pair[int(cell)] for cell in first.cells[twins[:, 0]]], dtype=np.intp)
    common = np.bincount(of_twin, minlength=len(pairs))
    counts = np.stack([_counts(trials, pairs[:, i]) for i, trials in enumerate((first, second))], axis=1)
    table = pd.DataFrame({"seeds": np.where(common > 1, common, counts.min(axis=1)), "paired": common > 1})
    told = (table["seeds"] > 1).to_numpy()
    found = {name: np.full(len(pairs), np.nan) for name in COLUMNS}
    by_trial, apart = told & (common > 1), told & (common < 2)
    if by_trial.any():
        kept = common[of_twin] > 1
        d = Trials(_minus(first, second, twins), of_twin, first.seeds[twins[:, 0]]).of(kept)
        noise, n = pooled_noise(d), common[by_trial]
        means = np.bincount(d.cells, d.outcomes, minlength=len(pairs))[by_trial] / n
        _fill(found, by_trial, means, np.sqrt(noise.variance / n), noise.df, int(told.sum()))
    if apart.any():
        means, error, df = _welch(first, second, pairs[apart], counts[apart])
        _fill(found, apart, means, error, df, int(told.sum()))
    table = table.assign(**found)
    return table.assign(verdict=[_words(row, margin) for row in table.to_dict("records")])


def _counts(trials: Trials, cells: Indices) -> Indices:
    return np.array([(trials.cells == cell).sum() for cell in cells], dtype=np.intp)


def _minus(first: Trials, second: Trials, twins: Indices) -> Array:
    difference: Array = second.outcomes[twins[:, 1]] - first.outcomes[twins[:, 0]]
    return difference


def _welch(first: Trials, second: Trials, pairs: Indices, counts: Indices) -> tuple[Array, Array, float]:
    """Differences of means, their errors, and the fewest degrees of freedom among them."""
    noises = pooled_noise(first), pooled_noise(second)
    means = [
        np.array([trials.outcomes[trials.cells == cell].mean() for cell in pairs[:, i]])
        for i, trials in enumerate((first, second))
    ]
    parts = np.array([noise.variance / counts[:, i] for i, noise in enumerate(noises)])  # [2, m]
    dfs = np.array([noise.df for noise in noises])[:, None]
    square = parts.sum(axis=0)
    spread = (parts**2 / dfs).sum(axis=0)
    df = np.divide(square**2, spread, out=np.full(len(square), dfs.min()), where=spread > 0)
    return means[1] - means[0], np.sqrt(square), float(df.min())


def _fill(found: dict[str, Array], rows: Flags, difference: Array, error: Array, df: float, family: int) -> None:
    of = Modulus(family, df)
    judgement = judged(difference, error, df, of.critical(), of.p_value(studentized(difference, error)))
    for name in COLUMNS:
        found[name][rows] = judgement[name]


def _words(row: dict[Any, Any], margin: float | None) -> str:
    return "one seed; add seeds" if np.isnan(row["difference"]) else verdict(row, margin)

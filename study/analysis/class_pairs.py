"""Rank correlation of two similarities of classes over their pairs, with an interval over classes."""

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from study.analysis.paired import LEVEL, Array
from study.semantics.ranking import ranks

FEWEST = 5
"""Classes, below which there is no interval."""
LARGEST = 0.9999
"""|ρ| that Fisher's transformation is given at most."""


class Association(NamedTuple):
    """Spearman's ρ, or a difference of two, with its 95 % interval, over so many classes."""

    rho: float
    low: float
    high: float
    classes: int


def association(first: Array, second: Array) -> Association:
    """Spearman's ρ of two symmetric [C, C] over the pairs of different classes; NaN where either is constant.

    Pairs share classes, so they are no replicates: the interval is about other classes of the same kind. It is a
    jackknife over classes of Fisher's z, with the ranks kept, z ± t(.975; C − 1)·√((C−1)/C Σ (z₍₋ᵢ₎ − z̄)²), of which
    the statistic is nearly one of degree two (Arvesen 1969; of networks: Snijders & Borgatti 1999). Its coverage is
    simulated: docs/results/statistics.md. Classes with a NaN are left out; no interval for fewer than 5.
    """
    kept = _known(first, second)
    count = len(kept)
    rho, without = _correlations(*(_ranks(of[np.ix_(kept, kept)]) for of in (first, second)))
    z, z_without = (np.arctanh(np.clip(value, -LARGEST, LARGEST)) for value in (rho, without))
    half = _half_width(z_without)
    return Association(float(rho), float(np.tanh(z - half)), float(np.tanh(z + half)), count)


def difference(first: Array, other: Array, second: Array) -> Association:
    """ρ(first, second) − ρ(other, second), with the jackknife of the difference over the same classes."""
    kept = _known(first, other, second)
    one, two, by = (_ranks(of[np.ix_(kept, kept)]) for of in (first, other, second))
    (rho, without), (beside, beside_without) = _correlations(one, by), _correlations(two, by)
    half = _half_width(without - beside_without)
    of = float(rho - beside)
    return Association(of, of - half, of + half, len(kept))


def _known(*matrices: Array) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """The classes that have a number in each, with some other class."""
    there = [np.isfinite(of) & ~np.eye(len(of), dtype=bool) for of in matrices]
    return np.flatnonzero(np.logical_and.reduce(there).any(axis=1))


def _ranks(matrix: Array) -> Array:
    """[C, C]: centred ranks of the pairs, 0 on the diagonal."""
    upper = np.triu_indices(len(matrix), k=1)
    centred = np.zeros(matrix.shape)
    of = ranks(matrix[upper])
    centred[upper] = of - of.mean() if len(of) else of
    return centred + centred.T


def _correlations(x: Array, y: Array) -> tuple[Array, Array]:
    """Pearson's correlation over pairs, and without each class [C]; NaN where one does not vary."""
    classes = len(x)
    by_class = np.stack([of.sum(axis=1) for of in (np.ones_like(x) - np.eye(classes), x, y, x * x, y * y, x * y)])
    total = by_class.sum(axis=1, keepdims=True) / 2
    n, sx, sy, sxx, syy, sxy = np.concatenate([total, total - by_class], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(np.maximum(sxx - sx**2 / n, 0) * np.maximum(syy - sy**2 / n, 0))
        found = np.where(spread > 1e-9, (sxy - sx * sy / n) / spread, np.nan)
    return found[0], found[1:]


def _half_width(without: Array) -> float:
    """t times the jackknife's standard error; NaN for too few classes."""
    count = len(without)
    if count < FEWEST:
        return float("nan")
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    return float(stdtrit(count - 1, 1 - LEVEL / 2) * error)

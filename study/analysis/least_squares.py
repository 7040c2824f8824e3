"""Least squares with non-negative unknowns, in batches, and what its answers are worth."""

from itertools import chain, combinations

import numpy as np

from study.analysis.intervals import half_width
from study.bounds.priors import Array

UNIDENTIFIED = 1e-5  # singular values below this share of the largest: directions that move no prediction


def nonnegative_least_squares(gram: Array, moment: Array) -> Array:
    """argmin θᵀGθ − 2mᵀθ over θ ≥ 0 for each [R, p, p], [R, p]: the best feasible solution over all sets of positive
    unknowns. Exact for a handful of unknowns; a singular set has the same optimum in one of its subsets."""
    best, objective = np.zeros_like(moment), np.zeros(len(moment))
    size = moment.shape[1]
    for chosen in chain.from_iterable(combinations(range(size), r) for r in range(1, size + 1)):
        index = list(chosen)
        part, target = gram[:, index][:, :, index], moment[:, index]
        trial = np.zeros_like(moment)
        inverse = np.linalg.pinv(part, rcond=UNIDENTIFIED**2, hermitian=True)
        trial[:, index] = np.einsum("rij,rj->ri", inverse, target)
        value = np.einsum("ri,rij,rj->r", trial, gram, trial) - 2 * (moment * trial).sum(axis=1)
        better = (trial >= 0).all(axis=1) & (value < objective)
        best[better], objective[better] = trial[better], value[better]
    return best


def corrected_akaike(squares: float, count: int, unknowns: int) -> float:
    """AICc = n ln(RSS/n) + 2p + 2p(p+1)/(n−p−1) with p unknowns, the variance among them (Hurvich & Tsai 1989)."""
    if count <= unknowns + 1:
        return np.inf
    correction = 2 * unknowns * (unknowns + 1) / (count - unknowns - 1)
    return float(count * np.log(max(squares, 1e-300) / count) + 2 * unknowns + correction)


def null_space(design: Array) -> tuple[int, Array]:
    """(rank, which columns [p] take part in a direction that moves no prediction) of a design [K, p]."""
    singular, right = np.linalg.eigh(design.T @ design)
    null = right.T[singular <= UNIDENTIFIED**2 * max(singular.max(), 1e-300)]
    return design.shape[1] - len(null), np.abs(null).max(axis=0, initial=0.0) > 1e-3


def bootstrap_half_width(resampled: Array, seeds: int) -> Array:
    """Half of the 95 % interval from bootstrap resamples [R, …] over `seeds` clusters; NaN for one seed."""
    correction = np.sqrt(seeds / (seeds - 1)) if seeds > 1 else np.nan
    return np.asarray(half_width(correction * resampled.std(axis=0), seeds))

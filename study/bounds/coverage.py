"""The coupon collector's probability that n draws meet every class, at full precision for any prior.

Inclusion–exclusion cancels catastrophically, so the classes are drawn independently instead and conditioned on their
sum. Let X_c be independent counts (Poisson(π_c r) for draws with replacement, Binomial(N_c, p) for draws without);
given Σ X_c = n they are distributed as the n draws, hence by Bayes

    υ_n = P(all X_c ≥ 1) · P(Σ X_c = n | all X_c ≥ 1) / P(Σ X_c = n).

Every factor is a product or a sum of well-scaled numbers once r (or p) is such that E[Σ X_c | all X_c ≥ 1] = n: the
middle one is the contour integral of the generating function through its saddle point, by the trapezoidal rule. Draws
that also miss one class, the anchor's, are a mixture of such sums over that class: one contour serves them all.
"""

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Protocol

import numpy as np

from study.bounds.priors import Array, distinct

_LOG_NEGLIGIBLE = 46.0  # e^−46 = 1e-20: what the aliases and the ends of the contour may contribute
_BLOCK = 16  # nodes of the contour that are evaluated at once


class _LogProbability(Protocol):
    def __call__(self, n: int, sizes: Array, total: int | None = None, /) -> float: ...


def _remembered(function: _LogProbability) -> _LogProbability:
    """The function with its last answers: fits, evaluations and tables ask for the same K and classes again."""

    @lru_cache(maxsize=512)
    def answer(n: int, sizes: bytes, total: int | None) -> float:
        return function(n, np.frombuffer(sizes), total)

    @wraps(function)
    def asked(n: int, sizes: Array, total: int | None = None, /) -> float:
        return answer(n, np.asarray(sizes, dtype=np.float64).tobytes(), total)

    return asked


@_remembered
def log_coverage(n: int, sizes: Array, total: int | None = None) -> float:
    """log υ_n for n ≥ 0 draws, −inf for n < C; the relative error of υ_n is below 1e-10.

    sizes [C]: the priors π_c for draws with replacement; with `total` = N, the class counts N_c for draws without.
    """
    classes = len(sizes)
    if n < classes:
        return -np.inf
    if n == total:
        return 0.0
    sizes, multiplicity = distinct(sizes)
    if n == classes:  # one draw of each class: n! Π π_c, or Π N_c / (N choose n)
        log_arrangements = math.lgamma(n + 1) if total is None else -_log_choose(total, n)
        return min(0.0, float(log_arrangements + multiplicity @ np.log(sizes)))

    def mean(tilt: float) -> float:
        return float(multiplicity @ _present_mean(sizes, tilt, total))

    low, high = (n - classes, n) if total is None else ((n - classes) / (total - classes), n / total)
    tilt = _saddle(mean, n, low, high)
    absent = _rate(tilt, total) * sizes  # −log P(X_c = 0)
    mass = _contour_mean(n, sizes, tilt, total, lambda phi: np.prod(phi ** multiplicity[:, None], axis=0))
    log_present = multiplicity @ np.log(-np.expm1(-absent))
    return min(0.0, float(log_present + np.log(mass) - _log_sum(n, tilt, total)))


@_remembered
def log_free_coverage(k: int, sizes: Array, total: int | None = None) -> float:
    """log P(the K negatives miss the anchor's class and meet all C − 1 others), −inf where that cannot be.

    Σ_c P(anchor of class c) P(X_c = 0, all other X_c' ≥ 1, Σ X = K) / P(Σ X = K). sizes and total as in `log_coverage`;
    without replacement X_c is one sample smaller, the anchor.
    """
    classes = len(sizes)
    if classes == 1:
        return 0.0 if k == 0 else -np.inf
    if k == classes - 1:  # K + 1 draws of as many classes: none is met twice
        return log_coverage(k + 1, sizes, total)
    sizes, multiplicity = distinct(sizes)
    shares = multiplicity * sizes / (total or 1)  # P(anchor's class is one of this size)
    rest = np.inf if total is None else total - sizes[0]
    if k < classes - 1 or k > rest:
        return -np.inf
    if total is not None and k == rest:  # only an anchor of a smallest class, with everything else
        return float(np.log(shares[0])) - _log_choose(total - 1, k)

    def log_weights(tilt: float) -> Array:
        """log of P(anchor's size)·P(X_c = 0)/P(X_c ≥ 1), P(X_c ≥ 1) being that of a class that is not the anchor's."""
        rate = _rate(tilt, total)
        anchor = 0.0 if total is None else rate
        weights: Array = np.log(shares) - np.log(-np.expm1(-rate * sizes)) - rate * sizes + anchor
        return weights

    def mean(tilt: float) -> float:
        weights, of_class = np.exp(_below(log_weights(tilt))), _present_mean(sizes, tilt, total)
        return float(multiplicity @ of_class - weights @ of_class / weights.sum())

    low, high = float(k - classes + 1), k / (sizes @ multiplicity - sizes[-1])
    if total is not None:
        low, high = low / (rest - classes + 1), min(high, 1 - 1e-12)
    tilt = _saddle(mean, k, low, high)
    log_weight = log_weights(tilt)
    weights = np.exp(_below(log_weight))

    def mixture(phi: np.ndarray) -> np.ndarray:
        """Σ_c w_c Π_{c' ≠ c} φ_c' / Σ_c w_c, without a division by φ, which has zeros."""
        powers, one = phi ** multiplicity[:, None], np.ones((1, phi.shape[1]))
        before = np.cumprod(np.concatenate([one, powers[:-1]]), axis=0)
        after = np.cumprod(np.concatenate([one, powers[:0:-1]]), axis=0)[::-1]
        left: np.ndarray = (weights / weights.sum()) @ (before * after * phi ** (multiplicity[:, None] - 1))
        return left

    mass = _contour_mean(k, sizes, tilt, total, mixture)
    log_present = multiplicity @ np.log(-np.expm1(-_rate(tilt, total) * sizes))
    log_weight_sum = log_weight.max() + np.log(weights.sum())
    log_drawn = _log_sum(k, tilt, None if total is None else total - 1)
    return min(0.0, float(log_present + log_weight_sum + np.log(mass) - log_drawn))


def _contour_mean(
    n: int, sizes: Array, tilt: float, total: int | None, combined: Callable[[np.ndarray], np.ndarray]
) -> float:
    """Mean over the nodes θ_j of φ(θ_j) e^{−inθ_j}: the probability that a sum of generating function φ is n.

    combined: φ from those of the classes given that they are present [unique sizes, nodes] → [nodes].
    """
    turns, half = _contour(tilt if total is None else total * tilt)
    exponent = tilt * np.expm1(1j * turns)  # tilt·(e^{iθ} − 1)
    log_generating = exponent if total is None else np.log1p(exponent)  # log E e^{iθX_c} is size times this
    absent = _rate(tilt, total) * sizes
    mass = 1.0  # θ = 0 contributes 1, the others come in conjugate pairs
    for start in range(0, half, _BLOCK):
        block = slice(start, start + _BLOCK)
        terms = combined(_conditioned(sizes[:, None] * log_generating[block], absent)) * np.exp(-1j * n * turns[block])
        mass += 2 * float(terms.real.sum())
        if np.abs(terms).max() < np.exp(-_LOG_NEGLIGIBLE):
            break
    return mass / (2 * half + 1)


def _rate(tilt: float, total: int | None) -> float:
    """−log P(X_c = 0) of a class of size 1: r, or −log(1 − p)."""
    return tilt if total is None else -float(np.log1p(-tilt))


def _present_mean(sizes: Array, tilt: float, total: int | None) -> Array:
    """E[X_c | X_c ≥ 1] for each size."""
    mean: Array = tilt * sizes / -np.expm1(-_rate(tilt, total) * sizes)
    return mean


def _log_sum(n: int, tilt: float, total: int | None) -> float:
    """log P(Σ X_c = n)."""
    return _log_poisson(n, tilt) if total is None else _log_binomial(n, total, tilt)


def _below(logs: Array) -> Array:
    return logs - logs.max()


def _contour(variance: float) -> tuple[np.ndarray, int]:
    """θ_j = 2πj/M for j = 1 … (M−1)/2. The rule with M nodes adds the aliases P(Σ X_c = n ± M, …), which Bernstein's
    inequality puts below 1e-20 for a sum of centred counts whose variance at any tilt e^s is at most variance·e^s."""
    half = int(np.ceil((_LOG_NEGLIGIBLE / 3 + np.sqrt(_LOG_NEGLIGIBLE**2 / 9 + 2 * _LOG_NEGLIGIBLE * variance)) / 2))
    return 2 * np.pi / (2 * half + 1) * np.arange(1, half + 1), half


def _conditioned(log_phi: np.ndarray, absent: Array) -> np.ndarray:
    """E[e^{iθX} | X ≥ 1] = (φ(θ) − P(X=0)) / (1 − P(X=0)) [C, nodes], without cancellation where P(X=0) is near 1."""
    likely_absent = absent < 1
    small, large = absent[likely_absent, None], absent[~likely_absent, None]
    phi = np.empty_like(log_phi)
    phi[likely_absent] = np.expm1(log_phi[likely_absent] + small) / np.expm1(small)
    phi[~likely_absent] = (np.exp(log_phi[~likely_absent]) - np.exp(-large)) / -np.expm1(-large)
    return phi


def _saddle(mean: Callable[[float], Any], n: int, low: float, high: float) -> float:
    """The tilt in [low, high] at which the conditioned sum has mean n (the identity holds at any, stably here)."""
    return crossing(lambda tilt: mean(tilt) - n, low, high)


def crossing(rising: Callable[[float], Any], low: float, high: float) -> float:
    """Where a rising function crosses 0, to a relative 1e-10, by bisection; `high` where it does not.

    Not SciPy's: importing `scipy.optimize` takes longer than all that is asked of it here.
    """
    if rising(high) <= 0:
        return high
    while high - low > 1e-10 * max(abs(low), abs(high)):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def _log_poisson(n: int, mean: float) -> float:
    """log P(Poisson(mean) = n), n ≥ 1, without cancellation (Loader 2000, "Fast and accurate computation of binomial
    probabilities": Stirling's remainder and the deviance)."""
    return float(-0.5 * np.log(2 * np.pi * n) - _stirling_remainder(n) - _deviance(n, mean))


def _log_binomial(n: int, total: int, p: float) -> float:
    """log P(Binomial(total, p) = n), 0 < n < total (Loader 2000)."""
    rest = total - n
    remainders = _stirling_remainder(total) - _stirling_remainder(n) - _stirling_remainder(rest)
    deviances = _deviance(n, total * p) + _deviance(rest, total * (1 - p))
    return float(0.5 * np.log(total / (2 * np.pi * n * rest)) + remainders - deviances)


def _log_choose(total: int, n: int) -> float:
    return 0.0 if n == total else _log_binomial(n, total, 0.5) + total * float(np.log(2))


def _stirling_remainder(n: int) -> float:
    """log n! − [(n + ½) log n − n + ½ log 2π]."""
    if n < 16:
        return float(math.lgamma(n + 1) - (n + 0.5) * np.log(n) + n - 0.5 * np.log(2 * np.pi))
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / n**2) / n**2) / n**2) / n


def _deviance(n: int, mean: float) -> float:
    """n log(n/mean) + mean − n, accurate also for mean near n."""
    excess = (mean - n) / n
    return float(n * (excess - np.log1p(excess)))

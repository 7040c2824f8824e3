"""Probabilities behind the bounds, exact to a relative error of 1e-9 for C ≤ 1000 classes and n ≤ 65,537 draws.

n = K + 1 draws, the anchor and its K negatives, come from class priors π; Col is the number of negatives that have the
anchor's class. `priors` is an int C (uniform) or an array π [C], from which draws are independent, or a scheme by name:
`with_replacement(priors)`, the same, or `without_replacement(class_counts)` from a finite set; both are exact. K and n
may be arrays: the answer has their shape.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from study.bounds.coverage import crossing, log_coverage, log_free_coverage
from study.bounds.priors import Array, Sampling, distinct, sampling, whole_numbers

Floats = Any  # a float for a scalar K or n, else an array of its shape


def collision_probability(
    k: ArrayLike, priors: int | ArrayLike, *, complement: bool = False, log: bool = False
) -> Floats:
    """τ_K = P(Col ≥ 1) = 1 − Σ_c π_c (1−π_c)^K (Arora et al. 2019, 1902.09229); with `complement`, 1 − τ_K.

    Without replacement, 1 − Σ_c (N_c/N) (N−N_c choose K)/(N−1 choose K). The complement has the full relative precision
    too, where 1 − τ_K would round to 0; its logarithm with `log`, where it underflows.
    """
    draws = sampling(priors)
    ks = whole_numbers(k, "k", most=draws.most)

    def one(k: int) -> float:
        log_free = _log_no_collision(k, draws)
        if not complement:
            tau = min(1.0, float(draws.priors @ -np.expm1(log_free)))
            return (math.log(tau) if tau > 0 else -math.inf) if log else tau
        top = max(float(log_free.max()), -1e300)  # all are −∞ where every draw collides
        with np.errstate(divide="ignore"):
            log_sum = min(0.0, top + float(np.log(draws.priors @ np.exp(log_free - top))))
        return log_sum if log else math.exp(log_sum)

    return _for_each(ks, one)


def coverage_probability(n: ArrayLike, priors: int | ArrayLike, *, log: bool = False) -> Floats:
    """υ_n = P(all C classes are among n draws) = n! [xⁿ] Π_c (e^{π_c x} − 1); its logarithm with `log`.

    The coupon collector of Nozawa & Sato 2021 (2102.06866); for uniform π it is C! S(n, C)/Cⁿ. Without
    replacement: [xⁿ] Π_c ((1+x)^{N_c} − 1) / (N choose n).
    """
    draws = sampling(priors)
    ns = whole_numbers(n, "n", most=draws.total)
    logs = _for_each(ns, lambda one: log_coverage(one, draws.sizes, draws.total))
    return logs if log else np.exp(logs)


def collision_free_coverage(k: ArrayLike, priors: int | ArrayLike, *, log: bool = False) -> Floats:
    """P(Col = 0 and all C classes are among the K+1 draws) = Σ_c π_c (1−π_c)^K υ_K(the priors of the other classes).

    Its logarithm with `log`. At most 1 − τ_K and at most υ_{K+1}, and at least their product.
    """
    draws = sampling(priors)
    ks = whole_numbers(k, "k", most=draws.most)
    logs = _for_each(ks, lambda one: log_free_coverage(one, draws.sizes, draws.total))
    return logs if log else np.exp(logs)


def expected_draws(priors: int | ArrayLike) -> float:
    """E[draws until all C classes are seen] = ∫₀^∞ 1 − Π_c (1 − e^{−π_c x}) dx; uniform π: C·H_C.

    Flajolet, Gardy & Thimonier 1992, "Birthday paradox, coupon collectors, …". Integrated by parts, ∫ x dP(all seen
    before x), over log x, where the integrand is analytic and vanishes at both ends: the trapezoidal rule is then
    exact. Without replacement each sample gets a uniform arrival time 1 − e^{−x}, the class's first an exponential of
    rate N_c, and the d-th of N arrivals comes at d/(N+1) on average.
    """
    draws = sampling(priors)
    rates, multiplicity = distinct(draws.sizes)

    def seen(log_x: Array) -> Array:
        return -np.expm1(-rates * np.exp(log_x)[:, None])  # [nodes, rates]

    high = np.log((np.log(len(draws)) + 46) / rates[0])
    floor = np.log(1 / rates[0]) - 46
    low = crossing(lambda u: (np.log(seen(np.array([u]))) @ multiplicity)[0] + u - floor, high - 100, high)
    late = rates * np.exp(low) < 46  # the others are seen by then: 1 − e^−46 is 1
    rates, multiplicity = rates[late], multiplicity[late]
    nodes, step = np.linspace(low, high, 201, retstep=True)
    x, by_then = np.exp(nodes), seen(nodes)
    times = rates * x[:, None]
    hazard = (times * np.exp(-times) / by_then) @ multiplicity  # d log P(all seen before x) / d log x
    after = x if draws.total is None else -(draws.total + 1) * np.expm1(-x)
    return float(step * np.sum(after * np.exp(np.log(by_then) @ multiplicity) * hazard))


def expected_log_collisions(k: ArrayLike, priors: int | ArrayLike) -> Floats:
    """E ln(Col+1) = Σ_c π_c Σ_m Binom(m; K, π_c) ln(1+m), in nats (Nozawa & Sato 2021, 2102.06866).

    From ln(1+m) = ∫₀^∞ (e^{−x} − e^{−(1+m)x})/x dx it is Σ_c π_c ∫ e^{−x} [1 − (1 − π_c (1 − e^{−x}))^K] d(log x):
    positive, bounded and analytic in a strip, so that the trapezoidal rule is exact. Without replacement: the sum over
    the hypergeometric distribution.
    """
    draws = sampling(priors)
    ks = whole_numbers(k, "k", most=draws.most)
    sizes, multiplicity = distinct(draws.sizes)
    if (total := draws.total) is not None:
        return _for_each(ks, lambda one: multiplicity * sizes / total @ _log_collisions_without(one, sizes, total))
    x = np.exp(np.arange(-38 - np.log1p(ks.max(initial=0)), 4.0, 0.25))[:, None]  # [nodes, 1]
    log_miss = _log1m(sizes * -np.expm1(-x))  # log(1 − π_c (1 − e^{−x}))  [nodes, C]
    return _for_each(ks, lambda one: 0.25 * np.sum(np.exp(-x) * -np.expm1(one * log_miss) * (multiplicity * sizes)))


def _for_each(values: np.ndarray, function: Any) -> Floats:
    distinct_values, places = np.unique(values, return_inverse=True)
    answers = np.array([float(function(int(value))) for value in distinct_values])
    return answers[places.reshape(values.shape)][()]


def _log1m(p: Array) -> Array:
    """log(1 − p), −1e300 rather than −inf at p = 1, so that K = 0 gives 0."""
    return np.where(p < 1, np.log1p(-np.minimum(p, np.nextafter(1, 0))), -1e300)


def _log_no_collision(k: int, draws: Sampling) -> Array:
    """log P(Col = 0 | anchor of class c) [C]: K log(1−π_c); without replacement
    log (N−N_c choose K)/(N−1 choose K) = Σ_{i<N_c−1} log(1 − K/(N−1−i))."""
    if draws.total is None:
        return k * _log1m(draws.sizes)
    counts = draws.sizes
    chance = np.minimum(k / (draws.total - 1 - np.arange(int(counts.max()) - 1)), 1.0)
    with np.errstate(divide="ignore"):  # log 0: more draws than samples of other classes
        partial = np.concatenate([[0.0], np.cumsum(np.log1p(-chance))])
    return partial[counts.astype(np.int64) - 1]


def _log_collisions_without(k: int, counts: Array, total: int) -> Array:
    """E[ln(Col+1) | anchor of class c] for Col ~ Hypergeometric(N−1, N_c−1, K), for each class.

    Over the window of Col that holds all but 1e-20 of the mass (Bernstein), from the ratios of neighbouring
    probabilities, normalised at the end; the windows of all classes lie end to end in one array.
    """
    same, other = counts - 1, total - counts
    mean = k * same / max(total - 1, 1)
    reach = 16 + np.sqrt(256 + 92 * mean)
    low = np.maximum(np.maximum(0, k - other), np.floor(mean - reach))
    high = np.minimum(np.minimum(k, same), np.ceil(mean + reach))
    lengths = (high - low + 1).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    spread = np.repeat(np.arange(len(counts)), lengths)
    m = low[spread] + np.arange(lengths.sum()) - starts[spread]
    previous = m - 1
    ratio = (same[spread] - previous) * (k - previous) / (m * (other[spread] - k + m) + (m == low[spread]))
    ratio[starts] = 1.0
    log_mass = np.cumsum(np.log(ratio))
    mass = np.exp(log_mass - np.maximum.reduceat(log_mass, starts)[spread])
    return np.add.reduceat(mass * np.log1p(m), starts) / np.add.reduceat(mass, starts)

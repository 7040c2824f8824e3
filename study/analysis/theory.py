"""Consequences of the theory at given classes and K, before any training: probabilities and the bounds' constants."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from study.bounds import BOUNDS
from study.bounds.bound import why_infinite
from study.bounds.priors import Sampling, sampling
from study.bounds.probabilities import (
    collision_free_coverage,
    collision_probability,
    coverage_probability,
    expected_draws,
    expected_log_collisions,
)

POWERS = tuple(4**i for i in range(9))
"""K by default, 1 … 65,536; without replacement, those below N."""


class ClosedBound(NamedTuple):
    """Constants of a bound's closed form, scale·L_sup + offset ≤ L_cont(K), in nats."""

    bound: str
    log_scale: float
    """ln scale, −∞ where the bound tells nothing of L_sup"""
    offset: float
    supervised_upper: float | None
    """the bound on L_sup at the observed L_cont, +∞ where there is none; None where no loss is given"""
    reason: str
    """why L_sup has no upper bound here"""


class AtK(NamedTuple):
    """Probabilities of K + 1 draws, in logarithms where they underflow, and the bounds."""

    k: int
    collision: float
    """τ_K"""
    log_no_collision: float
    """ln(1 − τ_K)"""
    log_coverage: float
    """ln υ_{K+1}"""
    log_free_coverage: float
    """ln P(Col = 0, all classes present)"""
    log_collisions: float
    """E ln(Col+1), nats"""
    bounds: tuple[ClosedBound, ...]


class Theory(NamedTuple):
    """`theory` at each K."""

    draws: Sampling
    temperature: float
    expected_draws: float
    """draws until all classes are seen, on average"""
    rows: tuple[AtK, ...]

    def plain(self) -> dict[str, Any]:
        """Content for JSON."""
        rows = [row._asdict() | {"bounds": [bound._asdict() for bound in row.bounds]} for row in self.rows]
        head = {"classes": len(self.draws), "scheme": self.draws.name, "samples": self.draws.total}
        return head | {"temperature": self.temperature, "expected_draws": self.expected_draws, "rows": rows}


def theory(
    priors: int | ArrayLike,
    ks: Sequence[int] | None = None,
    *,
    temperature: float = 0.5,
    losses: Sequence[float] | None = None,
) -> Theory:
    """τ_K, υ_{K+1}, E ln(Col+1), expected draws, and the closed form of every registered bound.

    priors: an int C, π [C], or a scheme, `with_replacement(…)` or `without_replacement(…)`; ks: by default powers of 4.
    losses: an observed L_cont(K) in nats for each K, for which the bounds are inverted.
    ValueError where a number is out of range. Sources: `study.bounds.probabilities`, and each bound's own file.
    """
    draws = sampling(priors)
    chosen = [k for k in POWERS if draws.most is None or k <= draws.most] if ks is None else [int(k) for k in ks]
    if not chosen:
        raise ValueError("no K: the set has one sample, and so no negatives; give more samples")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be above 0 and finite, not {temperature:g}; such as 0.5")
    if losses is not None and len(losses) != len(chosen):
        raise ValueError(f"there are {len(losses)} losses for {len(chosen)} values of K; give one for each K")
    if losses is not None and not all(math.isfinite(loss) and loss >= 0 for loss in losses):
        raise ValueError(f"losses must be at least 0 and finite, not {list(losses)}; such as 2.02")
    observed = [None] * len(chosen) if losses is None else losses
    rows = tuple(_at(k, draws, temperature, loss) for k, loss in zip(chosen, observed, strict=True))
    return Theory(draws, temperature, expected_draws(draws), rows)


def _at(k: int, draws: Sampling, temperature: float, loss: float | None) -> AtK:
    return AtK(
        k=k,
        collision=float(collision_probability(k, draws)),
        log_no_collision=float(collision_probability(k, draws, complement=True, log=True)),
        log_coverage=float(coverage_probability(k + 1, draws, log=True)),
        log_free_coverage=float(collision_free_coverage(k, draws, log=True)),
        log_collisions=float(expected_log_collisions(k, draws)),
        bounds=tuple(_closed(name, k, draws, temperature, loss) for name in BOUNDS.names()),
    )


def _closed(name: str, k: int, draws: Sampling, temperature: float, loss: float | None) -> ClosedBound:
    bound = BOUNDS[name]()
    log_scale, offset = bound.log_scale(k, draws, temperature), bound.closed(k, draws, temperature)[1]
    upper = None if loss is None else float(bound.supervised_upper_closed(loss, k, draws, temperature))
    reason = bound.nonexistent(k, len(draws))
    if not reason and upper is not None:
        reason = why_infinite(bound, k, len(draws), np.float64(upper))
    return ClosedBound(name, float(log_scale), float(offset), upper, reason)

"""Bounds: inequalities between the contrastive loss at K negatives and the supervised loss of the encoder.

Every bound is read both ways: as a lower bound of L_cont(K) and, solved for it, as an upper bound of L_sup; and in two
forms: the *data* form, from terms that are measured on draws (`BoundTerms`), and the *closed* form, from K, the class
priors and the temperature alone. Losses are in nats.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from models.registry import Registry
from study.bounds.priors import Array, Sampling, sampling, without_replacement
from study.bounds.probabilities import Floats

BOUNDS = Registry("bound")
PARAMETERS = ("L_sup", "L_sub", "d")  # in the order of a curve's coefficients


@dataclass(frozen=True, kw_only=True)
class BoundTerms:
    """The terms of the bounds at one K. A measured term is a mean over draws: a number, or an array [R] of replicates,
    so that any combination of terms has its standard error.

    ℓ_present is the cross-entropy of the mean classifier over the classes present among a draw's K+1 samples.
    """

    k: int
    temperature: float
    priors: Array  # π [C]
    class_counts: ArrayLike | None = None  # N_c [C] where the draws are without replacement; None where with
    coverage: float  # υ_{K+1}: P(all classes present)
    no_collision: float  # 1 − τ_K: P(Col = 0)
    log_free_coverage: float  # log P(Col = 0, all classes present), which underflows first
    contrastive_loss: Floats  # L_cont(K): one-directional InfoNCE with K negatives
    supervised_loss: Floats  # mean-classifier cross-entropy over all C classes
    sup: Floats  # E[ℓ_present · 1{all present}] = υ L_sup
    sub: Floats  # E[ℓ_present · 1{not all present}] = (1−υ) L_sub
    free_sup: Floats  # E[ℓ_present · 1{Col = 0, all present}]
    free_sub: Floats  # E[ℓ_present · 1{Col = 0, not all present}]
    log_collisions: Floats  # E ln(Col+1)
    gap: Floats  # d(f) = (1/t) E[min(0, z·(µ_y − f̄(x)))] ≤ 0
    covered: Floats = np.nan  # the frequency that `coverage` is the exact probability of
    free: Floats = np.nan  # the frequency that `no_collision` is the exact probability of

    @property
    def draws(self) -> Sampling:
        """The scheme of the draws, which the probabilities and a closed form beside a data form are those of."""
        return sampling(self.priors) if self.class_counts is None else without_replacement(self.class_counts)


class Curve(NamedTuple):
    """A bound's right-hand side over K: L_cont(K) ≈ sup·L_sup + sub·L_sub + gap·d + constant, an array [K] each."""

    sup: Array
    sub: Array
    gap: Array
    constant: Array


class Bound(ABC):
    """One bound: `scale(K)·L_sup + offset(K) ≤ L_cont(K)` in closed form, with measured terms in the data form."""

    assumptions: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]] = PARAMETERS  # the unknowns of its curve

    @abstractmethod
    def contrastive_lower(self, terms: BoundTerms) -> Floats:
        """Data form: what L_cont(K) cannot be below."""

    @abstractmethod
    def supervised_upper(self, terms: BoundTerms) -> Floats:
        """Data form: what L_sup cannot be above; +∞ where `nonexistent` has a reason."""

    @abstractmethod
    def closed(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> tuple[Floats, Floats]:
        """(scale, offset) of the closed form, of k's shape; scale 0 where it tells nothing of L_sup.

        Priors are an int C, π [C], or a scheme of draws: see `study.bounds.probabilities`.
        """

    @abstractmethod
    def curve(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> Curve:
        """The right-hand side with L_sup, L_sub and d unknown, its probabilities at their exact values."""

    @abstractmethod
    def nonexistent(self, k: int, classes: int) -> str:
        """Why L_sup has no upper bound at this K with that many classes; empty where it has one."""

    def log_scale(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> Floats:
        """ln scale of the closed form, −∞ where it is 0; a bound whose scale underflows says it more exactly."""
        with np.errstate(divide="ignore"):
            return np.log(self.closed(k, priors, temperature)[0])

    def contrastive_lower_closed(
        self, supervised_loss: Floats, k: ArrayLike, priors: int | ArrayLike, temperature: float
    ) -> Floats:
        """Closed form: scale·L_sup + offset ≤ L_cont(K)."""
        scale, offset = self.closed(k, priors, temperature)
        return scale * supervised_loss + offset

    def supervised_upper_closed(
        self, contrastive_loss: Floats, k: ArrayLike, priors: int | ArrayLike, temperature: float
    ) -> Floats:
        """Closed form: L_sup ≤ (L_cont − offset)/scale; +∞ where scale is 0."""
        offset = self.closed(k, priors, temperature)[1]
        return divide_by_log(contrastive_loss - offset, self.log_scale(k, priors, temperature))


def divide(numerator: Any, denominator: Any) -> Floats:
    """numerator / denominator, +∞ where the denominator is 0 or so small that the quotient overflows."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, dtype=float), denominator)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.inf)[()]


def divide_by_log(numerator: Any, log_denominator: Any) -> Floats:
    """numerator / e^log_denominator, which may underflow; +∞ where it is 0 or the quotient, of any sign, overflows."""
    values, logs = np.broadcast_arrays(np.asarray(numerator, dtype=float), log_denominator)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        quotient = np.copysign(np.exp(np.log(np.abs(values)) - logs), values)
    return np.where(np.isfinite(quotient), quotient, np.inf)[()]


def why_infinite(bound: Bound, k: int, classes: int, upper: Floats) -> str:
    """Why a bound's upper bound on L_sup at this K is +∞; empty where it is finite."""
    if reason := bound.nonexistent(k, classes):
        return reason
    return "" if np.isfinite(upper).any() else "1 − τ or υ is 0 for these classes, or so small that it is beyond 1e308"


def too_few_draws(k: int, classes: int) -> str:
    """The reason that bounds through the coupon collector give where K+1 draws cannot hold all classes."""
    return f"υ = 0: the {k + 1} draws cannot contain all {classes} classes" if k + 1 < classes else ""

"""Nozawa & Sato 2021, "Understanding Negative Samples in Instance Discriminative Self-supervised Learning"."""

import numpy as np
from numpy.typing import ArrayLike

from study.bounds.bound import BOUNDS, Bound, BoundTerms, Curve, divide, too_few_draws
from study.bounds.probabilities import Floats, coverage_probability, expected_log_collisions


@BOUNDS.register("nozawa2021")
class Nozawa2021(Bound):
    """L_cont ≥ ½{υ L_sup + (1−υ) L_sub + E ln(Col+1)} + d: coupon-collector bound (Nozawa & Sato 2021, 2102.06866).

    Solved for it: L_sup ≤ (2 L_cont − (1−υ) L_sub − E ln(Col+1) − 2d)/υ, with υ = υ_{K+1}; the closed form leaves the
    data terms L_sub ≥ 0 and d out: (2 L_cont − E ln(Col+1))/υ. (The authors' notebook halves L_sub here.)
    """

    assumptions = (
        "Instance discrimination: a positive is another view of the anchor, not a sample of its class; the closed form "
        "takes d = 0. L_sup is the mean classifier's loss. Draws of the anchor and its negatives are independent of "
        "the class prior π; bounds the loss on the set that the class means come from."
    )

    def contrastive_lower(self, terms: BoundTerms) -> Floats:
        return (terms.sup + terms.sub + terms.log_collisions) / 2 + terms.gap

    def supervised_upper(self, terms: BoundTerms) -> Floats:
        numerator = 2 * terms.contrastive_loss - terms.sub - terms.log_collisions - 2 * terms.gap
        return divide(numerator, terms.coverage)

    def closed(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> tuple[Floats, Floats]:
        return coverage_probability(np.add(k, 1), priors) / 2, expected_log_collisions(k, priors) / 2

    def log_scale(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> Floats:
        return coverage_probability(np.add(k, 1), priors, log=True) - np.log(2)

    def curve(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> Curve:
        half, constant = self.closed(np.atleast_1d(k), priors, temperature)
        return Curve(half, 0.5 - half, np.ones_like(half), constant)

    def nonexistent(self, k: int, classes: int) -> str:
        return too_few_draws(k, classes)

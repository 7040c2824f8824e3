"""Arora et al. 2019, "A Theoretical Analysis of Contrastive Unsupervised Representation Learning" (CURL)."""

import numpy as np
from numpy.typing import ArrayLike

from study.bounds.bound import BOUNDS, Bound, BoundTerms, Curve, divide, too_few_draws
from study.bounds.probabilities import (
    Floats,
    collision_free_coverage,
    collision_probability,
    coverage_probability,
    expected_log_collisions,
)


@BOUNDS.register("arora2019")
class Arora2019(Bound):
    """L_cont ≥ E[ℓ_present·1{Col=0}] + E ln(Col+1) + d: collision-free draws only (Arora et al. 2019, 1902.09229).

    As Nozawa & Sato (2021, 2102.06866) restate it for self-supervision. Solved for L_sup:
    (L_cont − E[ℓ_present·1{Col=0, not all present}] − E ln(Col+1) − d)/(1−τ_K); closed form, without the data terms:
    (L_cont − E ln(Col+1))/((1−τ_K) υ_{K+1}). The published data form divides by P(Col=0) = 1−τ_K what is measured on
    the event {Col=0, all present}; where collision-free draws miss classes it understates the bound, the closed form
    does not.
    """

    assumptions = (
        "A positive is an independent sample of the anchor's latent class: with views of one instance d stands for "
        "the difference, and the closed form takes d = 0. Only draws without a collision carry supervised loss, so "
        "that the bound on it grows like 1/(1−τ_K) in K. The data form takes all classes to be present in "
        "collision-free draws."
    )

    def contrastive_lower(self, terms: BoundTerms) -> Floats:
        return terms.free_sup + terms.free_sub + terms.log_collisions + terms.gap

    def supervised_upper(self, terms: BoundTerms) -> Floats:
        numerator = terms.contrastive_loss - terms.free_sub - terms.log_collisions - terms.gap
        return divide(numerator, terms.no_collision if terms.coverage > 0 else 0.0)

    def closed(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> tuple[Floats, Floats]:
        no_collision = collision_probability(k, priors, complement=True)
        return no_collision * coverage_probability(np.add(k, 1), priors), expected_log_collisions(k, priors)

    def curve(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> Curve:
        ks = np.atleast_1d(k)
        covered = collision_free_coverage(ks, priors)
        uncovered = np.maximum(0, collision_probability(ks, priors, complement=True) - covered)
        return Curve(covered, uncovered, np.ones_like(covered), expected_log_collisions(ks, priors))

    def nonexistent(self, k: int, classes: int) -> str:
        if classes == 1 and k > 0:
            return "τ = 1: with one class every negative collides"
        return too_few_draws(k, classes)

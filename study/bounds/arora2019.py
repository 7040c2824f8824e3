"""Arora et al. 2019, "A Theoretical Analysis of Contrastive Unsupervised Representation Learning" (CURL)."""

import numpy as np
from numpy.typing import ArrayLike

from study.bounds.bound import BOUNDS, Bound, BoundTerms, Curve, divide_by_log, too_few_draws
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

    As Nozawa & Sato (2021, 2102.06866, Eq. 8) restate it for self-supervision. Solved for L_sup:
    (L_cont − E[ℓ_present·1{Col=0, not all present}] − E ln(Col+1) − d)/P(Col=0, all present); closed form, without the
    data terms: (L_cont − E ln(Col+1))/((1−τ_K) υ_{K+1}), and (1−τ_K) υ_{K+1} ≤ P(Col=0, all present) for any π.

    The numerator is at least E[ℓ_sup·1{Col=0, all present}], hence the divisor: over 1−τ_K = P(Col=0), as in Nozawa &
    Sato's notebook, it is too small by P(all present | Col=0), 1/6.22 at C = 10, K = 16 and 1/(3·10²¹) at C = 100,
    K = 127. What is bounded is the loss over the anchors of such draws, Σ_c w_c E[ℓ_sup | y = c] with w_c ∝
    π_c (1−π_c)^K υ_K(the other classes). With equal priors w = π and it is L_sup; with unequal ones the anchors are not
    distributed as π but lean to rare classes, and L_sup over π may be above the bound.
    """

    assumptions = (
        "A positive is an independent sample of the anchor's latent class: with views of one instance d stands for "
        "the difference, and the closed form takes d = 0. Only draws without a collision carry supervised loss, so "
        "that the bound on it grows like 1/(1−τ_K) in K. It bounds the loss over anchors of collision-free draws that "
        "hold all classes: with unequal priors these are not distributed as π but lean to rare classes."
    )

    def contrastive_lower(self, terms: BoundTerms) -> Floats:
        return terms.free_sup + terms.free_sub + terms.log_collisions + terms.gap

    def supervised_upper(self, terms: BoundTerms) -> Floats:
        numerator = terms.contrastive_loss - terms.free_sub - terms.log_collisions - terms.gap
        return divide_by_log(numerator, terms.log_free_coverage)

    def closed(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> tuple[Floats, Floats]:
        return np.exp(self.log_scale(k, priors, temperature)), expected_log_collisions(k, priors)

    def log_scale(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> Floats:
        no_collision = collision_probability(k, priors, complement=True, log=True)
        return no_collision + coverage_probability(np.add(k, 1), priors, log=True)

    def curve(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> Curve:
        ks = np.atleast_1d(k)
        covered = collision_free_coverage(ks, priors)
        uncovered = np.maximum(0, collision_probability(ks, priors, complement=True) - covered)
        return Curve(covered, uncovered, np.ones_like(covered), expected_log_collisions(ks, priors))

    def nonexistent(self, k: int, classes: int) -> str:
        if classes == 1 and k > 0:
            return "τ = 1: with one class every negative collides"
        return too_few_draws(k, classes)

"""Ash et al. 2021, "Investigating the Role of Negatives in Contrastive Representation Learning"."""

import numpy as np
from numpy.typing import ArrayLike

from study.bounds.bound import BOUNDS, Bound, BoundTerms, Curve, divide
from study.bounds.priors import class_priors
from study.bounds.probabilities import Floats, collision_probability, expected_log_collisions


@BOUNDS.register("ash2021")
class Ash2021(Bound):
    """L_sup ≤ 2·max(1, 2(C−1)H_{C−1}/K)/(1−τ_K) · (L_cont − E ln(Col+1)): any K (Ash et al. 2021, 2106.09943).

    The data form takes d off L_cont as well: d is what a view as positive costs against a sample of the class.
    """

    assumptions = (
        "Classes are balanced (the coupon number (C−1)H_{C−1} is that of a uniform prior). A positive is an "
        "independent sample of the anchor's class: d stands for the difference in the data form, the closed form "
        "takes d = 0."
    )

    parameters = ("L_sup", "d")

    def contrastive_lower(self, terms: BoundTerms) -> Floats:
        scale = _scale(terms.k, len(terms.priors), terms.no_collision)
        return scale * terms.supervised_loss + terms.log_collisions + terms.gap

    def supervised_upper(self, terms: BoundTerms) -> Floats:
        scale = _scale(terms.k, len(terms.priors), terms.no_collision)
        return divide(terms.contrastive_loss - terms.log_collisions - terms.gap, scale)

    def closed(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> tuple[Floats, Floats]:
        no_collision = collision_probability(k, priors, complement=True)
        return _scale(k, len(class_priors(priors)), no_collision), expected_log_collisions(k, priors)

    def curve(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> Curve:
        scale, constant = self.closed(np.atleast_1d(k), priors, temperature)
        return Curve(scale, np.zeros_like(scale), np.ones_like(scale), constant)

    def nonexistent(self, k: int, classes: int) -> str:
        if k == 0:
            return "K = 0: without negatives the contrastive loss says nothing about classes"
        return "τ = 1: with one class every negative collides" if classes == 1 else ""


def _scale(k: ArrayLike, classes: int, no_collision: Floats) -> Floats:
    """(1−τ_K) / (2·max(1, 2(C−1)H_{C−1}/K)), written so that K = 0 gives 0."""
    coupons = 2 * (classes - 1) * np.sum(1 / np.arange(1, classes))
    return no_collision / 2 * np.minimum(1, np.asarray(k) / max(coupons, 1))

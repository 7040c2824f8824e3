"""Bao, Nagano & Nozawa 2021, "On the Surrogate Gap between Contrastive and Supervised Losses"."""

import numpy as np
from numpy.typing import ArrayLike

from study.bounds.bound import BOUNDS, Bound, BoundTerms, Curve
from study.bounds.priors import Array, class_priors
from study.bounds.probabilities import Floats


@BOUNDS.register("bao2021")
class Bao2021(Bound):
    """L_sup ≤ L_cont + ln(π_max C² cosh²(b²)/K): slope 1 at every K, b² = 1/t (Bao et al. 2021, 2110.02501).

    The paper also bounds it below: L_sup ≥ L_cont + H(π) + ln K − 2 ln(1+K) − 2 ln cosh(b²). ‖f‖ ≤ b, so that unit
    embeddings at temperature t have b² = 1/t. The data form takes d off L_cont.
    """

    assumptions = (
        "Embeddings are bounded, ‖f‖ ≤ b (b² = 1/t for unit rows). A positive is an independent sample of the "
        "anchor's class: d stands for the difference in the data form, the closed form takes d = 0. "
        "The width 4 ln cosh(1/t) of the band does not shrink with K: loose at low temperature."
    )

    parameters = ("L_sup", "d")

    def contrastive_lower(self, terms: BoundTerms) -> Floats:
        return terms.supervised_loss - _surplus(terms.k, terms.priors, terms.temperature) + terms.gap

    def supervised_upper(self, terms: BoundTerms) -> Floats:
        return terms.contrastive_loss + _surplus(terms.k, terms.priors, terms.temperature) - terms.gap

    def supervised_lower_closed(
        self, contrastive_loss: Floats, k: ArrayLike, priors: int | ArrayLike, temperature: float
    ) -> Floats:
        """L_cont + H(π) + ln K − 2 ln(1+K) − 2 ln cosh(b²) ≤ L_sup; −∞ at K = 0."""
        pi, ks = class_priors(priors), np.asarray(k, dtype=float)
        return contrastive_loss - pi @ np.log(pi) + _log(ks) - 2 * np.log1p(ks) - 2 * _log_cosh(1 / temperature)

    def closed(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> tuple[Floats, Floats]:
        surplus = _surplus(k, class_priors(priors), temperature)
        return np.ones_like(surplus), -surplus

    def curve(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> Curve:
        scale, constant = self.closed(np.atleast_1d(k), priors, temperature)
        return Curve(scale, np.zeros_like(scale), np.ones_like(scale), constant)

    def nonexistent(self, k: int, classes: int) -> str:
        return "K = 0: the bound's ln(1/K) diverges" if k == 0 else ""


def _surplus(k: ArrayLike, priors: Array, temperature: float) -> Floats:
    """ln(π_max C² cosh²(1/t)/K), +∞ at K = 0."""
    scale = np.log(priors.max()) + 2 * np.log(len(priors)) + 2 * _log_cosh(1 / temperature)
    return scale - _log(np.asarray(k, dtype=float))


def _log_cosh(x: float) -> float:
    return x + float(np.log1p(np.exp(-2 * x))) - float(np.log(2))


def _log(k: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(k)

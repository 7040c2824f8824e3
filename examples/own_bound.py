"""A bound of one's own: how low collisions alone let the contrastive loss fall."""

import numpy as np
from numpy.typing import ArrayLike

from study import Study, TrialConfig, grid
from study.bounds import BOUNDS, Bound, BoundTerms, Curve
from study.bounds.probabilities import Floats, expected_log_collisions


@BOUNDS.register("collisions")
class Collisions(Bound):
    """L_cont ≥ E ln(Col+1): nothing tells the positive from the Col negatives of its class.

    Given a draw, the positive and those Col negatives are exchangeable, and their softmax shares sum to 1 at most, so
    the mean of −ln share over which of them is the positive is at least ln(Col+1). It says nothing of L_sup.
    """

    assumptions = (
        "A positive is an independent sample of the anchor's class: d stands for the difference in the data form."
    )
    parameters = ("d",)

    def contrastive_lower(self, terms: BoundTerms) -> Floats:
        return terms.log_collisions + terms.gap

    def supervised_upper(self, terms: BoundTerms) -> Floats:
        return np.full_like(terms.contrastive_loss, np.inf, dtype=float)[()]

    def closed(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> tuple[Floats, Floats]:
        constant = expected_log_collisions(k, priors)
        return np.zeros_like(constant), constant

    def curve(self, k: ArrayLike, priors: int | ArrayLike, temperature: float) -> Curve:
        scale, constant = self.closed(np.atleast_1d(k), priors, temperature)
        return Curve(scale, scale, np.ones_like(scale), constant)

    def nonexistent(self, k: int, classes: int) -> str:
        return "collisions alone say nothing of the supervised loss"


study = Study(
    "own-bound",
    question="How near does the contrastive loss come to what collisions alone allow?",
    base=TrialConfig(
        data={"name": "shapes", "train_size": 2000},
        encoder={"name": "conv-small", "width": 16},
        batch_size=128,
        epochs=5,
        evaluations=["contrastive", "linear", "bounds"],
    ),
    space={"k": grid(16, 64)},
    seeds=2,
)
if __name__ == "__main__":
    results = study.run()
    print(results.slack())

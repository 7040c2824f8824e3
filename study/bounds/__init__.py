"""Theory: exact probabilities, the bounds between contrastive and supervised loss, and their estimation from draws."""

from study.bounds import arora2019, ash2021, bao2021, nozawa2021  # noqa: F401  (registers them)
from study.bounds.bound import BOUNDS, PARAMETERS, Bound, BoundTerms, Curve

__all__ = ["BOUNDS", "PARAMETERS", "Bound", "BoundTerms", "Curve"]

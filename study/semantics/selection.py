"""What a strategy selected, against the pool that it selected from: similarity and collision rate."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from study.semantics.ranking import Floats, Ints
from study.semantics.similarity import Matrix


def pair_mass(weights: NDArray, anchor_labels: Ints, key_labels: Ints, classes: int) -> Matrix:
    """[C, C]: Σ of weights by the anchor's and the key's class; add these up over steps.

    Shapes: weights [B, P] (a mask counts 1 for every pair that is kept), anchor_labels [B], key_labels [P]. On another
    device the same is onehot(anchor_labels)ᵀ @ weights @ onehot(key_labels).
    """
    keys = anchor_labels[:, None] * classes + key_labels
    mass = np.bincount(keys.ravel(), weights.ravel().astype(np.float64), minlength=classes**2)
    return mass.reshape(classes, classes).astype(np.float64)


def selection_statistics(selected: Matrix, offered: Matrix, similarities: Mapping[str, Matrix]) -> dict[str, float]:
    """Scalars of the selected and of the offered (anchor, key) pairs, from their masses [C, C] by class.

    `negatives.selected.…` and `negatives.offered.…`: `collision_rate`, each measure's mean, and under `…_other` its
    mean without same-class pairs; NaN where nothing was selected.
    """
    scalars = {}
    for part, mass in (("selected", selected), ("offered", offered)):
        scalars[f"negatives.{part}.collision_rate"] = _mean(np.eye(len(mass)), mass)
        for measure, similarity in similarities.items():
            scalars[f"negatives.{part}.{measure}"] = _mean(similarity, mass)
            scalars[f"negatives.{part}.{measure}_other"] = _mean(similarity, mass * (1 - np.eye(len(mass))))
    return scalars


def _mean(values: Floats, mass: Matrix) -> float:
    return float((values * mass).sum() / mass.sum()) if mass.sum() else float("nan")

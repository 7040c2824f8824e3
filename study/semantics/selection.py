"""Semantic similarity and same-class share of what a strategy selected, against the pool that it selected from."""

from collections.abc import Mapping

import numpy as np

from study.semantics.ranking import Floats
from study.semantics.similarity import Matrix


def selection_statistics(selected: Matrix, offered: Matrix, similarities: Mapping[str, Matrix]) -> dict[str, float]:
    """Scalars of the selected and of the offered (anchor, key) pairs, from their masses [C, C] by class.

    `negatives.selected.…` and `negatives.offered.…`: `same_class_share`, each measure's mean, and under `…_other` its
    mean without same-class pairs. What is undefined (a mean of nothing) is left out.
    """
    scalars, other = {}, 1 - np.eye(len(selected))
    for part, mass in (("selected", selected), ("offered", offered)):
        scalars[f"negatives.{part}.same_class_share"] = _mean(np.eye(len(mass)), mass)
        for measure, similarity in similarities.items():
            scalars[f"negatives.{part}.{measure}"] = _mean(similarity, mass)
            scalars[f"negatives.{part}.{measure}_other"] = _mean(similarity, mass * other)
    return {name: value for name, value in scalars.items() if not np.isnan(value)}


def _mean(values: Floats, mass: Matrix) -> float:
    return float((values * mass).sum() / mass.sum()) if mass.sum() else float("nan")

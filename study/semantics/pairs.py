"""Similarity of pairs of classes, by an encoder or by meaning, as rows of a table."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from study.semantics.ranking import Floats, Ints
from study.semantics.similarity import Matrix

MEANING, FEATURES, EMBEDDINGS = "meaning", "features", "embeddings"
UNTRAINED, WORDS = "untrained features", "word vectors"
"""Similarities of a trial: the first three in the table `negatives.pairs`, the others in `negatives.untrained`."""
DIGITS = 7


def class_similarity(rows: Floats, labels: Ints, classes: int) -> Matrix:
    """[C, C]: mean similarity of two examples, one of each class: how hard the classes are for one another. The
    product of the classes' mean rows; NaN for a class without examples. Shapes: unit rows [M, D], labels [M]."""
    sums = np.zeros((classes, rows.shape[1]))
    np.add.at(sums, labels, rows)
    counts = np.bincount(labels, minlength=classes)[:, None]
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means @ means.T


def pair_rows(matrices: Mapping[str, Matrix]) -> list[dict[str, Any]]:
    """A row a matrix [C, C]: `of` (its name), `classes`, `values` (those above the diagonal, row by row, as JSON)."""
    rows = []
    for name, matrix in matrices.items():
        upper = np.round(matrix[np.triu_indices(len(matrix), k=1)], DIGITS)
        values = [value if np.isfinite(value) else None for value in upper.tolist()]
        rows.append({"of": name, "classes": len(matrix), "values": json.dumps(values, separators=(",", ":"))})
    return rows


def matrices_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Matrix]:
    """The inverse of `pair_rows`, NaN on the diagonal."""
    found = {}
    for row in rows:
        matrix = np.full((row["classes"], row["classes"]), np.nan)
        upper = np.triu_indices(row["classes"], k=1)
        matrix[upper] = matrix.T[upper] = np.array(json.loads(row["values"]), dtype=np.float64)
        found[row["of"]] = matrix
    return found

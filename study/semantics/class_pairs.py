"""Pairs of classes whose difficulty follows their meaning, and those whose does not."""

from typing import Any, NamedTuple

import numpy as np

from study.semantics.ranking import Floats, Ints, mean_of_defined, mean_ranks
from study.semantics.similarity import Matrix

KINDS = {
    (True, True): "near and hard",
    (False, False): "far and easy",
    (True, False): "near but easy",
    (False, True): "far but hard",
}


class Pairs(NamedTuple):
    """Unordered pairs of different classes whose difficulty is known; both directions of a pair are averaged."""

    first: Ints
    second: Ints
    difficulty: Floats
    similarity: Floats
    z_difficulty: Floats
    z_similarity: Floats

    @classmethod
    def of(cls, difficulty: Matrix, similarity: Matrix) -> "Pairs":
        first, second = np.triu_indices(len(similarity), k=1)
        hard, near = _symmetric(difficulty)[first, second], _symmetric(similarity)[first, second]
        known = np.isfinite(hard)
        hard, near = hard[known], near[known]
        return cls(first[known], second[known], hard, near, _standardised_ranks(hard), _standardised_ranks(near))

    @property
    def contribution(self) -> Floats:
        """z(difficulty rank) · z(similarity rank); the mean over pairs is Spearman's ρ."""
        return self.z_difficulty * self.z_similarity

    def row(self, i: int, names: tuple[str, ...]) -> dict[str, Any]:
        return {
            "class": names[self.first[i]],
            "other": names[self.second[i]],
            "kind": KINDS[bool(self.z_similarity[i] > 0), bool(self.z_difficulty[i] > 0)],
            "difficulty": float(self.difficulty[i]),
            "similarity": float(self.similarity[i]),
            "contribution": float(self.z_difficulty[i] * self.z_similarity[i]),
        }


def class_difficulty(
    queries: Floats, pool: Floats, own: Ints | None, query_labels: Ints, pool_labels: Ints, classes: int
) -> Matrix:
    """[C, C]: mean similarity of queries of one class and their negatives of another; NaN where there are none.

    Shapes: queries [Q, D], pool [P, D], own [Q] or None, query_labels [Q], pool_labels [P].
    """
    query_sums = np.zeros((classes, queries.shape[1]))
    pool_sums = np.zeros((classes, queries.shape[1]))
    np.add.at(query_sums, query_labels, queries)
    np.add.at(pool_sums, pool_labels, pool)
    counts = np.outer(np.bincount(query_labels, minlength=classes), np.bincount(pool_labels, minlength=classes))
    total = query_sums @ pool_sums.T
    if own is not None:
        np.add.at(total, (query_labels, query_labels), -(queries * pool[own]).sum(axis=1))
        np.add.at(counts, (query_labels, query_labels), -1)
    return np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)


def class_pairs(
    difficulty: Matrix, similarity: Matrix, names: tuple[str, ...], *, limit: int = 20
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pairs of classes that correlate most, and those that anti-correlate most.

    A pair's contribution is z(difficulty rank) · z(similarity rank); its mean over all pairs is Spearman's ρ. Positive
    ones follow meaning (near and hard, far and easy), negative ones go against it (near but easy, far but hard).
    """
    pairs = Pairs.of(difficulty, similarity)
    contribution = pairs.contribution
    ascending = np.argsort(contribution, kind="stable")
    correlated = [pairs.row(i, names) for i in ascending[::-1][:limit] if contribution[i] > 0]
    return correlated, [pairs.row(i, names) for i in ascending[:limit] if contribution[i] < 0]


def spearman_of_pairs(difficulty: Matrix, similarity: Matrix) -> float:
    """Spearman's ρ of difficulty and similarity over pairs of classes; NaN where either does not vary."""
    return mean_of_defined(Pairs.of(difficulty, similarity).contribution)


def _standardised_ranks(values: Floats) -> Floats:
    if not len(values):
        return values
    ranks = mean_ranks(values, np.ones(len(values), dtype=np.intp))
    spread = ranks.std()
    return (ranks - ranks.mean()) / spread if spread else np.full(len(values), np.nan)


def _symmetric(matrix: Matrix) -> Matrix:
    """The mean of both directions, or the known one where the other is NaN."""
    known = np.isfinite(matrix)
    total = np.where(known, matrix, 0) + np.where(known, matrix, 0).T
    with np.errstate(invalid="ignore"):
        return total / (known.astype(int) + known.T)

"""Rank correlation of difficulty and meaning over each query's negatives."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from study.semantics.ranking import Ints, mean_of_defined, mean_ranks
from study.semantics.similarity import Matrix


class CorrelationTally:
    """Spearman's ρ of difficulty and similarity for every query.

    A query's ρ is Pearson's correlation of two ranks over its negatives: by difficulty, and by the similarity of
    their class to the query's, negatives of equal similarity sharing their mean rank. Both depend on the negatives
    only through Σ of difficulty ranks per class, so a block needs one count.
    """

    def __init__(
        self, query_labels: Ints, pool_labels: Ints, similarities: Mapping[str, Matrix], classes: int, *, own: bool
    ) -> None:
        self.labels = query_labels  # [Q]
        self.classes = classes
        self.similarities = similarities
        counts = np.bincount(pool_labels, minlength=classes)
        same = np.eye(classes, dtype=bool)
        negatives = counts - same if own else np.tile(counts, (classes, 1))  # [C, C], by query class
        others = np.where(same, 0, negatives)
        self.scores = {measure: spearman_scores(s, negatives) for measure, s in similarities.items()}
        self.scores_other = {measure: spearman_scores(s, others) for measure, s in similarities.items()}
        self.rho = {measure: np.zeros(len(query_labels)) for measure in similarities}
        self.rho_other = {measure: np.zeros(len(query_labels)) for measure in similarities}

    def add(self, queries: slice, query_labels: Ints, ranked_labels: Ints) -> None:
        """Labels [b] of the queries in the slice, and labels [b, N] of their negatives, hardest first."""
        position = np.broadcast_to(np.arange(ranked_labels.shape[1]), ranked_labels.shape)
        sums = self._sums_by_class(ranked_labels, position)
        other = ranked_labels != query_labels[:, None]
        sums_other = self._sums_by_class(ranked_labels, np.where(other, np.cumsum(other, axis=1), 0))
        for measure in self.similarities:
            # A late position is an easy negative, hence the sign.
            self.rho[measure][queries] = -(sums * self.scores[measure][query_labels]).sum(axis=1)
            self.rho_other[measure][queries] = -(sums_other * self.scores_other[measure][query_labels]).sum(axis=1)

    def scalars(self) -> dict[str, float]:
        """Per measure `spearman_<measure>`, the mean ρ of queries, and under `…_other` without same-class negatives."""
        scalars = {}
        for measure in self.similarities:
            scalars[f"spearman_{measure}"] = mean_of_defined(self.rho[measure])
            scalars[f"spearman_{measure}_other"] = mean_of_defined(self.rho_other[measure])
        return scalars

    def by_class(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """One row a query class: its number of queries and their mean ρ, with and without same-class negatives."""
        rows = []
        for label in np.unique(self.labels):
            mine = self.labels == label
            row: dict[str, Any] = {"class": names[label], "queries": int(mine.sum())}
            for measure in self.similarities:
                row[f"spearman_{measure}"] = mean_of_defined(self.rho[measure][mine])
                row[f"spearman_{measure}_other"] = mean_of_defined(self.rho_other[measure][mine])
            rows.append(row)
        return rows

    def _sums_by_class(self, ranked_labels: Ints, values: Ints) -> Matrix:
        rows = len(ranked_labels)
        keys = np.arange(rows)[:, None] * self.classes + ranked_labels
        sums = np.bincount(keys.ravel(), values.ravel().astype(np.float64), minlength=rows * self.classes)
        return sums.reshape(rows, self.classes).astype(np.float64)


def spearman_scores(similarity: Matrix, counts: Ints) -> Matrix:
    """[C, C]: what one rank of difficulty of a negative adds to ρ, by query class and negative's class.

    ρ = Σ_c scores[y, c] Σ_{negatives of class c} rank. With N = Σ_c counts[y, c] negatives, r their rank by
    similarity: (r − mean r) / (N σ_r σ_rank), σ_rank² = (N² − 1)/12. NaN where all similarities are equal.
    """
    scores = np.full(similarity.shape, np.nan)
    for row, (values, count) in enumerate(zip(similarity, counts, strict=True)):
        total = count.sum()
        if total > 1:
            centred = mean_ranks(values, count) - (total + 1) / 2
            spread = np.sqrt((count * centred**2).sum() / total * (total**2 - 1) / 12)
            scores[row] = centred / (total * spread) if spread else np.nan
    return scores

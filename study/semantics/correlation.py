"""Rank correlation of difficulty and meaning over each query's negatives."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from study.semantics.ranking import Bools, Floats, Ints, mean_of_defined, mean_ranks
from study.semantics.similarity import Matrix


class CorrelationTally:
    """Spearman's ρ of difficulty and similarity for every query.

    A query's ρ is Pearson's correlation of two ranks over its negatives: by difficulty, and by the similarity of
    their class to the query's; in both, equal ones share their mean rank. It depends on the negatives only through
    Σ of difficulty ranks per class and their variance, so a block needs one count.
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

    def add(self, queries: slice, query_labels: Ints, ranked_labels: Ints, difficulty: Floats) -> None:
        """Labels [b] of the queries in the slice; labels and difficulty [b, N] of their negatives, hardest first."""
        digits = 12 if difficulty.dtype == np.float64 else 6  # what differs by rounding alone is equal
        first, last = equal_runs(np.round(difficulty, digits))
        other = ranked_labels != query_labels[:, None]
        for rho, scores, counted in (
            (self.rho, self.scores, np.ones_like(other)),
            (self.rho_other, self.scores_other, other),
        ):
            sums, spread = self._difficulty_ranks(ranked_labels, counted, first, last)
            for measure in self.similarities:
                # Ranks grow with easiness, hence the sign.
                rho[measure][queries] = -(sums * scores[measure][query_labels]).sum(axis=1) / spread

    def scalars(self) -> dict[str, float]:
        """Per measure `spearman_<measure>`, the mean ρ of queries, and under `…_other` without same-class negatives."""
        scalars = {}
        for measure in self.similarities:
            scalars[f"spearman_{measure}"] = mean_of_defined(self.rho[measure])
            scalars[f"spearman_{measure}_other"] = mean_of_defined(self.rho_other[measure])
        return scalars

    def by_class(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """One row per query class: its number of queries and their mean ρ, with and without same-class negatives."""
        rows = []
        for label in np.unique(self.labels):
            mine = self.labels == label
            row: dict[str, Any] = {"class": names[label], "queries": int(mine.sum())}
            for measure in self.similarities:
                row[f"spearman_{measure}"] = mean_of_defined(self.rho[measure][mine])
                row[f"spearman_{measure}_other"] = mean_of_defined(self.rho_other[measure][mine])
            rows.append(row)
        return rows

    def _difficulty_ranks(self, labels: Ints, counted: Bools, first: Ints, last: Ints) -> tuple[Matrix, Floats]:
        """Σ of the ranks of the counted negatives by their class [b, C], and the ranks' standard deviation [b].

        Shapes: [b, N]. Equally hard negatives share their mean rank; σ² = (n³ − n − Σ (t³ − t)) / (12 n) with n
        counted negatives in runs of t equal ones; NaN where all are equal.
        """
        before = np.cumsum(counted, axis=1, dtype=np.int64)
        upto = np.take_along_axis(before, last, axis=1)
        before = np.take_along_axis(before - counted, first, axis=1)
        rank = np.where(counted, (before + upto + 1) / 2, 0)
        keys = np.arange(len(labels))[:, None] * self.classes + labels
        sums = np.bincount(keys.ravel(), rank.ravel(), minlength=len(labels) * self.classes)
        n, ties = counted.sum(axis=1), (((upto - before) ** 2 - 1) * counted).sum(axis=1)  # Σ t³ − t over runs
        twelve_n_variance = (n**3 - n - ties).astype(np.float64)
        twelve_n_variance[twelve_n_variance == 0] = np.nan
        return sums.reshape(len(labels), self.classes).astype(np.float64), np.sqrt(twelve_n_variance / (12 * n))


def equal_runs(values: Floats) -> tuple[Ints, Ints]:
    """First and last position of the run of equal values that each position of a sorted row is in. Shapes: [b, N]."""
    position = np.arange(values.shape[1])
    starts = np.ones(values.shape, dtype=bool)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    ends = np.roll(starts, -1, axis=1)  # the first position always starts a run, so the last one ends one
    first = np.maximum.accumulate(np.where(starts, position, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, position, len(position))[:, ::-1], axis=1)[:, ::-1]
    return first, last


def spearman_scores(similarity: Matrix, counts: Ints) -> Matrix:
    """[C, C]: what one rank of difficulty of a negative adds to ρ, by query class and negative's class.

    ρ = Σ_c scores[y, c] Σ_{negatives of class c} rank / σ_rank. With N = Σ_c counts[y, c] negatives, r their rank by
    similarity: (r − mean r) / (N σ_r). NaN where all similarities are equal.
    """
    scores = np.full(similarity.shape, np.nan)
    for row, (values, count) in enumerate(zip(similarity, counts, strict=True)):
        total = count.sum()
        if total > 1:
            centred = mean_ranks(values, count) - (total + 1) / 2
            spread = np.sqrt((count * centred**2).sum() / total)
            scores[row] = centred / (total * spread) if spread else np.nan
    return scores

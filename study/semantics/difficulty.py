"""Distribution of difficulty: histograms of similarity by how near in meaning the classes of a pair are."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.semantics.ranking import SUMMARY_BANDS, Floats, Ints, band_sizes
from study.semantics.similarity import Matrix

BINS = 100
"""Equal ones from −1 to 1."""
SAME, NEAR, FAR = "same class", "near classes", "far classes"
BOTH, ONE = "hard for both", "hard for one"


class HistogramTally:
    """Counts of similarity over the (query, negative) pairs of a pool, and over the pairs of two queries.

    Pairs of the same class; of other classes whose similarity of meaning is above its mean over all pairs of different
    classes (near), or not (far), by the first measure; of two queries each of which is among the hardest 5 % of the
    other's negatives (hard for both), or one of which is (hard for one).
    """

    def __init__(self, queries: int, pool: int, own: Ints | None, similarities: Mapping[str, Matrix]) -> None:
        self.measure, similarity = next(iter(similarities.items()), ("", None))
        self.threshold, self.kind = _kinds(similarity)
        self.counts = np.zeros((3, BINS), dtype=np.int64)  # same, near or other, far
        negatives = pool - (own is not None)
        self.hardest = int(band_sizes(negatives)[SUMMARY_BANDS["hard_5pct"]].sum())
        self.place = np.full(pool, -1)  # of a pool row among the queries
        if own is not None:
            self.place[own] = np.arange(queries)
        self.hard = np.zeros((queries, queries), dtype=bool)
        self.between = np.zeros((queries, queries), dtype=np.int8)  # bin

    def add(self, queries: slice, order: Ints, difficulty: Floats) -> None:
        """Pool rows and difficulty [b, N] of the negatives of the queries in the slice, hardest first."""
        place = self.place[order]
        row, column = np.nonzero(place >= 0)
        other = place[row, column]
        self.hard[queries.start + row, other] = column < self.hardest
        self.between[queries.start + row, other] = bins(difficulty[row, column])

    def add_classes(self, query_labels: Ints, ranked_labels: Ints, difficulty: Floats) -> None:
        """Labels [b] of some queries; labels and difficulty [b, N] of their negatives."""
        same = query_labels[:, None] == ranked_labels
        kind = np.where(same, 0, 1) if self.kind is None else self.kind[query_labels[:, None], ranked_labels]
        keys = kind * BINS + bins(difficulty)
        self.counts += np.bincount(keys.ravel(), minlength=3 * BINS).reshape(3, BINS)

    def table(self) -> list[dict[str, Any]]:
        """One row a kind of pairs that there are: pairs, measure and threshold of near, number, `counts` as JSON."""
        names = (SAME, "other classes", "") if self.kind is None else (SAME, NEAR, FAR)
        found = dict(zip(names, self.counts, strict=True)) | self._of_queries()
        rows = []
        for name, counts in found.items():
            if counts.sum():
                by = (self.measure, self.threshold) if name in (NEAR, FAR) else ("", None)
                rows.append({
                    "pairs": name, "measure": by[0], "threshold": by[1], "number": int(counts.sum()),
                    "counts": json.dumps(counts.tolist(), separators=(",", ":")),
                })  # fmt: skip
        return rows

    def _of_queries(self) -> dict[str, NDArray[np.int64]]:
        upper = np.triu(np.ones_like(self.hard), k=1)
        both, one = self.hard & self.hard.T & upper, (self.hard ^ self.hard.T) & upper
        return {name: np.bincount(self.between[at], minlength=BINS) for name, at in ((BOTH, both), (ONE, one))}


def bins(similarity: Floats) -> Ints:
    """The bin of each; 1 is in the last."""
    place: Ints = np.clip(((similarity + 1) * (BINS / 2)).astype(np.intp), 0, BINS - 1)
    return place


def _kinds(similarity: Matrix | None) -> tuple[float | None, Ints | None]:
    """The threshold of near, and [C, C]: 0 the same class, 1 near, 2 far; None without a measure."""
    if similarity is None or len(similarity) < 2:
        return None, None
    same = np.eye(len(similarity), dtype=bool)
    threshold = float(similarity[~same].mean())
    return threshold, np.where(same, 0, np.where(similarity > threshold, 1, 2))

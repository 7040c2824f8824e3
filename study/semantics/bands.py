"""Semantic similarity and same-class share of the negatives of each difficulty band."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from study.semantics.ranking import BANDS, SUMMARY_BANDS, Floats, Ints, band_sizes
from study.semantics.similarity import Matrix


class BandTally:
    """Sums over each query's bands, filled block by block; Q queries, N negatives each, C classes."""

    def __init__(self, queries: int, negatives: int, similarities: Mapping[str, Matrix], classes: int) -> None:
        self.sizes = band_sizes(negatives)  # [8]
        self.similarities = similarities
        self.classes = classes
        self.same = np.zeros((queries, len(BANDS)))
        self.total = {measure: np.zeros((queries, len(BANDS))) for measure in similarities}
        self.total_other = {measure: np.zeros((queries, len(BANDS))) for measure in similarities}

    def add(self, queries: slice, query_labels: Ints, ranked_labels: Ints) -> None:
        """Labels [b] of the queries in the slice, and labels [b, N] of their negatives, hardest first."""
        rows = np.arange(len(query_labels))
        band = np.repeat(np.arange(len(BANDS)), self.sizes)  # [N]
        keys = (rows[:, None] * len(BANDS) + band) * self.classes + ranked_labels
        cells = len(rows) * len(BANDS) * self.classes
        counts = np.bincount(keys.ravel(), minlength=cells).reshape(len(rows), len(BANDS), self.classes)
        same = counts[rows, :, query_labels]  # [b, 8]
        self.same[queries] = same
        for measure, similarity in self.similarities.items():
            total = np.einsum("qbc,qc->qb", counts, similarity[query_labels])
            self.total[measure][queries] = total
            self.total_other[measure][queries] = total - same * similarity[query_labels, query_labels][:, None]

    def summary(self, bands: slice) -> dict[str, float]:
        """Means over all negatives in the bands, each with its standard error over queries under `…_se`.

        `same_class_share`; per measure its mean, and under `…_other` its mean without same-class negatives.
        """
        count = np.full(len(self.same), self.sizes[bands].sum(), dtype=np.float64)  # [Q]
        same = self.same[:, bands].sum(axis=1)
        means = {"same_class_share": ratio(same, count)}
        for measure in self.similarities:
            means[measure] = ratio(self.total[measure][:, bands].sum(axis=1), count)
            means[f"{measure}_other"] = ratio(self.total_other[measure][:, bands].sum(axis=1), count - same)
        return {key: number for name, (mean, se) in means.items() for key, number in ((name, mean), (f"{name}_se", se))}

    def table(self) -> list[dict[str, Any]]:
        """One row a band that holds negatives, and one for the whole pool; `count` = negatives a query."""
        rows = [
            {"band": band.label, "lo": band.lo, "hi": band.hi, "count": int(size), **self.summary(slice(i, i + 1))}
            for i, (band, size) in enumerate(zip(BANDS, self.sizes, strict=True))
            if size
        ]
        whole = {"band": "all", "lo": 0.0, "hi": 1.0, "count": int(self.sizes.sum()), **self.summary(slice(None))}
        return [*rows, whole]

    def scalars(self) -> dict[str, float]:
        """`hard_5pct.…`, `easy_5pct.…` and `pool.…` (all negatives)."""
        parts = {**SUMMARY_BANDS, "pool": slice(None)}
        return {
            f"{part}.{name}": number
            for part, bands in parts.items()
            for name, number in self.summary(bands).items()
            if not name.endswith("_se")
        }


def ratio(parts: Floats, wholes: Floats) -> tuple[float, float]:
    """Σ parts / Σ wholes over queries, with its standard error by linearisation; NaN where there is nothing."""
    if not wholes.sum():
        return float("nan"), float("nan")
    value = parts.sum() / wholes.sum()
    residual = (parts - value * wholes) / wholes.mean()
    spread = residual.std(ddof=1) if len(parts) > 1 else np.nan
    return float(value), float(spread / np.sqrt(len(parts)))

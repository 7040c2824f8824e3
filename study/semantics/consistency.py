"""Whether the same negatives are hard, or easy, for query after query: counts against the binomial null."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from study.semantics.ranking import BANDS, SUMMARY_BANDS, Floats, Ints, band_sizes

LEVEL = 0.99
LISTED = 10
"""Negatives listed by name for each summary band."""


class ConsistencyTally:
    """Counts of each of P negatives in each band over Q queries. Source: Cai et al. 2020, arXiv 2010.06682.

    Null: a band takes its share f of a query's N negatives at random, anew for every query, so that the count of a
    negative that n queries meet is Binomial(n, f).
    """

    def __init__(self, queries: int, pool: int, own: Ints | None = None) -> None:
        self.trials: Ints = np.full(pool, queries)  # [P]
        if own is not None:
            self.trials = self.trials - np.bincount(own, minlength=pool)
        negatives = pool if own is None else pool - 1
        self.sizes = band_sizes(negatives)  # [8]
        self.shares = self.sizes / negatives
        self.hits = np.zeros((len(BANDS), pool), dtype=np.intp)

    def add(self, order: Ints) -> None:
        """Pool rows [b, N] of a block, hardest first."""
        pool = self.hits.shape[1]
        keys = order + np.repeat(np.arange(len(BANDS)) * pool, self.sizes)
        self.hits += np.bincount(keys.ravel(), minlength=self.hits.size).reshape(self.hits.shape)

    def table(self) -> list[dict[str, Any]]:
        """One row a band that holds negatives: `overdispersion`, and shares of negatives beyond the 99 % interval."""
        return [
            {
                "band": band.label,
                "share": float(self.shares[i]),
                **against_null(self.hits[i], self.trials, self.shares[i]),
            }
            for i, band in enumerate(BANDS)
            if self.sizes[i]
        ]

    def scalars(self) -> dict[str, float]:
        """`hard_5pct.overdispersion`, `hard_5pct.beyond_99` and the same for `easy_5pct`."""
        scalars: dict[str, float] = {}
        for name, hits, share in self._summaries():
            tested = against_null(hits, self.trials, share)
            scalars |= {f"{name}.{key}": tested[key] for key in ("overdispersion", "beyond_99")}
        return scalars

    def most_consistent(self, classes: list[str] | None = None) -> list[dict[str, Any]]:
        """The negatives most often among the hardest 5 % and the easiest 5 %; `classes` [P] are their class names.

        `z` = (hits − expected) / √(n f (1 − f)), of the binomial null.
        """
        rows = []
        for name, hits, share in self._summaries():
            expected = self.trials * share
            deviation = np.sqrt(np.maximum(expected * (1 - share), np.finfo(float).tiny))
            z = (hits - expected) / deviation
            for row in np.argsort(-z, kind="stable")[:LISTED]:
                rows.append({
                    "band": name, "pool_row": int(row), "class": classes[row] if classes else "",
                    "hits": int(hits[row]), "queries": int(self.trials[row]),
                    "expected": float(expected[row]), "z": float(z[row]),
                })  # fmt: skip
        return rows

    def histogram(self) -> list[dict[str, Any]]:
        """Number of negatives that were in a summary band k times, observed and expected by the null."""
        rows = []
        for name, hits, share in self._summaries():
            observed = np.bincount(hits)
            expected = np.zeros(len(observed))
            for n, negatives in zip(*np.unique(self.trials, return_counts=True), strict=True):
                expected += negatives * np.diff(_cumulative(len(observed), n, share), prepend=0.0)
            rows += [
                {"band": name, "hits": k, "observed": int(o), "expected": float(e)}
                for k, (o, e) in enumerate(zip(observed, expected, strict=True))
            ]
        return rows

    def _summaries(self) -> Iterator[tuple[str, Ints, float]]:
        for name, bands in SUMMARY_BANDS.items():
            if self.sizes[bands].sum():
                yield name, self.hits[bands].sum(axis=0), float(self.shares[bands].sum())


def against_null(hits: Ints, trials: Ints, share: float) -> dict[str, float]:
    """Counts [P] of negatives that n = trials [P] queries met, against Binomial(n, share).

    `overdispersion` = Σ (hits − n f)² / Σ n f (1 − f), 1 under the null. `above_99` and `below_99` are the shares of
    negatives above and below the central 99 % interval [lo, hi], lo and hi the .005 and .995 quantiles; `beyond_99`
    is their sum, at most .01 under the null.
    """
    lo, hi = _interval(trials, share)
    above, below = float((hits > hi).mean()), float((hits < lo).mean())
    variance = (trials * share * (1 - share)).sum()
    dispersion = float(((hits - trials * share) ** 2).sum() / variance) if variance else float("nan")
    return {"overdispersion": dispersion, "beyond_99": above + below, "above_99": above, "below_99": below}


def _interval(trials: Ints, share: float) -> tuple[Floats, Floats]:
    """[P], [P]: the quantiles of Binomial(trials, share) that enclose LEVEL."""
    distinct, which = np.unique(trials, return_inverse=True)
    tail = (1 - LEVEL) / 2
    bounds = np.array([np.searchsorted(_cumulative(n + 1, n, share), [tail, 1 - tail]) for n in distinct])
    return bounds[which, 0], bounds[which, 1]


def _cumulative(length: int, n: int, share: float) -> Floats:
    """P(X ≤ k) for k = 0 … length − 1 and X ~ Binomial(n, share)."""
    from scipy.special import bdtr  # its import takes longer than all else here

    return bdtr(np.arange(length), n, share)

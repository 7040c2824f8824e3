"""Ranking a pool of negatives by difficulty, a block of queries at a time, and the bands of difficulty."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

BYTES_PER_PAIR = 90
"""Memory of one (query, negative) pair while its block is worked on: similarity, ranks, keys of the counts."""

BLOCK = 256
"""Most queries in a block: bounds what is counted per query and class."""


class Band(NamedTuple):
    """A range of difficulty: fractions of a query's negatives, the hardest first."""

    label: str
    lo: float
    hi: float


BANDS = (
    Band("0–0.1 %", 0, 0.001),
    Band("0.1–1 %", 0.001, 0.01),
    Band("1–5 %", 0.01, 0.05),
    Band("5–25 %", 0.05, 0.25),
    Band("25–50 %", 0.25, 0.5),
    Band("50–75 %", 0.5, 0.75),
    Band("75–95 %", 0.75, 0.95),
    Band("95–100 %", 0.95, 1),
)
"""The bands of Cai et al. 2020, arXiv 2010.06682, continued to the easiest."""

SUMMARY_BANDS = {"hard_5pct": slice(0, 3), "easy_5pct": slice(7, 8)}
"""Name in metrics → the bands it joins."""


def band_sizes(negatives: int) -> Ints:
    """[8]: how many of a query's negatives are in each band; the hardest band holds at least one."""
    edges = np.round(negatives * np.array([0, *(band.hi for band in BANDS)])).astype(np.intp)
    edges[1:] = np.maximum(edges[1:], min(1, negatives))
    return np.diff(edges)


class Block(NamedTuple):
    """Some of the queries and their negatives, ranked."""

    queries: slice
    order: Ints
    """[b, N] pool rows, hardest first."""
    difficulty: Floats
    """[b, N], in that order."""


def ranked_blocks(queries: Floats, pool: Floats, own: Ints | None = None, *, memory: int = 2**28) -> Iterator[Block]:
    """Rank the pool for every query by s = query · row, greatest first.

    Shapes: queries [Q, D], pool [P, D], own [Q] the pool row of each query, which is no negative of it (None: the
    pool holds no query). Unit rows make s the cosine; equal s keep the pool's order or not, as the sort has it.
    `memory` in bytes bounds a block, so a pool of any size is worked on in a fixed space. Raises ValueError for
    embeddings that are not finite.
    """
    if not (np.isfinite(queries).all() and np.isfinite(pool).all()):
        raise ValueError("embeddings must be finite; NaN or infinite ones come from a run that diverged: leave it out")
    size = min(BLOCK, max(1, memory // (BYTES_PER_PAIR * len(pool))))
    for start in range(0, len(queries), size):
        block = slice(start, min(start + size, len(queries)))
        easiness = -(queries[block] @ pool.T)  # [b, P]
        if own is not None:
            easiness[np.arange(len(easiness)), own[block]] = np.inf
        order = np.argsort(easiness, axis=1)[:, : len(pool) - (own is not None)]
        yield Block(block, order, -np.take_along_axis(easiness, order, axis=1))


def ranks(values: Floats) -> Floats:
    """Ranks from 1 [n], equal values sharing their mean rank; NaN where any value is.

    It is scipy.stats.rankdata, whose import takes a second, in each process of a study.
    """
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    found = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    return np.full_like(found, np.nan) if np.isnan(values).any() else found


def mean_ranks(values: Floats, counts: Ints) -> Floats:
    """Ranks from 1 of values that occur `counts` times each, equal values sharing their mean rank.

    Counts are why this is not `ranks`: a thousand classes stand for a million negatives.
    """
    _, group = np.unique(np.round(values, 12), return_inverse=True)
    sizes = np.bincount(group, weights=counts)
    return (np.cumsum(sizes) - (sizes - 1) / 2)[group]


def mean_of_defined(values: Floats) -> float:
    """The mean of what is defined; a query has no ρ where all its negatives are equally similar."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else float("nan")

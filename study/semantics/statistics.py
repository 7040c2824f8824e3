"""Statistics of negatives: which are hard for a trained encoder, and what they mean."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from study.semantics.bands import BandTally
from study.semantics.class_pairs import class_difficulty, class_pairs, spearman_of_pairs
from study.semantics.class_semantics import ClassSemantics
from study.semantics.consistency import ConsistencyTally
from study.semantics.correlation import CorrelationTally
from study.semantics.difficulty import HistogramTally
from study.semantics.ranking import Floats, Ints, ranked_blocks
from study.semantics.similarity import Matrix

Table = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class NegativeStatistics:
    """Scalars and tables of the negatives; docs/metrics.md, section Negatives, lists the scalars."""

    scalars: dict[str, float]
    """Dotted name → value; what is undefined (NaN) is left out."""
    tables: dict[str, Table]
    """`bands`, `classes`, `correlated_pairs`, `anticorrelated_pairs`, `consistency`, `consistency_histogram`,
    `consistent_negatives`, `histogram`; what does not apply is left out."""
    difficulty: Matrix | None = None
    """[C, C]: mean similarity of queries of one class and negatives of another."""
    notes: tuple[str, ...] = field(default=())
    """Reasons for what was left out."""


def negative_statistics(
    queries: Floats,
    pool: Floats,
    *,
    own: Ints | None = None,
    query_labels: Ints | None = None,
    pool_labels: Ints | None = None,
    semantics: ClassSemantics | None = None,
) -> NegativeStatistics:
    """Rank the pool for every query and describe the negatives by difficulty.

    Shapes: queries [Q, D] and pool [P, D] unit rows; own [Q], the pool row of each query where the pool holds the
    queries; query_labels [Q] and pool_labels [P], indices of the classes of `semantics`. Without labels or semantics
    only the consistency of negatives is measured. Works through the queries in blocks: memory does not grow with
    Q · P. Source: SCIENCE section on semantic similarity; Cai et al. 2020, arXiv 2010.06682.
    """
    negatives = len(pool) - (own is not None)
    consistency = ConsistencyTally(len(queries), len(pool), own)
    histogram = HistogramTally(len(queries), len(pool), own, semantics.similarities if semantics else {})
    if query_labels is None or pool_labels is None or semantics is None:
        for block in ranked_blocks(queries, pool, own):
            consistency.add(block.order)
            histogram.add(block.queries, block.order, block.difficulty)
        note = "the data have no labels: similarity, same-class share and class pairs of negatives are off"
        tables = {**_consistency_tables(consistency, None), "histogram": histogram.table()}
        return NegativeStatistics(_named(consistency.scalars()), tables, notes=(note,))

    similarities, classes = semantics.similarities, len(semantics.names)
    bands = BandTally(len(queries), negatives, similarities, classes)
    correlation = CorrelationTally(query_labels, pool_labels, similarities, classes, own=own is not None)
    for block in ranked_blocks(queries, pool, own):
        consistency.add(block.order)
        histogram.add(block.queries, block.order, block.difficulty)
        labels, ranked_labels = query_labels[block.queries], pool_labels[block.order]
        histogram.add_classes(labels, ranked_labels, block.difficulty)
        bands.add(block.queries, labels, ranked_labels)
        correlation.add(block.queries, labels, ranked_labels, block.difficulty)
    difficulty = class_difficulty(queries, pool, own, query_labels, pool_labels, classes)
    scalars = bands.scalars() | correlation.scalars() | consistency.scalars()
    tables = {"bands": bands.table(), **_consistency_tables(consistency, [semantics.names[c] for c in pool_labels])}
    tables["histogram"] = histogram.table()
    notes: tuple[str, ...] = ("the classes have no synsets: semantic similarity of negatives is off",)
    if similarities:
        notes = ()
        tables["classes"] = correlation.by_class(semantics.names)
        scalars |= {f"spearman_{name}_pairs": spearman_of_pairs(difficulty, s) for name, s in similarities.items()}
        first = next(iter(similarities.values()))
        tables["correlated_pairs"], tables["anticorrelated_pairs"] = class_pairs(difficulty, first, semantics.names)
    return NegativeStatistics(_named(scalars), tables, difficulty, notes)


def _consistency_tables(consistency: ConsistencyTally, classes: list[str] | None) -> dict[str, Table]:
    return {
        "consistency": consistency.table(),
        "consistency_histogram": consistency.histogram(),
        "consistent_negatives": consistency.most_consistent(classes),
    }


def _named(scalars: dict[str, float]) -> dict[str, float]:
    return {f"negatives.{name}": value for name, value in scalars.items() if not np.isnan(value)}

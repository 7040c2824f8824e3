"""The evaluation that tells which negatives are hard for an encoder, and what they mean in WordNet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from study.evaluation.evaluation import EVALUATIONS, Encoded, Findings, Metric, OfRepresentations, of_both
from study.semantics import MEASURE_NAMES, ClassSemantics, negative_statistics, tree_order
from study.semantics.pairs import EMBEDDINGS, FEATURES, MEANING, class_similarity, pair_rows

PARTS = {"hard_5pct": "the hardest 5 %", "easy_5pct": "the easiest 5 %", "pool": "all negatives"}


def _reports() -> dict[str, Metric]:
    found = {}
    for part, what in PARTS.items():
        found[f"negatives.{part}.same_class_share"] = Metric(None, "", f"share of {what} with the query's class")
        for m in MEASURE_NAMES:
            found[f"negatives.{part}.{m}"] = Metric(None, "", f"mean {m} of {what}")
            found[f"negatives.{part}.{m}_other"] = Metric(None, "", f"mean {m} of {what}, other classes only")
        if part != "pool":
            found[f"negatives.{part}.overdispersion"] = Metric(None, "", f"variance of being in {what} over chance's")
            found[f"negatives.{part}.beyond_99"] = Metric(None, "", "share of negatives beyond chance's 99 % interval")
    for m in MEASURE_NAMES:
        found[f"negatives.spearman_{m}"] = Metric(None, "", f"mean ρ of difficulty and {m} over queries")
        found[f"negatives.spearman_{m}_other"] = Metric(None, "", "the same without same-class negatives")
        found[f"negatives.spearman_{m}_pairs"] = Metric(None, "", f"ρ of difficulty and {m} over pairs of classes")
    return found


@EVALUATIONS.register("negatives")
@dataclass(frozen=True, kw_only=True)
class Negatives(OfRepresentations):
    """Difficulty bands of test negatives, their WordNet similarity, and how consistent the hard ones are."""

    queries: int = 500
    """test images that are queries, at least as many as classes, evenly spread over each; all others are their pool"""

    reports: ClassVar[Mapping[str, Metric]] = of_both(_reports())

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries < 2:
            raise ValueError(f"negatives: queries must be at least 2, got {self.queries}; try 500")

    def evaluate(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        """As of every evaluation of representations; with the similarity of pairs of classes by meaning, h and z."""
        found = super().evaluate(encoded, generator=generator)
        if encoded.similarities and encoded.labels_test is not None:
            rows = {FEATURES: F.normalize(encoded.features_test)}
            rows |= {EMBEDDINGS: encoded.embeddings_test} if encoded.head_trained else {}
            labels, classes = encoded.labels_test.cpu().numpy(), len(encoded.classes)
            pairs = {name: class_similarity(of.cpu().numpy(), labels, classes) for name, of in rows.items()}
            found.tables["negatives.pairs"] = pair_rows({MEANING: encoded.similarities[MEASURE_NAMES[0]], **pairs})
        return found

    def measure(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        semantics = ClassSemantics(encoded.classes, encoded.synsets, encoded.similarities)
        return self.describe(encoded.embeddings_test, encoded.labels_test, semantics)

    def describe(self, embeddings: Tensor, labels: Tensor | None, semantics: ClassSemantics) -> Findings:
        """The statistics of one split, at any time of a training. Shapes: embeddings [M, D] unit rows, labels [M]."""
        z = embeddings.cpu().numpy()
        known = None if labels is None else labels.cpu().numpy()
        own = evenly_spread(len(z), max(self.queries, len(semantics.names)), known)
        found = negative_statistics(
            z[own],
            z,
            own=own,
            query_labels=None if known is None else known[own],
            pool_labels=known,
            semantics=semantics,
        )
        tables = {f"negatives.{name}": table for name, table in found.tables.items() if table}
        if found.difficulty is not None:
            tables["negatives.difficulty"] = _difficulty(found.difficulty, semantics)
        return Findings(found.scalars, tables, {"negatives": "; ".join(found.notes)} if found.notes else {})


def evenly_spread(total: int, count: int, labels: np.ndarray | None) -> np.ndarray:
    """`count` rows of `total`, or all where there are fewer, ascending: of each class its share, evenly spaced."""
    by_class = np.arange(total) if labels is None else np.argsort(labels, kind="stable")
    return np.sort(by_class[np.linspace(0, total - 1, min(count, total)).astype(np.int64)])


def _difficulty(difficulty: np.ndarray, semantics: ClassSemantics) -> list[dict[str, Any]]:
    """The class-by-class map: one row per class, in the order of the WordNet tree where synsets are known."""
    names, synsets = semantics.names, semantics.synsets or ("",) * len(semantics.names)
    order = tree_order(synsets).order if semantics.synsets else range(len(names))
    return [
        {"class": names[i], "synset": synsets[i], **{names[j]: float(difficulty[i, j]) for j in order}} for i in order
    ]

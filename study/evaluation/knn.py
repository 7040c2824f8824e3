"""Weighted k-nearest-neighbour classifier on cosine similarity."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from study.evaluation.accuracy import accuracies, accuracy_metrics, best_classes
from study.evaluation.classifier import Classifier, Labelled
from study.evaluation.evaluation import EVALUATIONS, Blocks, Findings, Metric

QUICK = {
    name: metric
    for name, metric in accuracy_metrics("knn.quick", "kNN on features, of few examples, on the way").items()
    if ".validation." in name
}
"""Metrics of the accuracy on the way, which `accuracy_every` asks for."""
BLOCK = 2**24  # similarities held at once: 64 MiB in float32


def knn_votes(
    queries: Tensor, bank: Tensor, labels: Tensor, classes: int, *, neighbours: int, temperature: float
) -> Tensor:
    """votes[i, c] = Σ_{j among the k nearest of i} e^{s_ij/t} 1{y_j = c}, up to a factor a query (Wu 2018, 1805.01978).

    Shapes: queries [M, D] and bank [N, D] of unit rows, labels int64 [N] → [M, C]. k is at most N. The factor is
    e^{−max_j s_ij/t}, which keeps the sums in range at any temperature.
    """
    s, nearest = (queries @ bank.T).topk(min(neighbours, len(bank)), dim=1)  # [M, k]
    votes = queries.new_zeros(len(queries), classes)
    return votes.scatter_add_(1, labels[nearest], ((s - s[:, :1]) / temperature).exp())


def nearest_classes(
    queries: Tensor, bank: Tensor, labels: Tensor, classes: int, *, neighbours: int, temperature: float
) -> Tensor:
    """`best_classes` by `knn_votes`, a block of the similarities at a time. Shapes as there → int64 [M, 1 or 5]."""

    def of(rows: slice) -> Tensor:
        votes = knn_votes(queries[rows], bank, labels, classes, neighbours=neighbours, temperature=temperature)
        return best_classes(votes)

    return torch.cat(list(Blocks(BLOCK // max(len(bank), classes))(len(queries), of)))


@EVALUATIONS.register("knn")
@dataclass(frozen=True, kw_only=True)
class Knn(Classifier):
    """Weighted nearest neighbours among the training images, on normalised features and on embeddings."""

    neighbours: int = 200
    """k, how many training images vote; all of them where train is smaller"""
    temperature: float = 0.07
    """t of the vote's weight e^{s/t}"""

    reports: ClassVar[Mapping[str, Metric]] = {
        **accuracy_metrics("knn.features", "weighted kNN on normalised features"),
        **accuracy_metrics("knn.embeddings", "weighted kNN on embeddings"),
    }

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ValueError(f"knn: neighbours must be at least 1, got {self.neighbours}; try 200")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"knn: temperature must be a finite number above 0, got {self.temperature}; try 0.07")

    def classify(self, prefix: str, data: Labelled, *, generator: torch.Generator) -> Findings:
        bank, labels = data.train
        bank = bank if data.unit else F.normalize(bank)
        metrics: dict[str, float] = {}
        for at, rows in ((prefix, data.test), (f"{prefix}.validation", data.held_out)):
            if rows is not None:
                best = nearest_classes(
                    rows[0] if data.unit else F.normalize(rows[0]),
                    bank,
                    labels,
                    len(data.classes),
                    neighbours=self.neighbours,
                    temperature=self.temperature,
                )
                metrics |= accuracies(at, best, rows[1])
        return Findings(metrics)

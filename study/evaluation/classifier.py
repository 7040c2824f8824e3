"""A classifier of frozen rows: the same for the trial's own classes, the untrained encoder and a second data set."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from study.evaluation.evaluation import UNTRAINED_HEAD, Encoded, Evaluation, Findings, Metric, Representation

Rows = tuple[Tensor, Tensor]
"""Rows [N, F] and their classes int64 [N]."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """The splits of a data set in one representation, un-augmented, all on one device."""

    train: Rows
    test: Rows
    held_out: Rows | None
    """for choices; never fitted to, nor reported as test"""
    classes: tuple[str, ...]
    unit: bool = False
    """whether the rows have length 1"""
    similarities: Mapping[str, np.ndarray] = field(default_factory=dict)
    """measure → [C, C] of the classes' meaning, where that is known"""


@dataclass(frozen=True, kw_only=True)
class Classifier(Evaluation):
    """An evaluation that fits a classifier to the training rows of features and of embeddings: give `classify`."""

    needs_labels: ClassVar[bool] = True

    def evaluate(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        found = Findings({})
        for space in ("features", "embeddings"):
            if space == "embeddings" and not encoded.head_trained:
                found.skipped[f"{self.name}.{space}"] = UNTRAINED_HEAD
                continue
            found.add(self.classify(f"{self.name}.{space}", labelled(encoded, space), generator=generator))
        return found

    @abstractmethod
    def classify(self, prefix: str, data: Labelled, *, generator: torch.Generator) -> Findings:
        """Accuracies on test and on the held-out rows, and what belongs to them, under names that begin with prefix."""

    def of_transfer(self, dataset: str) -> dict[str, Metric]:
        """The declarations of what it reports of a second data set: of features and of the untrained encoder's."""
        kept = (f"{self.name}.features.", f"{self.name}.floor.")
        return {
            transfer_name(name, dataset): metric
            for name, metric in self.reports.items()
            if name.startswith(kept) and "confusion" not in name  # the meaning of its classes is not looked up
        }


def labelled(encoded: Encoded, space: Representation) -> Labelled:
    """The splits in that representation; ValueError where the data has no labels."""
    y_train, y_test = encoded.labels()
    held = encoded.validation
    of_features = space == "features"
    return Labelled(
        (encoded.features_train if of_features else encoded.embeddings_train, y_train),
        (encoded.features_test if of_features else encoded.embeddings_test, y_test),
        None if held is None else (held.features if of_features else held.embeddings, held.labels),
        encoded.classes,
        not of_features,
        encoded.similarities,
    )


def transfer_name(name: str, dataset: str) -> str:
    """The name of a metric on a second data set: `transfer.cifar100.linear.features.top1`."""
    return f"transfer.{dataset}.{name}"

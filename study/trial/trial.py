"""A trial: a cell under a seed, with the objects that its config names."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from models.contrast import Contrast
from models.methods import Method
from study.config import trial_id
from study.data import DataSource
from study.evaluation import Evaluation
from study.evaluation.classifier import Classifier
from study.evaluation.knn import QUICK
from study.space import Cell
from study.trial.class_synsets import Meaning

if TYPE_CHECKING:
    from study.figures import Figure


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The components that a config names: they travel to the workers, where no name is looked up."""

    data: DataSource
    encoder: Callable[..., torch.nn.Module]
    head: Callable[..., torch.nn.Module]
    augmentation: Callable[..., torch.Tensor]
    method: Method
    contrast: Contrast | None
    temperature: Any
    optimizer: Any
    evaluations: dict[str, Evaluation]
    meaning: Meaning
    transfer: dict[str, DataSource] = field(default_factory=dict)
    """further data sets, by name, that the trained encoder is probed on"""

    @cached_property
    def figures(self) -> "dict[str, Figure]":
        """Every figure, by name. A plan needs none, nor what they import: a tenth of its time."""
        from study.figures.figure import registered

        return registered()

    def __getstate__(self) -> dict[str, Any]:
        """With the figures: a worker knows no user-defined ones."""
        return vars(self) | {"figures": self.figures}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A cell under a seed: one Ray trial, one MLflow run."""

    cell: Cell
    """the point of the space: dotted config path → value"""
    config: dict[str, Any]
    """canonical: every component with all its parameters, and the seed"""
    identity: dict[str, Any]
    """the canonical config without what does not change the numbers (where files lie); the id is its hash"""
    parts: Parts
    former: dict[str, Any] | None = None
    """its identity as it was when the place of its data was part of it, not their content"""
    notes: tuple[str, ...] = ()
    """what the plan has to say of it, though it can run"""
    code: dict[str, str] = field(default_factory=dict)
    """field and name of each component of the user's own → the digest of its code"""

    @property
    def id(self) -> str:
        """The same config has the same id, on every machine."""
        return trial_id(self.identity)

    def formerly(self) -> "Trial | None":
        """The same trial under the id that it would have had before data were known by their content."""
        return None if self.former is None else replace(self, identity=self.former, former=None)

    @property
    def seed(self) -> int:
        """Of every random number of the trial."""
        return int(self.config["seed"])

    @property
    def reports(self) -> set[str]:
        """The metrics that may be logged of the encoder: by the evaluations, of second data sets, and on the way."""
        evaluations = self.parts.evaluations.values()
        classifiers = [of for of in evaluations if isinstance(of, Classifier)]
        found = {name for of in evaluations for name in of.reports}
        found |= {name for of in classifiers for dataset in self.parts.transfer for name in of.of_transfer(dataset)}
        return found | (set(QUICK) if self.config["accuracy_every"] else set())

    @property
    def uses_labels(self) -> bool:
        """Whether the training reads labels, by its method or its strategy."""
        contrast = self.parts.contrast
        return self.parts.method.uses_labels or (contrast is not None and contrast.strategy.uses_labels)

    def under(self, seed: int) -> "Trial":
        """The same cell under another seed."""
        config, identity = {**self.config, "seed": seed}, {**self.identity, "seed": seed}
        former = None if self.former is None else {**self.former, "seed": seed}
        return replace(self, config=config, identity=identity, former=former)

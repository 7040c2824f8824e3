"""The contract of an evaluation: what a trained encoder made of the data → named metrics and tables."""

import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from models.registry import Registry

EVALUATIONS = Registry("evaluation")

Table = list[dict[str, Any]]  # rows, each column → cell
T = TypeVar("T")


class Blocks:
    """Work on rows, a block of them at a time; where memory runs out, the blocks are halved and the work goes on."""

    def __init__(self, size: int) -> None:
        self.size = max(size, 1)  # rows; what it has fallen to holds for later calls too

    def __call__(self, count: int, work: Callable[[slice], T]) -> Iterator[T]:
        """`work` of consecutive slices of `count` rows. It may be called twice for a row, so it changes nothing.

        Raises torch.OutOfMemoryError where memory does not suffice for one row.
        """
        start = 0
        while start < count:
            rows = slice(start, min(start + self.size, count))
            try:
                found = work(rows)
            except torch.OutOfMemoryError:
                if rows.stop - start == 1:
                    raise
                self.size = (rows.stop - start) // 2
            else:
                yield found
                start = rows.stop
                continue
            if torch.cuda.is_initialized():  # not before the error is let go, which holds what the work had allocated
                torch.cuda.empty_cache()


@dataclass(frozen=True)
class Metric:
    """The meaning of a metric's number, declared under its dotted name before anything is measured."""

    direction: Literal["max", "min"] | None  # which way is better; None: neither
    unit: str  # "%", "nats", … ; "" for a pure number
    description: str


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Examples that no encoder is trained on, un-augmented: what is chosen is chosen on them, never on test."""

    features: Tensor  # [V, F]
    embeddings: Tensor  # [V, D] unit rows
    labels: Tensor  # int64 [V]


@dataclass(frozen=True, eq=False)
class Encoded:
    """Features and embeddings of the splits, computed once at the end of a trial. Float32, all on one device.

    N training and M test images of C classes, feature width F, embedding width D, A augmented views. Of the training
    views only the mean is kept: N·D numbers instead of A·N·D.
    """

    features_train: Tensor  # [N, F] h = f(x), un-augmented, evaluation mode
    features_test: Tensor  # [M, F]
    embeddings_train: Tensor  # [N, D] unit rows z, un-augmented
    embeddings_test: Tensor  # [M, D]
    mean_views_train: Tensor  # [N, D] f̄(x), mean over the A views of their unit z, not normalised again
    views_test: Tensor  # [A, M, D] unit z of each view, A ≥ 2
    labels_train: Tensor | None  # int64 [N], on the same device; both splits have labels or neither
    labels_test: Tensor | None  # int64 [M]
    classes: tuple[str, ...]  # C names, in the order of the labels
    temperature: float
    k: int | None  # K of the trial; None for a method without negatives
    synsets: tuple[str, ...] = ()  # of the classes, where their meaning is known
    similarities: Mapping[str, np.ndarray] = field(default_factory=dict)  # measure → [C, C] of the classes' meaning
    validation: "HeldOut | None" = None  # of the training split, which the encoder was not trained on

    def labels(self) -> tuple[Tensor, Tensor]:
        """Training and test labels. Raises ValueError where the data has none."""
        if self.labels_train is None or self.labels_test is None:
            raise ValueError("the data has no labels: choose evaluations that do not need them")
        return self.labels_train, self.labels_test


@dataclass(frozen=True)
class Findings:
    """Metrics and tables that evaluations found."""

    metrics: dict[str, float]
    tables: dict[str, Table] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)  # evaluation → why it, or a part of it, was not made
    seconds: dict[str, float] = field(default_factory=dict)  # evaluation → what it took


@dataclass(frozen=True, kw_only=True)
class Evaluation(ABC):
    """An evaluation: subclass, register, declare `reports` and give `evaluate`. It never trains the encoder.

    Every name that it reports starts with its registered name and a dot.
    """

    reports: ClassVar[Mapping[str, Metric]]  # every metric it may report
    needs_labels: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name it is registered under, also on a worker whose registry has no such entry."""
        return next(iter(self.reports)).split(".")[0]

    def unavailable(self, encoded: Encoded) -> str | None:
        """Why it cannot be made of this, or None."""
        if self.needs_labels and (encoded.labels_train is None or encoded.labels_test is None):
            return "the data has no labels"
        return None

    @abstractmethod
    def evaluate(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        """Metrics (some or all of `reports`) and tables; the same generator state gives the same numbers."""


def evaluate(
    evaluations: Iterable[Evaluation],
    encoded: Encoded,
    *,
    generator: torch.Generator,
    running: Callable[[str], None] | None = None,
) -> Findings:
    """Make every evaluation that is available, each with a generator of its own: adding one changes no other's numbers.

    The generator is a CPU one on every device, so that a GPU sees the same draws. `running` is told the name of each
    evaluation before it starts.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    found = Findings({})
    for evaluation in evaluations:
        if reason := evaluation.unavailable(encoded):
            found.skipped[evaluation.name] = reason
            continue
        if running is not None:
            running(evaluation.name)
        own = torch.Generator().manual_seed(seed ^ zlib.crc32(evaluation.name.encode()))
        started = time.perf_counter()
        findings = evaluation.evaluate(encoded, generator=own)
        found.seconds[evaluation.name] = time.perf_counter() - started
        found.metrics.update(findings.metrics)
        found.tables.update(findings.tables)
        found.skipped.update(findings.skipped)
    return found


def reported() -> dict[str, Metric]:
    """Every metric that a registered evaluation may report, by dotted name."""
    return {name: metric for entry in EVALUATIONS for name, metric in EVALUATIONS.trait(entry, "reports").items()}

"""The contract of an evaluation: what a trained encoder made of the data → named metrics and tables."""

import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.registry import Registry, added

EVALUATIONS = Registry("evaluation")

Table = list[dict[str, Any]]  # rows, each column → cell
T = TypeVar("T")
Representation = Literal["features", "embeddings"]
UNTRAINED_HEAD = "the method trains no projection head, so embeddings z are not measured"


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
class FeatureViews:
    """Augmented views as unit rows of the features, which `Encoded` has of the embeddings."""

    mean_train: Tensor  # [N, F]
    test: Tensor  # [A, M, F]


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
    validation: HeldOut | None = None  # of the training split, which the encoder was not trained on
    feature_views: FeatureViews | None = None  # where an evaluation is asked for of features
    head_trained: bool = True  # False: embeddings z are of no meaning

    def labels(self) -> tuple[Tensor, Tensor]:
        """Training and test labels. Raises ValueError where the data has none."""
        if self.labels_train is None or self.labels_test is None:
            raise ValueError("the data has no labels: choose evaluations that do not need them")
        return self.labels_train, self.labels_test

    def of_features(self) -> "Encoded":
        """The same with features h, as unit rows, in the place of embeddings z.

        Raises ValueError where their views were not encoded.
        """
        if self.feature_views is None:
            raise ValueError("the views' features were not encoded: give feature_views")
        held = self.validation
        return replace(
            self,
            embeddings_train=F.normalize(self.features_train),
            embeddings_test=F.normalize(self.features_test),
            mean_views_train=self.feature_views.mean_train,
            views_test=self.feature_views.test,
            validation=held and replace(held, embeddings=F.normalize(held.features)),
        )


@dataclass(frozen=True)
class Findings:
    """Metrics and tables that evaluations found."""

    metrics: dict[str, float]
    tables: dict[str, Table] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)  # evaluation → why it, or a part of it, was not made
    seconds: dict[str, float] = field(default_factory=dict)  # evaluation → what it took

    def add(self, other: "Findings") -> None:
        """Take over all that the other found."""
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.update(theirs)

    def named(self, space: Representation) -> "Findings":
        """The same under the names of that representation."""
        return Findings(*({named(name, space): x for name, x in found.items()} for found in vars(self).values()))


@dataclass(frozen=True, kw_only=True)
class Evaluation(ABC):
    """An evaluation: subclass, register, declare `reports` and give `evaluate`. It never trains the encoder.

    Every name that it reports starts with its registered name and a dot.
    """

    reports: ClassVar[Mapping[str, Metric]]  # every metric it may report
    needs_labels: ClassVar[bool] = False
    needs_head: ClassVar[bool] = False  # it speaks of embeddings z alone

    @property
    def name(self) -> str:
        """The name it is registered under, also on a worker whose registry has no such entry."""
        return next(iter(self.reports)).split(".")[0]

    def unavailable(self, encoded: Encoded) -> str | None:
        """Why it cannot be made of this, or None."""
        if self.needs_labels and (encoded.labels_train is None or encoded.labels_test is None):
            return "the data has no labels"
        return UNTRAINED_HEAD if self.needs_head and not encoded.head_trained else None

    @abstractmethod
    def evaluate(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        """Metrics (some or all of `reports`) and tables; the same generator state gives the same numbers."""


@dataclass(frozen=True, kw_only=True)
class OfRepresentations(Evaluation):
    """An evaluation of unit rows, which embeddings z are, and features h divided by their length: give `measure`.

    What it finds of features bears `features` after the evaluation's name: `geometry.features.uniformity`.
    """

    representations: tuple[Representation, ...] = added(("embeddings",))
    """what is measured: embeddings z, features h as unit rows, or both; h where the method trains no head"""

    def __post_init__(self) -> None:
        if not self.representations or len({*self.representations}) < len(self.representations):
            raise ValueError(
                f"{self.name}: representations must list features, embeddings or both, each once, "
                f"got {list(self.representations)}; try [features, embeddings]"
            )

    def spaces(self, *, head_trained: bool) -> tuple[Representation, ...]:
        """The representations that it is made of."""
        return self.representations if head_trained else ("features",)

    def evaluate(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        state, found = generator.get_state(), Findings({})
        for space in self.spaces(head_trained=encoded.head_trained):
            generator.set_state(state)  # both meet the same draws
            of = encoded.of_features() if space == "features" else encoded
            found.add(self.measure(of, generator=generator).named(space))
        if "embeddings" in self.representations and not encoded.head_trained:
            found.skipped[f"{self.name}.embeddings"] = UNTRAINED_HEAD
        return found

    @abstractmethod
    def measure(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        """Metrics and tables of what stands in the place of the embeddings, under the names of embeddings."""


def of_both(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Declarations of an `OfRepresentations`, from those of embeddings."""
    of_features = {
        named(name, "features"): replace(metric, description=f"{metric.description}; of features h as unit rows")
        for name, metric in metrics.items()
    }
    return {**metrics, **of_features}


def named(name: str, space: Representation) -> str:
    """The name with the representation that it is of: embeddings are those without one."""
    evaluation, dot, rest = name.partition(".")
    return name if space == "embeddings" else f"{evaluation}.{space}{dot}{rest}"


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
        found.add(findings)
    return found


def reported() -> dict[str, Metric]:
    """Every metric that a registered evaluation may report, by dotted name."""
    return {name: metric for entry in EVALUATIONS for name, metric in EVALUATIONS.trait(entry, "reports").items()}

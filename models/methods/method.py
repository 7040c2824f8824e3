"""The contract of a method: how a training step is made from two views of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.contrast import Contrast, Step, StepContext
from models.registry import Registry

METHODS = Registry("method")


def unit_rows(x: Tensor) -> Tensor:
    """Rows of length 1, in at least float32. Shape: [B, D] → [B, D]."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=1)


@torch.no_grad()
def follow(slow: Iterable[nn.Module], online: Iterable[nn.Module], *, momentum: float) -> None:
    """The moving average of every parameter, θ_slow ← m θ_slow + (1 − m) θ; batch statistics are each network's own."""
    moved: list[Tensor] = [p for module in slow for p in module.parameters()]
    towards: list[Tensor] = [p for module in online for p in module.parameters()]
    if moved:
        torch._foreach_lerp_(moved, towards, 1 - momentum)


def mlp_predictor(dim: int, hidden: int, *, batch_norm: bool) -> nn.Sequential:
    """The predictor of SimSiam and BYOL: [B, dim] → [B, dim] over one hidden layer, batch-normalised in the papers."""
    if not batch_norm:
        return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim))
    return nn.Sequential(
        nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim)
    )


@dataclass(frozen=True)
class Batch:
    """Augmented views of B training instances: two, or as many as the method asks for."""

    views: tuple[Tensor, ...]  # [B, …] each; over ranks, of a method with rows_apart, the rank's own rows
    instance: Tensor  # int64 [B], index in the training split
    labels: Tensor | None  # int64 [B]; read by methods and strategies with uses_labels, else only for statistics
    small: tuple[Tensor, ...] = ()  # small views of the instances; none for a method that takes_small_views not


@dataclass(frozen=True)
class TrainingContext:
    """The training that a method is built for."""

    batch_size: int
    train_count: int
    classes: int
    steps: int  # in the whole training
    generator: torch.Generator


class Learner(nn.Module, ABC):
    """A running method: the networks it trains and its state; all of it is in `state_dict`."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.dim: int = head.output_dim  # type: ignore[assignment]  # D, the width of the embedding

    @abstractmethod
    def step(self, batch: Batch, context: StepContext) -> Step:
        """The loss of one batch, with gradient."""

    def after_step(self, progress: float) -> None:
        """Called after the optimizer's step; progress is the share of training done, in (0, 1]."""

    def project(self, inputs: Tensor) -> Tensor:
        """Unit embeddings z = g(f(x)) / ‖g(f(x))‖ in float32. Shape: inputs [B, …] → [B, D]."""
        return unit_rows(self.head(self.encoder(inputs)))

    def project_small(self, batch: Batch) -> tuple[Tensor, ...]:
        """Unit embeddings [B, D] of each small view; they pass the encoder together, and apart from the full ones."""
        return self.project(torch.cat(batch.small)).chunk(len(batch.small)) if batch.small else ()


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A method's parameters; `learner` puts it to work. Subclass, register, and give what is abstract here."""

    has_negatives: ClassVar[bool] = True
    uses_labels: ClassVar[bool] = False
    default_objective: ClassVar[str | None] = "info_nce"
    modality: ClassVar[str] = "any"
    """the inputs that it can take: images, texts or both"""
    takes_small_views: ClassVar[bool] = False
    """whether small views of an augmentation are of use to it"""
    trains_head: ClassVar[bool] = True
    head: ClassVar[Mapping[str, Any]] = {"batch_norm": "none"}
    """what its authors' projection head has; a config's own values come first"""

    @property
    def directions(self) -> tuple[str, ...]:
        """Kinds of objective that it can serve: those of "one" direction, of "both"."""
        return ("one",)

    @property
    def rows_apart(self) -> bool:
        """Whether a step does nothing with inputs but encode them, each in its place; a rank then has its own rows.

        Otherwise, as where images are mixed, every rank is given the whole batch. Instances and labels are of all.
        """
        return False

    @property
    def views(self) -> int:
        """Number of augmented views of an instance that a step takes."""
        return 2

    @property
    def positives(self) -> int:
        """M, how many positives an anchor has."""
        return self.views - 1

    @property
    def own_loss(self) -> str | None:
        """The loss that the method brings itself, in an objective's place; None: it takes any objective."""
        return None

    def pool_size(self, batch_size: int, train_count: int, directions: str) -> int:
        """The largest K: how many rows of the pool can be offered to an anchor; 0 for a method without negatives."""
        return 0

    def rows_a_draw(self, directions: str) -> int:
        """Number of rows that one of the K draws offers."""
        return 1

    def copies(self, batch_size: int, train_count: int, directions: str) -> int:
        """Number of the pool's rows that show one instance."""
        return 1

    def check(self, batch_size: int, train_count: int, epochs: int) -> None:  # noqa: B027 (a hook)
        """Refuse, with ValueError, what does not fit the batch, the data or the training's length."""

    def check_ranks(self, ranks: int) -> None:  # noqa: B027 (a hook)
        """Refuse, with ValueError, a number of processes that cannot share a step."""

    @abstractmethod
    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        """The method on these networks; contrast is None for a method without negatives."""


def needed(contrast: Contrast | None, method: str) -> Contrast:
    """The contrast of a method that has negatives; ValueError where it was given none."""
    if contrast is None:
        raise ValueError(f"{method} contrasts: it needs an objective and a strategy")
    return contrast

"""The contract of a negative-selection strategy: K candidates an anchor → which of them, with what log-weight."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.registry import Registry

STRATEGIES = Registry("negative-selection strategy")


@dataclass(frozen=True)
class Candidates:
    """What one step offers its B anchors from a pool of P rows. Nothing here carries a gradient."""

    similarity: Tensor  # [B, P] cosine of each anchor with each row: the difficulty of that negative
    anchors: Tensor  # [B, D] unit rows
    keys: Tensor  # [P, D] unit rows
    offered: Tensor | None = None  # bool [B, P], the K candidates of each anchor; None: every row
    anchor_labels: Tensor | None = None  # int64 [B]
    key_labels: Tensor | None = None  # int64 [P], −1 where a row has no class (an initial random row)
    epoch: int = 0
    epochs: int = 1

    def count(self) -> Tensor:
        """K: how many candidates each anchor is offered, int64 [B]."""
        if self.offered is None:
            return torch.full((len(self.similarity),), self.similarity.shape[1], device=self.similarity.device)
        return self.offered.sum(dim=1)

    def random_order(self, *, generator: torch.Generator) -> Tensor:
        """A random score for each candidate, [B, P]: ranks by it are a random order of each anchor's candidates."""
        return torch.rand(self.similarity.shape, generator=generator, device=self.similarity.device)

    def same_class(self) -> Tensor:
        """Which rows have the anchor's class, bool [B, P]: the collisions. Raises ValueError without labels."""
        if self.anchor_labels is None or self.key_labels is None:
            raise ValueError("the data has no labels: choose a strategy that does not use them")
        return self.anchor_labels[:, None] == self.key_labels[None, :]


@dataclass(frozen=True)
class Selection:
    """Which of the candidates an anchor meets.

    A row that is not offered never counts, whatever the selection says of it.
    """

    log_weight: Tensor | None = None  # [B, P] added to s/t; −∞: left out; None: every candidate with weight 1
    synthetic: Tensor | None = None  # [B, S, D] unit keys of the anchor's own, besides the pool's
    attract: Tensor | None = None  # bool [B, P], candidates that count as further positives

    @classmethod
    def keep(cls, kept: Tensor) -> "Selection":
        """The candidates where `kept` [B, P] is true, each with weight 1."""
        return cls(torch.where(kept, 0.0, float("-inf")))


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """A negative-selection strategy: subclass, register, and give `select`. It never computes a loss."""

    uses_labels: ClassVar[bool] = False

    @abstractmethod
    def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
        """Which of the candidates each anchor meets; arithmetic on [B, P], never a loop over anchors."""

    def check(self, epochs: int) -> None:  # noqa: B027 (a hook: most strategies have nothing to refuse)
        """Refuse, with ValueError, what does not fit a training of that many epochs (a warm-up that is longer)."""

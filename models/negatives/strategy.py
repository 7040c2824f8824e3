"""The contract of a negative-selection strategy: K candidates an anchor → which of them, with what log-weight."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from models.blocks import row_blocks
from models.negatives.rank import Count
from models.registry import Registry

STRATEGIES = Registry("negative-selection strategy")

WEIGHTS = torch.bfloat16  # of 0 and −∞, which are exact in it


@dataclass(frozen=True)
class Candidates:
    """Candidates of one step's B anchors in a pool of P rows. Nothing here carries a gradient."""

    similarity: Tensor  # [B, P] cosine of each anchor with each row: the difficulty of that negative
    anchors: Tensor  # [B, D] unit rows
    keys: Tensor  # [P, D] unit rows
    offered: Tensor | None = None  # bool [B, P], the K candidates of each anchor; None: every row
    anchor_labels: Tensor | None = None  # int64 [B]
    key_labels: Tensor | None = None  # int64 [P], −1 where a row has no class (an initial random row)
    epoch: int = 0
    epochs: int = 1
    class_similarity: Tensor | None = None  # [C, C] of the measure that the strategy needs
    k: int | None = None  # K, where all anchors are offered as many; None: as `offered` has it
    positive: Tensor | None = None  # [B] cosine of each anchor with its positive, the first of several

    def rows(self, at: slice) -> "Candidates":
        """The same for some of the anchors."""
        return replace(
            self,
            similarity=self.similarity[at],
            anchors=self.anchors[at],
            offered=None if self.offered is None else self.offered[at],
            anchor_labels=None if self.anchor_labels is None else self.anchor_labels[at],
            positive=None if self.positive is None else self.positive[at],
        )

    def by_rows(self, of: Callable[["Candidates"], Tensor], *, dtype: torch.dtype) -> Tensor:
        """`of` some of the anchors at a time, in one matrix [B, P] of that type."""
        out = torch.empty_like(self.similarity, dtype=dtype)
        for at in row_blocks(self.similarity.shape, self.similarity.device):
            out[at] = of(self.rows(at))
        return out

    def count(self) -> Count:
        """K: how many candidates each anchor is offered; an int where all have as many, else int64 [B]."""
        if self.offered is None:
            return self.similarity.shape[1]
        return self.offered.sum(dim=1) if self.k is None else self.k

    def ranked_by(self, scores: Tensor) -> Tensor:
        """Scores [B, P] with what is not offered below everything that is."""
        if self.offered is None:
            return scores
        return torch.where(self.offered, scores, scores.amin() - 1)

    def same_class(self) -> Tensor:
        """1 where a row has the anchor's class, else 0, [B, P]: the collisions. Raises ValueError without labels."""
        if self.anchor_labels is None or self.key_labels is None:
            raise ValueError("the data has no labels: choose a strategy that does not use them")
        out = torch.empty_like(self.similarity)  # straight to 0 and 1: several times faster than by way of bool
        wide = torch.promote_types(out.dtype, torch.float32)  # bfloat16 cannot tell 256 from 257
        return torch.eq(self.anchor_labels.to(wide)[:, None], self.key_labels.to(wide)[None, :], out=out)


@dataclass(frozen=True)
class Selection:
    """The candidates that an anchor meets.

    A row that is not offered never counts, whatever the selection says of it.
    """

    log_weight: Tensor | None = None  # [B, P] added to s/t; −∞: left out; None: every candidate with weight 1
    synthetic: Tensor | None = None  # [B, S, D] unit keys of the anchor's own, besides the pool's
    attract: Tensor | None = None  # bool [B, P], candidates that count as further positives

    @classmethod
    def keep(cls, kept: Tensor) -> "Selection":
        """The candidates where `kept` [B, P], of bools or of 1 and 0, is true, each with weight 1."""
        log_weight = torch.empty_like(kept, dtype=WEIGHTS)
        for at in row_blocks(kept.shape, kept.device):
            log_weight[at] = log_of_marks(kept[at])
        return cls(log_weight)


def log_of_marks(kept: Tensor) -> Tensor:
    """0 where `kept` is true or not 0, −∞ where it is false or 0, as 1 − 1/mark. Any shape."""
    dtype = kept.dtype if kept.is_floating_point() else torch.float32
    marks = torch.ne(kept, 0, out=torch.empty_like(kept, dtype=dtype))  # 1 or 0
    return marks.reciprocal_().neg_().add_(1)


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """A negative-selection strategy: subclass, register, and give `select`. It never computes a loss."""

    uses_labels: ClassVar[bool] = False

    @property
    def needs_similarity(self) -> str | None:
        """The measure whose class-similarity matrix the caller has to put into the candidates; None: no measure."""
        return None

    @property
    def attracts(self) -> bool:
        """Whether its selections hold further positives, which only some objectives can take."""
        return False

    def classes_met(self, classes: int, class_similarity: Tensor | None) -> Tensor | None:
        """Bool [C, C]: which classes of negatives an anchor's class can meet at all; None: it does not go by class.

        `class_similarity` [C, C] is that of the measure it needs, if any.
        """
        return None

    @abstractmethod
    def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
        """Select the candidates that each anchor meets; arithmetic on [B, P], never a loop over anchors."""

    def check(self, epochs: int, k: int) -> None:  # noqa: B027 (a hook: most strategies have nothing to refuse)
        """Refuse, with ValueError, what does not fit a training of that many epochs (a warm-up that is longer) or K."""


@dataclass(frozen=True, kw_only=True)
class Filter(Strategy):
    """A strategy that only leaves candidates out: give `kept`. It is called for a block of the anchors at a time.

    An anchor of which it leaves nothing has no negatives; what that adds to the loss is the objective's to say.
    """

    @abstractmethod
    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        """The candidates that are left, [B, P] of bools or of 1 and 0 in the similarities' type."""

    def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
        def log_weight(block: Candidates) -> Tensor:
            return log_of_marks(self.kept(block, generator=generator))

        return Selection(candidates.by_rows(log_weight, dtype=WEIGHTS))

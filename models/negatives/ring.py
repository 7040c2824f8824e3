"""Rings and balls around the anchor (Wu 2020, 2010.02037), and the hard contrastive loss of Wang & Liu 2021."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.negatives.rank import at_least, at_most, band, check_rounding, reach, share
from models.negatives.strategy import STRATEGIES, Candidates, Filter


@STRATEGIES.register("ring")
@dataclass(frozen=True, kw_only=True)
class Ring(Filter):
    """The hardest `outer` share of the candidates without the closest `inner` share of those (Wu 2020).

    Source: 2010.02037; counts are rounded down as in the published code, and at least one candidate is left.
    """

    outer: float = 0.1
    """share of the candidates within the ring's outer edge, in (0, 1]"""
    inner: float = 0.01
    """share of those that are within its inner edge, and left out, in [0, 1)"""
    anneal_epochs: int = 0
    """epochs over which outer falls linearly from 1 to its value; 0: it has its value throughout"""

    def __post_init__(self) -> None:
        if not 0 < self.outer <= 1:
            raise ValueError(f"ring: outer must lie in (0, 1], got {self.outer}; the hardest tenth is outer=0.1")
        if not 0 <= self.inner < 1:
            raise ValueError(f"ring: inner must lie in [0, 1), got {self.inner}; inner=0 is a ball")
        if self.anneal_epochs < 0:
            raise ValueError(f"ring: anneal_epochs must not be negative, got {self.anneal_epochs}")

    def check(self, epochs: int, k: int) -> None:
        if self.anneal_epochs > epochs:
            raise ValueError(
                f"ring: anneal_epochs {self.anneal_epochs} is longer than the training's {epochs} epochs; "
                "lower anneal_epochs or raise epochs"
            )
        least = reach(reach(1, self.inner) if self.inner else 1, self.outer)
        if k < least:
            raise ValueError(
                f"ring: outer {self.outer:g} of K = {k} candidates, or inner {self.inner:g} of those, rounds down to "
                f"none; raise k to {least}, the smallest that works, or widen the ring"
            )

    def outer_at(self, epoch: int) -> float:
        """The outer share in that epoch, from 0."""
        done = min(epoch / self.anneal_epochs, 1.0) if self.anneal_epochs else 1.0
        return 1 + (self.outer - 1) * done

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        last = at_least(share(self.outer_at(candidates.epoch), candidates.count()), 1)
        first = at_most(share(self.inner, last), last - 1)
        return band(candidates.ranked_by(candidates.similarity), first, last)


@STRATEGIES.register("ball")
def ball(*, outer: float = 0.1, anneal_epochs: int = 0) -> Ring:
    """The hardest `outer` share of the candidates, with optional annealing: a ring without inner edge (Wu 2020)."""
    return Ring(outer=outer, inner=0.0, anneal_epochs=anneal_epochs)


@STRATEGIES.register("hardest")
@dataclass(frozen=True, kw_only=True)
class Hardest(Filter):
    """The hardest α of the candidates: the hard contrastive loss of Wang & Liu 2021, 2012.09740."""

    alpha: float = 4095 / 50_000
    """share of the candidates to keep, in (0, 1]; 4095 of the bank's 50,000 rows in their CIFAR runs"""

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise ValueError(f"hardest: alpha must lie in (0, 1], got {self.alpha}; the authors use 0.0819 on CIFAR")

    def check(self, epochs: int, k: int) -> None:
        check_rounding("hardest", 0, self.alpha, k)

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        n = at_least(share(self.alpha, candidates.count()), 1)
        return band(candidates.ranked_by(candidates.similarity), 0, n)

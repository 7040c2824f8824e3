"""Strategies that do not look at the candidates: all of them, or a random subset as the control for every filter."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.blocks import scratch
from models.negatives.rank import band, share
from models.negatives.strategy import STRATEGIES, Candidates, Filter, Selection, Strategy


@STRATEGIES.register("all")
@dataclass(frozen=True, kw_only=True)
class All(Strategy):
    """Every one of the K candidates."""

    def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
        return Selection()


@STRATEGIES.register("uniform")
@dataclass(frozen=True, kw_only=True)
class Uniform(Filter):
    """A random subset of the K candidates, by count or by fraction: the equal-count control for every filter."""

    fraction: float | None = None
    """share of the K candidates to keep, in (0, 1]"""
    count: int | None = None
    """number of candidates to keep, at least 1"""

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.count is None):
            raise ValueError(
                f"uniform takes either fraction or count, got fraction={self.fraction}, count={self.count}; "
                'write {"name": "uniform", "fraction": 0.05}'
            )
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(f"uniform: fraction must lie in (0, 1], got {self.fraction}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"uniform: count must be at least 1, got {self.count}")

    def check(self, epochs: int, k: int) -> None:
        if self.count is not None and self.count > k:
            raise ValueError(f"uniform: count {self.count} is more than the K = {k} candidates; lower count or raise k")

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        k = candidates.count()  # [B]
        n = k.clamp(max=self.count) if self.fraction is None else share(self.fraction, k).clamp(min=1)
        return random_subset(candidates, n, generator=generator)


def random_subset(candidates: Candidates, n: Tensor, *, generator: torch.Generator) -> Tensor:
    """1 for n[b] random candidates of each anchor, else 0, [B, P]: every subset of that size equally often.

    An anchor's order of the candidates is the product of one random permutation of the columns with an odd random
    factor of its own, modulo 2³²: a bijection, at a tenth of the cost of B × P random numbers.
    """
    s = candidates.similarity
    (b, p), device = s.shape, s.device
    column = torch.randperm(p, generator=generator, device=device).int()  # [P]
    factor, shift = torch.randint(-(2**31), 2**31, (2, b, 1), generator=generator, device=device).int()  # [b, 1]
    product = torch.mul(column, factor | 1, out=scratch("product", s, torch.int32)).add_(shift)  # [b, P]
    order = scratch("order", s).copy_(product)
    return band(candidates.ranked_by(order), torch.zeros_like(n), n)

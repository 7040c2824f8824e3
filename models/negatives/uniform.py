"""Strategies that do not look at the candidates: all of them, or a random subset as the control for every filter."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.negatives.rank import Count, at_least, at_most, check_rounding, share
from models.negatives.strategy import STRATEGIES, Candidates, Filter, Selection, Strategy

TRIES = 64  # to draw a step that is coprime to P: at least a fifth of all numbers are, for any P in use


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
        if self.fraction is not None:
            check_rounding("uniform", 0, self.fraction, k)

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        k = candidates.count()
        n = at_least(share(self.fraction, k), 1) if self.fraction is not None else at_most(k, self.count or 1)
        return random_subset(candidates, n, generator=generator)


def random_subset(candidates: Candidates, n: Count, *, generator: torch.Generator) -> Tensor:
    """1 for n random candidates of each anchor, else 0, [B, P]: every subset of that size equally often.

    An anchor takes the first n it is offered in a random order of its own, or leaves out the first K − n where those
    are fewer.
    """
    s, k = candidates.similarity, candidates.count()
    leave_out = bool(2 * torch.as_tensor(n).sum() > torch.as_tensor(k).sum())
    few = k - n if leave_out else n
    length = int(torch.as_tensor(few + s.shape[1] - k).max())  # among so many columns, `few` are offered
    columns = _random_order(s.shape, length, generator=generator, device=s.device)
    if candidates.offered is None:
        first = torch.arange(length, device=s.device).expand(len(s), -1) < _column(few)
    else:
        first = candidates.offered.gather(1, columns)
        first &= first.cumsum(dim=1, dtype=torch.int32) <= _column(few)
    marks = torch.full_like(s, float(leave_out))
    return marks.scatter_(1, columns, (first ^ leave_out).to(s.dtype))


def _column(n: Count) -> Count:
    return n if isinstance(n, int) else n[:, None]


def _random_order(shape: torch.Size, length: int, *, generator: torch.Generator, device: torch.device) -> Tensor:
    """The first of the P columns in a random order for each anchor, int64 [B, length].

    All anchors walk one random permutation as a circle, each from a start of its own in steps of its own that are
    coprime to P, and so meet every column once: without B × P random numbers.
    """
    b, p = shape
    column = torch.randperm(p, generator=generator, device=device)
    start = torch.randint(p, (b, 1), generator=generator, device=device)
    steps = torch.randint(p, (b, TRIES), generator=generator, device=device)
    steps[:, -1] = 1
    coprime = steps.gcd(torch.full_like(steps, p)) == 1
    step = steps.gather(1, coprime.byte().argmax(dim=1, keepdim=True))  # the first of them
    at = start + step * torch.arange(length, dtype=torch.float64, device=device)  # exact below 2⁵³
    at.sub_(at.div(p).floor_().mul_(p))
    return column[at.long()]

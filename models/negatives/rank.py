"""Exact ranks of the candidates of each anchor: which of them are its n-th to m-th hardest.

Sorting 256 × 65,536 scores takes ten times as long as the similarity product that made them. Here the threshold that
exactly n scores reach is searched for: a sorted sample brackets it, and each pass counts and interpolates. A row with
ties at its threshold, where no threshold is reached by exactly n scores, keeps the first of the tied ones.
"""

import torch
from torch import Tensor

from models.blocks import scratch

SAMPLE = 1024  # scores of a row that bracket its threshold
PASSES = 14  # of counting; a row whose threshold is not found by then has ties, and is sorted


def share(fraction: float, k: Tensor) -> Tensor:
    """How many of k candidates a fraction of them is: ⌊fraction · k⌋, int64, same shape as k."""
    return (k.double() * fraction + 1e-6).floor().long()  # 0.29 · 100 is 28.999… in floating point


def edges(lo: float, hi: float, k: Tensor) -> tuple[Tensor, Tensor]:
    """The ranks [first, last) of the percentile band [lo, hi) among k candidates; at least one rank. Shapes: [B]."""
    first = torch.minimum(share(lo, k), (k - 1).clamp(min=0))
    return first, torch.maximum(share(hi, k), first + 1).minimum(k)


def band(scores: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """1 for the candidates with a rank in [first, last), the highest score first, else 0; exactly last − first a row.

    Equal scores rank in the order of their columns. Of a block of rows it is a temporary, and lasts until the next
    band. Shapes: scores [B, P], first and last int64 [B] → [B, P], of the scores' type.
    """
    kept = _mark_top(scores, last, out=scratch("band", scores))
    return kept.sub_(_mark_top(scores, first, out=scratch("above the band", scores))) if first.any() else kept


def _mark_top(x: Tensor, n: Tensor, *, out: Tensor) -> Tensor:
    """Write 1 for the n[b] highest of each row of x [b, P], else 0, into out [b, P].

    As 0 and 1 of the scores' own type, which is several times faster than by way of bool.
    """
    n = n.double()
    (upper, guess, lower), (n_upper, n_lower) = _bracket(x, n)  # float64 [b]
    size, wide = x.shape[1], torch.promote_types(x.dtype, torch.float32)

    def logit(count: Tensor) -> Tensor:  # in which the count is nearly linear in the threshold, in the tails as well
        return torch.log((count + 0.5) / (size + 0.5 - count))

    for _ in range(PASSES):
        found = torch.ge(x, guess.to(x.dtype)[:, None], out=out).sum(dim=1, dtype=wide).double()
        if torch.equal(found, n):
            return out
        more, less = found > n, found < n
        upper, n_upper = torch.where(less, guess, upper), torch.where(less, found, n_upper)
        lower, n_lower = torch.where(more, guess, lower), torch.where(more, found, n_lower)
        error = found - n
        beyond = (0.2 * error + error.sign() * error.abs().sqrt()).trunc()  # to count on both sides of it soon
        y = logit(torch.stack([n_upper, (n - beyond).clamp(0, size), n_lower]))
        part = ((y[1] - y[0]) / (y[2] - y[0])).clamp(0, 1)
        guess = torch.where(error == 0, guess, upper + (lower - upper) * part)
        near = (error != 0) & (n - n_upper <= 3)
        if near.any():  # a few scores short of it, one score at a time is faster than interpolation
            guess = torch.where(near, _next_below(x, upper), guess)
    tied = found != n
    out[tied] = _mark_top_by_sorting(x[tied], n[tied])
    return out


def _next_below(x: Tensor, upper: Tensor) -> Tensor:
    """The highest score of each row below upper[b], float64 [b]."""
    reached = torch.ge(x, upper.to(x.dtype)[:, None], out=scratch("reached", x))
    return reached.mul_(torch.finfo(x.dtype).min).add_(x).amax(dim=1).double()


def _bracket(x: Tensor, n: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]]:
    """Above, at and below the n-th highest of each row, by a sample; about how many reach the first and the last."""
    sample = x[:, :: max(x.shape[1] // SAMPLE, 1)].sort(dim=1, descending=True).values  # [B, m]
    m = sample.shape[1]
    highest = torch.nextafter(x.amax(dim=1, keepdim=True), x.new_tensor(torch.inf))
    sample = torch.cat([highest, sample, x.amin(dim=1, keepdim=True)], dim=1)
    rank = n * (m / x.shape[1])  # of the n-th highest within the sample, from 1
    spread = 4 * (rank * (1 - rank / m)).sqrt() + 2
    at = torch.stack([rank - spread, rank, rank + spread], dim=1).round().long().clamp(0, m + 1)  # [B, 3]
    at[:, 1] += (n == x.shape[1]).long()
    count = (at.double() * (x.shape[1] / m)).clamp(max=x.shape[1])
    return sample.gather(1, at).double().unbind(dim=1), (count[:, 0], count[:, 2])


def _mark_top_by_sorting(x: Tensor, n: Tensor) -> Tensor:
    order = x.argsort(dim=1, descending=True, stable=True)  # [b, P]
    inside = torch.arange(x.shape[1], device=x.device) < n[:, None]
    return torch.empty_like(x).scatter_(1, order, inside.to(x.dtype))

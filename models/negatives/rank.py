"""Exact ranks of the candidates of each anchor: which of them are its n-th to m-th hardest.

Sorting 256 × 65,536 scores takes ten times as long as the similarity product that made them. Here a threshold that
nearly n scores reach is searched for: a sorted sample brackets it, and each pass counts and interpolates. The few
scores that n is short of lie in as many chunks, those with the highest maxima. Scores that tie at the n-th highest are
kept in the order of their columns.
"""

import torch
from torch import Tensor

from models.blocks import scratch

SAMPLE = 512  # scores of a row that bracket its threshold
PASSES = 10  # of counting, at most
FEW = 66  # scores that are found by way of the chunks' maxima, at most: more are cheaper to count
CHUNK = 64


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
    if bool((n == x.shape[1]).all()):
        return out.fill_(1)
    upper, reached = _nearly(x, n, out=out)
    threshold = _below(x, upper, n - reached, out=out)
    tied = _count(x, threshold, out=out) != n
    if tied.any():
        out[tied] = _first_of_the_tied(x[tied], threshold[tied], n[tied])
    return out


def _count(x: Tensor, threshold: Tensor, *, out: Tensor) -> Tensor:
    """How many scores of each row reach threshold[b], of float32 at least; out [b, P] is 1 for those, else 0."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.ge(x, threshold[:, None], out=out).sum(dim=1, dtype=wide)


def _nearly(x: Tensor, n: Tensor, *, out: Tensor) -> tuple[Tensor, Tensor]:
    """A threshold of each row that at most n scores reach, n − FEW or more if the passes suffice; and how many. [b]

    By secants, and by halves where a secant leaves what is known of the threshold. out [b, P] is overwritten.
    """
    upper, reached = x.new_full(n.shape, torch.inf), torch.zeros_like(n)
    if int(n.max()) <= FEW:
        return upper, reached
    high, guess, low, slope = _bracket(x, n)
    before = count_before = guess
    for i in range(PASSES):
        count = _count(x, guess, out=out)
        short = count <= n
        better = short & (count > reached)
        upper, reached = torch.where(better, guess, upper), torch.where(better, count.long(), reached)
        near = n - reached <= FEW
        if bool(near.all()):
            break
        if i:
            slope = (count - count_before) / (guess - before)
        high, low = torch.where(short, guess, high), torch.where(short, low, guess)
        before, count_before = guess, count
        guess = guess + ((n - FEW // 2 - count) / slope).to(x.dtype)
        guess = torch.where((guess > low) & (guess < high), guess, (low + high) / 2).where(~near, upper)
    return upper, reached


def _bracket(x: Tensor, n: Tensor) -> tuple[Tensor, ...]:
    """Above, at and below the n-th highest of each row, by a sample, and the slope of the count there; each [b]."""
    sample = x[:, :: max(x.shape[1] // SAMPLE, 1)].sort(dim=1, descending=True).values  # [b, m]
    m, part = sample.shape[1], sample.shape[1] / x.shape[1]
    rank = n * part  # of the n-th highest within the sample, from 1
    spread = 4 * (rank * (1 - rank / m)).sqrt() + 2
    at = torch.stack([rank + side * spread for side in (-1, -0.4, 0, 0.4, 1)], dim=1)
    at = at.round().long().clamp(0, m + 1)  # [b, 5]
    lowest = highest = sample[:, :1]
    if bool((at == 0).any()) or bool((at > m).any()):
        lowest, highest = x.aminmax(dim=1, keepdim=True)
    high, nearly_high, guess, nearly_low, low = torch.cat([highest, sample, lowest], dim=1).gather(1, at).unbind(dim=1)
    return high, guess, low, (at[:, 3] - at[:, 1]) / part / (nearly_low - nearly_high)


def _below(x: Tensor, upper: Tensor, r: Tensor, *, out: Tensor) -> Tensor:
    """The r[b]-th highest score of each row below upper[b], or the FEW-th; upper itself where r is 0. Shape: [b]."""
    most = min(int(r.max()), FEW)
    if most == 0:
        return upper
    rest = x
    if bool(upper.isfinite().any()):
        rest = torch.ge(x, upper[:, None], out=out)
        torch.add(x, rest, alpha=torch.finfo(x.dtype).min, out=rest)
    found = _highest(rest, most).gather(1, (r.clamp(1, most) - 1)[:, None])[:, 0]
    return torch.where(r > 0, found, upper)


def _highest(x: Tensor, r: int) -> Tensor:
    """The r highest scores of each row in descending order: they lie in the r chunks with the highest maxima. [b, r]"""
    count = x.shape[1] // CHUNK
    chunks = x[:, : count * CHUNK].unflatten(1, (count, CHUNK))  # [b, c, CHUNK]
    at = chunks.amax(dim=2).topk(min(r, count), dim=1, sorted=False).indices
    at += count * torch.arange(len(x), device=x.device)[:, None]
    near = chunks.reshape(len(x) * count, CHUNK).index_select(0, at.flatten()).view(len(x), at.shape[1] * CHUNK)
    return torch.cat([near, x[:, count * CHUNK :]], dim=1).topk(r, dim=1).values


def _first_of_the_tied(x: Tensor, threshold: Tensor, n: Tensor) -> Tensor:
    """1 for the n highest of each row, the first of those that tie; sorts a row whose threshold is not the n-th."""
    above, equal = x > threshold[:, None], x == threshold[:, None]
    missing = n - above.sum(dim=1)
    marks = (above | (equal & (equal.cumsum(dim=1) <= missing[:, None]))).to(x.dtype)
    unfound = marks.sum(dim=1, dtype=torch.float64) != n
    marks[unfound] = _mark_top_by_sorting(x[unfound], n[unfound])
    return marks


def _mark_top_by_sorting(x: Tensor, n: Tensor) -> Tensor:
    order = x.argsort(dim=1, descending=True, stable=True)  # [b, P]
    inside = torch.arange(x.shape[1], device=x.device) < n[:, None]
    return torch.empty_like(x).scatter_(1, order, inside.to(x.dtype))

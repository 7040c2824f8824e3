"""The K candidates of each anchor: which of them are its n-th to m-th hardest.

Sorting 256 × 65,536 scores takes ten times as long as the similarity product that made them; a band needs the scores at
its two edges alone, which a partition finds. Scores that tie at an edge are kept in the order of their columns.

Counts and ranks are an int where all anchors have the same, else an int64 tensor [B]. Ints are known before anything is
computed: on a GPU nothing waits for them.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from models.blocks import on_cpu

Count = int | Tensor

_THREADS = ThreadPoolExecutor(thread_name_prefix="partition")  # as many work at once as torch has threads


def share(fraction: float, k: Count) -> Count:
    """Number of candidates in a fraction of k: ⌊fraction · k⌋."""
    if isinstance(k, int):
        return math.floor(k * fraction + 1e-6)  # 0.29 · 100 is 28.999… in floating point
    return (k.double() * fraction + 1e-6).floor().long()


def at_least(n: Count, least: Count) -> Count:
    """The greater of two counts, anchor by anchor."""
    return max(n, least) if isinstance(n, int) and isinstance(least, int) else torch.as_tensor(n).clamp(min=least)


def at_most(n: Count, most: Count) -> Count:
    """The lesser of two counts, anchor by anchor."""
    return min(n, most) if isinstance(n, int) and isinstance(most, int) else torch.as_tensor(n).clamp(max=most)


def edges(lo: float, hi: float, k: Count) -> tuple[Count, Count]:
    """The ranks [first, last) of the percentile band [lo, hi) among k candidates; at least one rank."""
    first = at_most(share(lo, k), at_least(k - 1, 0))
    return first, at_most(at_least(share(hi, k), first + 1), k)


def reach(n: int, fraction: float) -> int:
    """The smallest K of which that fraction is n candidates or more: share(fraction, K) ≥ n."""
    return math.ceil((n - 1e-6) / fraction)


def check_rounding(name: str, lo: float, hi: float, k: int) -> None:
    """Refuse, with ValueError, a band [lo, hi) that rounds away at K candidates, and name the next K that serves.

    It does where it keeps none, ⌊hi · K⌋ = ⌊lo · K⌋, or leaves none out before it, though lo > 0: then it is not what
    its name says.
    """
    first, last = share(lo, k), share(hi, k)
    if first < last and (lo == 0 or first > 0):
        return
    told = f"keeps none of the K = {k} candidates" if first == last else f"leaves out none of the K = {k} candidates"
    raise ValueError(
        f"{name}: the band from {lo:g} to {hi:g} {told}, rounded down; raise k to {_next_k(lo, hi, k)}, the smallest "
        "that works, or widen the band"
    )


def _next_k(lo: float, hi: float, k: int) -> int:
    """The smallest K above k at which the band [lo, hi) does not round away."""
    k = max(k + 1, reach(1, lo) if lo else 1)
    while share(lo, k) == share(hi, k):
        k = reach(int(share(hi, k)) + 1, hi)
    return k


def band(scores: Tensor, first: Count, last: Count) -> Tensor:
    """1 for the candidates with a rank in [first, last), the highest score first, else 0; exactly last − first a row.

    Equal scores rank in the order of their columns. Shapes: scores [B, P] → [B, P], of the scores' type.
    """
    lower, upper = _thresholds(scores, first, last)
    kept = _mark_top(scores, lower, last)
    if isinstance(first, int) and first == 0:
        return kept
    return kept.sub_(_mark_top(scores, upper, first))


def hardest(scores: Tensor, n: int) -> Tensor:
    """The columns of the n highest of each row, in ascending order. Shapes: scores [B, P] → int64 [B, n]."""
    if not on_cpu(scores):
        scores = scores.nan_to_num(nan=-torch.inf)
        return scores.topk(n, dim=1, sorted=False).indices.sort(dim=1).values
    if scores.dtype != torch.bfloat16:  # NumPy finds the few among many faster
        lower, _ = _thresholds(scores, 0, n)
        (at,) = (scores.numpy() >= lower.numpy()[:, None]).ravel().nonzero()
        if len(at) == len(scores) * n:  # no ties
            return torch.from_numpy(at).view(-1, n) % scores.shape[1]
    scores = scores.nan_to_num(nan=-torch.inf)  # of a training that diverges: it is the loss that tells
    return band(scores, 0, n).nonzero(as_tuple=True)[1].view(-1, n)


def _thresholds(x: Tensor, first: Count, last: Count) -> tuple[Tensor, Tensor]:
    """The last-th and the first-th highest score of each row; +∞ for a 0-th. Shape: [b] twice."""
    if isinstance(first, int) and isinstance(last, int):
        lower, upper = _nth_highest(x, first, last)
        return lower.to(x.dtype), upper.to(x.dtype)
    each = [torch.full((len(x),), n, device=x.device) if isinstance(n, int) else n for n in (first, last)]
    ranks = torch.stack(each, dim=1)  # [b, 2]
    if not on_cpu(x):
        upper, lower = _sorted_at(x, ranks).unbind(dim=1)
        return lower, upper
    lower, upper = (x.new_full((len(x),), torch.inf) for _ in range(2))
    size = x.shape[1] + 1
    numbered = ranks[:, 0] * size + ranks[:, 1]
    for number in numbered.unique().tolist():  # few: the rows are offered equally many
        rows, (f, n) = numbered == number, divmod(number, size)
        lower[rows], upper[rows] = (t.to(x.dtype) for t in _nth_highest(x if rows.all() else x[rows], f, n))
    return lower, upper


def _sorted_at(x: Tensor, ranks: Tensor) -> Tensor:
    """The ranks[b]-th highest of each row, +∞ for a 0-th, without waiting for the ranks. Shape: [b, 2] → [b, 2]."""
    scores = torch.nn.functional.pad(x.sort(dim=1, descending=True).values, (1, 0), value=torch.inf)
    return scores.gather(1, ranks)


def _nth_highest(x: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
    """The last-th and the first-th highest of each row of x [b, P]; ±∞ beside all of them. Shapes: [b] twice."""
    size = x.shape[1]
    ends = {0: x.new_full((len(x),), torch.inf), size: x.new_full((len(x),), -torch.inf)}
    if not on_cpu(x):
        lower, upper = (ends[n] if n in ends else x.kthvalue(size - n + 1, dim=1).values for n in (last, first))
        return lower, upper
    y = x.to(torch.promote_types(x.dtype, torch.float32), copy=True)
    lower = ends[last] if last in ends else _partition(y, size - last)
    upper = ends[first] if first in ends else _partition(y[:, size - last :], last - first)
    return lower, upper


def _partition(y: Tensor, nth: int) -> Tensor:
    """Bring the nth of the rows in ascending order to its place, what is lower before it; and return it. Shape: [b].

    By NumPy, whose partition is vectorised: a tenth of the time of torch's kthvalue, and of its topk.
    """
    first, *others = (rows.numpy() for rows in y.chunk(torch.get_num_threads()))
    there = [_THREADS.submit(rows.partition, nth, axis=1) for rows in others]
    first.partition(nth, axis=1)  # by this thread: handing over and waiting takes as long as a small partition
    for job in there:
        job.result()
    return y[:, nth].clone()


def _mark_top(x: Tensor, threshold: Tensor, n: Count) -> Tensor:
    """1 for the n highest of each row, the n-th of which is its threshold, else 0, [b, P].

    As 0 and 1 of the scores' own type, which is several times faster than by way of bool.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    marks = torch.ge(x, threshold[:, None], out=torch.empty_like(x))
    tied = marks.sum(dim=1, dtype=wide) != n
    if not on_cpu(x):
        return torch.where(tied[:, None], _first_of_the_tied(x, threshold, n), marks)
    if tied.any():
        of_tied = n if isinstance(n, int) else n[tied]
        marks[tied] = _first_of_the_tied(x[tied], threshold[tied], of_tied)
    return marks


def _first_of_the_tied(x: Tensor, threshold: Tensor, n: Count) -> Tensor:
    """1 for what lies above the threshold and, in the order of the columns, for as much at it as makes n."""
    above, equal = x > threshold[:, None], x == threshold[:, None]
    missing = n - above.sum(dim=1)
    return (above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= missing[:, None]))).to(x.dtype)

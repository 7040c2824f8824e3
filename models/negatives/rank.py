"""Exact ranks of the candidates of each anchor: which of them are its n-th to m-th hardest.

Sorting 256 × 65,536 scores takes ten times as long as the similarity product that made them; a band needs the scores at
its two edges alone, which a partition finds. Scores that tie at an edge are kept in the order of their columns.
"""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from models.blocks import reused

_THREADS = ThreadPoolExecutor(thread_name_prefix="partition")  # as many work at once as torch has threads


def share(fraction: float, k: Tensor) -> Tensor:
    """How many of k candidates a fraction of them is: ⌊fraction · k⌋, int64, same shape as k."""
    return (k.double() * fraction + 1e-6).floor().long()  # 0.29 · 100 is 28.999… in floating point


def edges(lo: float, hi: float, k: Tensor) -> tuple[Tensor, Tensor]:
    """The ranks [first, last) of the percentile band [lo, hi) among k candidates; at least one rank. Shapes: [B]."""
    first = torch.minimum(share(lo, k), (k - 1).clamp(min=0))
    return first, torch.maximum(share(hi, k), first + 1).minimum(k)


def band(scores: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """1 for the candidates with a rank in [first, last), the highest score first, else 0; exactly last − first a row.

    Equal scores rank in the order of their columns. Shapes: scores [B, P], first and last int64 [B] → [B, P], of the
    scores' type.
    """
    lower, upper = _thresholds(scores, first, last)
    kept = _mark_top(scores, lower, last, out=reused("band", scores))
    return kept.sub_(_mark_top(scores, upper, first, out=reused("above the band", scores))) if first.any() else kept


def hardest(scores: Tensor, n: int) -> Tensor:
    """The columns of the n highest of each row, in ascending order. Shapes: scores [B, P] → int64 [B, n]."""
    first, last = (torch.full((len(scores),), rank, device=scores.device) for rank in (0, n))
    if scores.device.type == "cpu" and scores.dtype != torch.bfloat16:  # NumPy finds the few among many faster
        lower, _ = _thresholds(scores, first, last)
        (at,) = (scores.numpy() >= lower.numpy()[:, None]).ravel().nonzero()
        if len(at) == len(scores) * n:  # no ties
            return torch.from_numpy(at).view(-1, n) % scores.shape[1]
    scores = scores.nan_to_num(nan=-torch.inf)  # of a training that diverges: it is the loss that tells
    return band(scores, first, last).nonzero(as_tuple=True)[1].view(-1, n)


def _thresholds(x: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """The last[b]-th and the first[b]-th highest score of each row; +∞ for a 0-th. Shapes: [b] twice."""
    lower, upper = (x.new_full(first.shape, torch.inf) for _ in range(2))
    for f, n in torch.stack([first, last], dim=1).unique(dim=0).tolist():  # few: the rows are offered equally many
        rows = (first == f) & (last == n)
        lower[rows], upper[rows] = (t.to(x.dtype) for t in _nth_highest(x if rows.all() else x[rows], f, n))
    return lower, upper


def _nth_highest(x: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
    """The last-th and the first-th highest of each row of x [b, P]; ±∞ beside all of them. Shapes: [b] twice."""
    size = x.shape[1]
    ends = {0: x.new_full((len(x),), torch.inf), size: x.new_full((len(x),), -torch.inf)}
    if x.device.type != "cpu":
        lower, upper = (ends[n] if n in ends else x.kthvalue(size - n + 1, dim=1).values for n in (last, first))
        return lower, upper
    y = reused("partition", x, dtype=torch.promote_types(x.dtype, torch.float32)).copy_(x)
    lower = ends[last] if last in ends else _partition(y, size - last)
    upper = ends[first] if first in ends else _partition(y[:, size - last :], last - first)
    return lower, upper


def _partition(y: Tensor, nth: int) -> Tensor:
    """Bring the nth of the rows in ascending order to its place, what is lower before it; and return it. Shape: [b].

    By NumPy, whose partition is vectorised: a tenth of the time of torch's kthvalue, and of its topk.
    """
    list(_THREADS.map(lambda rows: rows.numpy().partition(nth, axis=1), y.chunk(torch.get_num_threads())))
    return y[:, nth].clone()


def _mark_top(x: Tensor, threshold: Tensor, n: Tensor, *, out: Tensor) -> Tensor:
    """Write 1 for the n[b] highest of each row, the n-th of which is threshold[b], else 0, into out [b, P].

    As 0 and 1 of the scores' own type, which is several times faster than by way of bool.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    tied = torch.ge(x, threshold[:, None], out=out).sum(dim=1, dtype=wide) != n
    if tied.any():
        out[tied] = _first_of_the_tied(x[tied], threshold[tied], n[tied])
    return out


def _first_of_the_tied(x: Tensor, threshold: Tensor, n: Tensor) -> Tensor:
    """1 for what lies above the threshold and, in the order of the columns, for as much at it as makes n."""
    above, equal = x > threshold[:, None], x == threshold[:, None]
    missing = n - above.sum(dim=1)
    return (above | (equal & (equal.cumsum(dim=1) <= missing[:, None]))).to(x.dtype)

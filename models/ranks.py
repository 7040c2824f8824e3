"""Collectives of the processes that share a trial, with gradient. The default group of torch.distributed is theirs.

Each process, called a rank, computes the same loss of the whole batch from what was gathered. Gradients are those of
the losses' sum, and their mean over the ranks is that of the one loss: as in DistributedDataParallel.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Share:
    """A rank's equal share of the rows of a batch; by itself the only rank, with all of them."""

    rank: int = 0
    ranks: int = 1

    def of(self, x: Tensor, *, dim: int = 0) -> Tensor:
        """The rank's own rows, which lie along `dim`: N · n of them → n."""
        return x.chunk(self.ranks, dim)[self.rank]


WHOLE = Share()


def own_share() -> Share:
    """This process's."""
    return Share(dist.get_rank(), dist.get_world_size())


class PeerLost(BaseException):
    """Another rank is gone, or the connection to it.

    Not an Exception: a trial's own failures are recorded, and this is none of them.
    """


def gathered(x: Tensor) -> Tensor:
    """The rows of every rank, in the order of the ranks: [B/N, …] → [B, …], with gradient. Raises PeerLost."""
    return _Gathered.apply(x)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        with _together():
            dist.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.to(torch.promote_types(gradient.dtype, torch.float32), copy=True).contiguous()
        with _together():
            dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()].to(gradient.dtype)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Put the mean over the ranks in each gradient's place, the same to the bit on all of them. Raises PeerLost."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return
    flat = torch.cat([g.reshape(-1) for g in gradients])
    with _together():
        dist.all_reduce(flat)
    parts = flat.div_(dist.get_world_size()).split([g.numel() for g in gradients])
    torch._foreach_copy_(gradients, [part.view(g.shape) for part, g in zip(parts, gradients, strict=True)])


def from_first(content: bytes) -> bytes:
    """The first rank's content, on every rank. Raises PeerLost."""
    box = [content if dist.get_rank() == 0 else b""]
    with _together():
        dist.broadcast_object_list(box)
    return box[0]


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # each backend says it in a class or words of its own
        raise PeerLost(str(error)) from error

"""Where candidates come from: the batch, a queue of past keys, a memory bank; and which K are offered."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks import on_cpu


@dataclass(frozen=True)
class Pool:
    """P rows that negatives are drawn from."""

    keys: Tensor  # [P, D] unit rows
    instance: Tensor  # int64 [P], which training instance a row shows; −1: none
    labels: Tensor | None = None  # int64 [P]; −1: none

    def rows(self, at: Tensor | slice) -> "Pool":
        """Some of the rows."""
        return Pool(self.keys[at], self.instance[at], None if self.labels is None else self.labels[at])


def offer_from_batch(own: Tensor, k: int | None, *, generator: torch.Generator) -> Tensor:
    """K rows for each anchor, drawn independently and uniformly without replacement from the rows not its own.

    All of those where there are fewer. Shapes: own bool [B, P] → bool [B, P]. For pools of a batch's size: it draws
    B × P numbers.
    """
    if k is None:
        return ~own
    order = torch.rand(own.shape, generator=generator, device=own.device)  # of all rows too: what is drawn next stays
    if on_cpu(own) and own.shape[1] - k <= own.sum(dim=1).amin():
        return ~own
    order.masked_fill_(own, -1)
    return torch.zeros_like(own).scatter_(1, order.topk(k, dim=1).indices, True) & ~own


def offer_from_store(
    pool: Pool, instance: Tensor, k: int | None, *, own: int, generator: torch.Generator
) -> tuple[Pool, Tensor | None]:
    """K rows of a large pool for each anchor, uniformly without replacement, never a row of its own instance.

    All anchors walk one random order of the rows, and each takes the first K that are not its own, of which there are
    `own` at most: so the similarity product has the size of K, not of the pool. Shapes: instance int64 [B] → the pool's
    rows that are offered to anyone, and bool [B, P′] (None: each of them to everyone).
    """
    size = len(pool.keys)
    order = None
    if k is not None and k < size:
        order = torch.randperm(size, generator=generator, device=pool.keys.device)
        pool = pool.rows(order[: k + own])
    if on_cpu(pool.keys):
        own_rows = torch.isin(pool.instance, instance)
        if not own_rows.any():
            return pool if order is None else pool.rows(slice(k)), None
        allowed = torch.ones(len(instance), len(pool.keys), dtype=torch.bool)
        allowed[:, own_rows] = instance[:, None] != pool.instance[own_rows]
    else:
        allowed = instance[:, None] != pool.instance
    if k is not None:
        allowed &= allowed.cumsum(dim=1, dtype=torch.int32) <= k
    return pool, allowed


class Queue(nn.Module):
    """The last `size` keys, first in, first out (He 2019, 1911.05722, §3.2); filled with random unit rows at first."""

    keys: Tensor
    instance: Tensor
    labels: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim, generator=generator), dim=1))
        self.register_buffer("instance", torch.full((size,), -1))
        self.register_buffer("labels", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    def rows(self) -> Pool:
        """The queue as it is now."""
        return Pool(self.keys, self.instance, self.labels)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, instance: Tensor, labels: Tensor | None) -> None:
        """Overwrite the oldest rows by these keys [B, D]; a batch larger than the queue leaves its last rows."""
        size = len(self.keys)
        rows = (self.pointer + torch.arange(len(keys), device=keys.device))[-size:] % size
        self.keys[rows] = keys[-size:].to(self.keys.dtype)
        self.instance[rows] = instance[-size:]
        if labels is not None:
            self.labels[rows] = labels[-size:]
        self.pointer.copy_((self.pointer + len(keys)) % size)


class Bank(nn.Module):
    """One row for each training instance, from U(±1/√(D/3)) at first (Wu 2018, 1805.01978, and its code)."""

    keys: Tensor
    instance: Tensor
    labels: Tensor

    def __init__(self, size: int, dim: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("keys", (torch.rand(size, dim, generator=generator) * 2 - 1) * (3 / dim) ** 0.5)
        self.register_buffer("instance", torch.arange(size))
        self.register_buffer("labels", torch.full((size,), -1))

    def rows(self) -> Pool:
        """The bank as it is now."""
        return Pool(self.keys, self.instance, self.labels)

    @torch.no_grad()
    def update(self, z: Tensor, instance: Tensor, labels: Tensor | None, *, momentum: float) -> None:
        """row ← normalise(m row + (1 − m) z) for these instances. Shapes: z [B, D], instance [B]."""
        moved = self.keys[instance].mul(momentum).add_(z.to(self.keys.dtype), alpha=1 - momentum)
        self.keys[instance] = F.normalize(moved, dim=1)
        if labels is not None:
            self.labels[instance] = labels

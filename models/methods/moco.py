"""MoCo: a queue of past keys of a slowly moving key encoder is the pool (He 2019, 1911.05722; v2: 2003.04297)."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.contrast import Contrast, Step, StepContext
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext, follow, unit_rows
from models.pools import Queue, offer_from_store


@METHODS.register("moco")
@dataclass(frozen=True, kw_only=True)
class MoCo(Method):
    """MoCo: query against a queue of past keys of a momentum encoder; v2 is t = .2 with a two-layer head."""

    queue_size: int = 65_536
    """rows of the queue: the pool"""
    momentum: float = 0.999
    """m of the key encoder's moving average, θ_k ← m θ_k + (1 − m) θ_q"""
    symmetric: bool = False
    """also swap the views' roles, and take the mean of the two losses"""

    def __post_init__(self) -> None:
        if self.queue_size < 1:
            raise ValueError(f"moco: queue_size must be at least 1, got {self.queue_size}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"moco: momentum must lie in [0, 1), got {self.momentum}")

    @property
    def directions(self) -> tuple[str, ...]:
        return ("one", "both") if self.symmetric else ("one",)

    def pool_size(self, batch_size: int, train_count: int, directions: str) -> int:
        """The queue without the rows that may show the anchor's own instance, once it is longer than an epoch."""
        outlasts = self.queue_size > train_count - batch_size
        return self.queue_size - (self.own_rows(batch_size, train_count) if outlasts else 0)

    def copies(self, batch_size: int, train_count: int, directions: str) -> int:
        """One row of each view that is a key, from each epoch that the queue reaches back."""
        return self.own_rows(batch_size, train_count)

    def own_rows(self, batch_size: int, train_count: int) -> int:
        """How many rows of the queue may show an anchor's own instance: those of so many epochs."""
        keys = 2 if self.symmetric else 1
        return keys * math.ceil(self.queue_size / (keys * batch_size * max(train_count // batch_size, 1)))

    def check(self, batch_size: int, train_count: int, epochs: int) -> None:
        if self.queue_size < batch_size:
            raise ValueError(
                f"moco: queue_size {self.queue_size} is smaller than batch_size {batch_size}; "
                "raise queue_size or lower batch_size"
            )

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        if contrast is None:
            raise ValueError("moco contrasts: it needs an objective and a strategy")
        return _MoCo(encoder, head, contrast, self, context)


class _MoCo(Learner):
    def __init__(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast, method: MoCo, context: TrainingContext
    ) -> None:
        super().__init__(encoder, head)
        self.contrast, self.momentum, self.symmetric = contrast, method.momentum, method.symmetric
        self.key_encoder, self.key_head = copy.deepcopy(encoder), copy.deepcopy(head)
        for parameter in [*self.key_encoder.parameters(), *self.key_head.parameters()]:
            parameter.requires_grad_(False)
        self.fresh: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self.own_rows = method.own_rows(context.batch_size, context.train_count)
        self.queue = Queue(method.queue_size, self.dim, generator=context.generator)

    def update_key_encoder(self) -> None:
        """θ_k ← m θ_k + (1 − m) θ_q for parameters; the batch statistics are the key encoder's own."""
        follow((self.key_encoder, self.key_head), (self.encoder, self.head), momentum=self.momentum)

    @torch.no_grad()
    def project_keys(self, inputs: Tensor) -> Tensor:
        """Unit keys of the momentum encoder, [B, D], no gradient."""
        return unit_rows(self.key_head(self.key_encoder(inputs)))

    def step(self, batch: Batch, context: StepContext) -> Step:
        self.update_key_encoder()
        pool, offered = offer_from_store(
            self.queue.rows(), batch.instance, self.contrast.k, own=self.own_rows, generator=context.generator
        )
        x1, x2 = batch.views
        keys = [self.project_keys(x2)]
        step = self.contrast(self.project(x1), keys[0], pool, offered, context, labels=batch.labels)
        if self.symmetric:
            keys.append(self.project_keys(x1))
            swapped = self.contrast(self.project(x2), keys[1], pool, offered, context, labels=batch.labels)
            step = Step((step.loss + swapped.loss) / 2, step.observed)
        self.fresh = [(k, batch.instance, batch.labels) for k in keys]
        return step

    def after_step(self, progress: float) -> None:
        """Enqueue the step's keys: after its logits, and after its backward pass, which still reads the queue."""
        for keys, instance, labels in self.fresh:
            self.queue.enqueue(keys, instance, labels)
        self.fresh = []

"""MoCo: a queue of past keys of a slowly moving key encoder is the pool (He 2019, 1911.05722; v2: 2003.04297)."""

import copy
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from models.batch_norm import split_batch_norm
from models.contrast import Contrast, Step, StepContext
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext, follow, needed, unit_rows
from models.pools import Queue, offer_from_store
from models.registry import added


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
    batch_norm: Literal["whole", "split", "shuffle"] = added("whole")
    """over the whole batch; split: over parts of it, as on several GPUs; shuffle: also with other parts for the keys"""
    parts: int = added(8)
    """parts of a batch that are normalised apart; 8 in the paper and in the authors' CIFAR demo"""

    def __post_init__(self) -> None:
        if self.queue_size < 1:
            raise ValueError(f"moco: queue_size must be at least 1, got {self.queue_size}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"moco: momentum must lie in [0, 1), got {self.momentum}")
        if self.batch_norm not in ("whole", "split", "shuffle"):
            raise ValueError(f"moco: batch_norm is 'whole', 'split' or 'shuffle', got {self.batch_norm!r}")
        if self.parts < 2:
            raise ValueError(f"moco: parts must be at least 2, got {self.parts}; batch_norm='whole' is one")
        if self.batch_norm == "whole" and self.parts != 8:
            raise ValueError("moco: batch_norm over the whole batch has no parts; leave parts out, or set batch_norm")

    @property
    def rows_apart(self) -> bool:
        """Unless keys are shuffled before they are encoded."""
        return self.batch_norm != "shuffle"

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
        """Number of the queue's rows that may show an anchor's own instance: those of so many epochs."""
        keys = 2 if self.symmetric else 1
        return keys * math.ceil(self.queue_size / (keys * batch_size * max(train_count // batch_size, 1)))

    def check(self, batch_size: int, train_count: int, epochs: int) -> None:
        if self.queue_size < batch_size:
            raise ValueError(
                f"moco: queue_size {self.queue_size} is smaller than batch_size {batch_size}; "
                "raise queue_size or lower batch_size"
            )
        if self.batch_norm != "whole" and (batch_size % self.parts or batch_size < 2 * self.parts):
            raise ValueError(
                f"moco: batch_size {batch_size} does not part into {self.parts} equal ones of at least 2 for "
                "batch_norm; choose a multiple, or set parts"
            )

    def check_ranks(self, ranks: int) -> None:
        if self.batch_norm != "whole" and self.parts % ranks:
            raise ValueError(
                f"moco: {ranks} processes do not share {self.parts} parts of a batch equally; set parts to a multiple, "
                "or batch_norm=whole"
            )

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        contrast = needed(contrast, "moco")
        return _MoCo(encoder, head, contrast, self, context)


class _MoCo(Learner):
    def __init__(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast, method: MoCo, context: TrainingContext
    ) -> None:
        super().__init__(encoder, head)
        if method.batch_norm != "whole":
            split_batch_norm(self, method.parts)
        self.shuffled = method.batch_norm == "shuffle"
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
    def project_keys(self, inputs: Tensor, *, generator: torch.Generator) -> Tensor:
        """Unit keys of the momentum encoder, [B, D], no gradient.

        Shuffled, a key is normalised with other instances than its query is, which then tells nothing of its part.
        """
        if not self.shuffled:
            return unit_rows(self.key_head(self.key_encoder(inputs)))
        order = torch.randperm(len(inputs), generator=generator, device=inputs.device)
        return unit_rows(self.key_head(self.key_encoder(inputs[order])))[order.argsort()]

    def step(self, batch: Batch, context: StepContext) -> Step:
        self.update_key_encoder()
        pool, offered = offer_from_store(
            self.queue.rows(), batch.instance, self.contrast.k, own=self.own_rows, generator=context.generator
        )
        x1, x2 = batch.views
        keys = [self.project_keys(x2, generator=context.generator)]
        step = self.contrast(self.project(x1), keys[0], pool, offered, context, labels=batch.labels)
        if self.symmetric:
            keys.append(self.project_keys(x1, generator=context.generator))
            swapped = self.contrast(self.project(x2), keys[1], pool, offered, context, labels=batch.labels)
            step = Step((step.loss + swapped.loss) / 2, step.observed)
        self.fresh = [(k, batch.instance, batch.labels) for k in keys]
        return step

    def after_step(self, progress: float) -> None:
        """Enqueue the step's keys: after its logits, and after its backward pass, which still reads the queue."""
        for keys, instance, labels in self.fresh:
            self.queue.enqueue(keys, instance, labels)
        self.fresh = []

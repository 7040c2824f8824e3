"""SimCLR: the other embeddings of the batch are the pool, with gradient (Chen 2020, 2002.05709)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from models.contrast import Contrast, Step, StepContext
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext, needed
from models.pools import Pool, offer_from_batch
from models.registry import added


@METHODS.register("simclr")
@dataclass(frozen=True, kw_only=True)
class SimCLR(Method):
    """SimCLR: both views are anchors, the pool is the other 2B − 2 embeddings of the batch, with gradient.

    An objective of one direction (info_nce) takes the first views as anchors and the other B − 1 second views as pool.
    K counts embeddings, at most 2B − 2. Nozawa & Sato 2021 (2102.06866) count instances: their K + 1 is the batch size,
    they train on all 2B − 2 and evaluate loss and bounds at K = B − 1. That is `k_counts: instances`, k left out.
    """

    default_objective: ClassVar[str | None] = "nt_xent"
    takes_small_views: ClassVar[bool] = True
    head: ClassVar[Mapping[str, Any]] = {"batch_norm": "all"}
    rows_apart = True

    further_views: int = 0
    """views beyond the two, which are neither anchors nor pool: an anchor has M = 1 + further_views positives, and as
    many more as there are small views"""
    k_counts: Literal["rows", "instances"] = added("rows")
    """what K is a number of: embeddings, or instances, of which both views are met by objectives of both directions"""

    def __post_init__(self) -> None:
        if self.further_views < 0:
            raise ValueError(f"simclr: further_views must not be negative, got {self.further_views}")
        if self.k_counts not in ("rows", "instances"):
            raise ValueError(f"simclr: k_counts is 'rows' or 'instances', got {self.k_counts!r}")

    @property
    def views(self) -> int:
        return 2 + self.further_views

    @property
    def directions(self) -> tuple[str, ...]:
        return ("one", "both")

    def pool_size(self, batch_size: int, train_count: int, directions: str) -> int:
        return self.copies(batch_size, train_count, directions) * (batch_size - 1) // self.rows_a_draw(directions)

    def rows_a_draw(self, directions: str) -> int:
        return 2 if self.k_counts == "instances" and directions == "both" else 1

    def copies(self, batch_size: int, train_count: int, directions: str) -> int:
        """Both views of an instance are in the pool where both are anchors."""
        return 1 if directions == "one" else 2

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        contrast = needed(contrast, "simclr")
        return _SimCLR(encoder, head, contrast, self.rows_a_draw(contrast.directions))


class _SimCLR(Learner):
    def __init__(self, encoder: nn.Module, head: nn.Module, contrast: Contrast, rows_a_draw: int) -> None:
        super().__init__(encoder, head)
        self.k, self.rows_a_draw = contrast.k, rows_a_draw
        self.contrast = contrast if contrast.k is None else replace(contrast, k=contrast.k * rows_a_draw)

    def step(self, batch: Batch, context: StepContext) -> Step:
        z1, z2, *further = self.project(torch.cat(batch.views)).chunk(len(batch.views))  # [B, D] each
        if self.contrast.directions == "one":
            anchors, positive, keys, instance, labels = z1, z2, z2, batch.instance, batch.labels
            key_instance, key_labels = batch.instance, batch.labels
        else:
            anchors = keys = torch.cat([z1, z2])
            positive = torch.cat([z2, z1])
            instance = key_instance = batch.instance.repeat(2)
            labels = key_labels = None if batch.labels is None else batch.labels.repeat(2)
        pool = Pool(keys, key_instance, key_labels)
        positive = self.mined(anchors, positive, pool, instance, labels)
        further = [z.repeat(len(anchors) // len(z1), 1) for z in (*further, *self.project_small(batch))]
        further += self.of_its_class(positive, pool, instance, labels, generator=context.generator)
        if further:
            positive = torch.stack([positive, *further], dim=1)  # [B, M, D]
        own = instance[:, None] == key_instance[None, : len(key_instance) // self.rows_a_draw]  # of each view
        offered = offer_from_batch(own, self.k, generator=context.generator).repeat(1, self.rows_a_draw)  # [B, P]
        return self.contrast(anchors, positive, pool, offered, context, labels=labels)

    def mined(self, anchors: Tensor, positive: Tensor, pool: Pool, instance: Tensor, labels: Tensor | None) -> Tensor:
        """A hook: the positive of each anchor, [B, D], by default its other view."""
        return positive

    def of_its_class(
        self, positive: Tensor, pool: Pool, instance: Tensor, labels: Tensor | None, *, generator: torch.Generator
    ) -> list[Tensor]:
        """A hook: further positives of each anchor, [B, D] each."""
        return []

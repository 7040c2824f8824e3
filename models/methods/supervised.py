"""Supervised cross-entropy with the same encoder: the upper reference."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from models.contrast import Contrast, Step, StepContext
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext


@METHODS.register("supervised")
@dataclass(frozen=True, kw_only=True)
class Supervised(Method):
    """Cross-entropy of a linear classifier on the features of both views: the upper reference (uses labels).

    The projection head is not trained: what is measured of embeddings elsewhere is measured of features h here.
    """

    has_negatives: ClassVar[bool] = False
    uses_labels: ClassVar[bool] = True
    default_objective: ClassVar[str | None] = None
    trains_head: ClassVar[bool] = False
    rows_apart = True

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        return _Supervised(encoder, head, context.classes)


class _Supervised(Learner):
    def __init__(self, encoder: nn.Module, head: nn.Module, classes: int) -> None:
        super().__init__(encoder, head)
        self.classifier = nn.Linear(encoder.feature_dim, classes)  # type: ignore[arg-type]

    def step(self, batch: Batch, context: StepContext) -> Step:
        if batch.labels is None:
            raise ValueError(
                "supervised learns from labels, but the data has none; choose another method, such as simclr"
            )
        logits = self.classifier(self.encoder(torch.cat(batch.views)))  # [2B, C]
        labels = batch.labels.repeat(len(batch.views))
        observed = {"accuracy": (logits.argmax(dim=1) == labels).float().mean()} if context.observe else {}
        return Step(F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels), observed)

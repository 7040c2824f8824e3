"""SimSiam: a predictor and a stop-gradient, no negatives (Chen & He 2020, 2011.10566)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.contrast import Contrast, Step, StepContext
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext, mlp_predictor
from models.registry import added


@METHODS.register("simsiam")
@dataclass(frozen=True, kw_only=True)
class SimSiam(Method):
    """SimSiam: each view's prediction towards the other view's projection, which gets no gradient; no negatives."""

    has_negatives: ClassVar[bool] = False
    default_objective: ClassVar[str | None] = None
    head: ClassVar[Mapping[str, Any]] = {"batch_norm": "all"}
    rows_apart = True

    predictor_hidden: int = 0
    """width of the predictor's hidden layer; 0: a quarter of the projection's"""
    predictor_batch_norm: bool = added(True)
    """whether that layer is batch-normalised, as in the paper"""

    def __post_init__(self) -> None:
        if self.predictor_hidden < 0:
            raise ValueError(f"simsiam: predictor_hidden must be 0 (a quarter) or more, got {self.predictor_hidden}")

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        return _SimSiam(encoder, head, self)


class _SimSiam(Learner):
    def __init__(self, encoder: nn.Module, head: nn.Module, method: SimSiam) -> None:
        super().__init__(encoder, head)
        hidden = method.predictor_hidden or max(self.dim // 4, 1)
        self.predictor = mlp_predictor(self.dim, hidden, batch_norm=method.predictor_batch_norm)

    def step(self, batch: Batch, context: StepContext) -> Step:
        x1, x2 = batch.views
        z1, z2 = self.head(self.encoder(x1)), self.head(self.encoder(x2))  # [B, D] each, not normalised
        return Step(simsiam_loss(self.predictor(z1), self.predictor(z2), z1, z2))


def simsiam_loss(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """−½ cos(p₁, stop(z₂)) − ½ cos(p₂, stop(z₁)), mean over the batch; in [−1, 1]. Shapes: [B, D] four times.

    Source: 2011.10566, eq. 1 and 4.
    """
    return -(_cosine(p1, z2.detach()) + _cosine(p2, z1.detach())) / 2


def _cosine(p: Tensor, z: Tensor) -> Tensor:
    wide = torch.promote_types(p.dtype, torch.float32)
    return F.cosine_similarity(p.to(wide), z.to(wide), dim=1).mean()

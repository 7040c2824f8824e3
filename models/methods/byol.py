"""BYOL: predict the projection of a slowly moving target network, no negatives (Grill 2020, 2006.07733)."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.contrast import Contrast, Step, StepContext
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext, follow, mlp_predictor, unit_rows
from models.registry import added


@METHODS.register("byol")
@dataclass(frozen=True, kw_only=True)
class BYOL(Method):
    """BYOL: each view's prediction towards a momentum network's projection of the other view; no negatives."""

    has_negatives: ClassVar[bool] = False
    default_objective: ClassVar[str | None] = None
    head: ClassVar[Mapping[str, Any]] = {"batch_norm": "hidden"}
    rows_apart = True

    momentum: float = 0.996
    """of the target's moving average at the beginning; rises to 1 along a cosine"""
    predictor_hidden: int = 512
    """width of the predictor's hidden layer; 4096 in the paper"""
    predictor_batch_norm: bool = added(True)
    """whether that layer is batch-normalised, as in the paper"""

    def __post_init__(self) -> None:
        check_momentum("byol", self.momentum)
        if self.predictor_hidden < 1:
            raise ValueError(f"byol: predictor_hidden must be at least 1, got {self.predictor_hidden}")

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        dim: int = head.output_dim  # type: ignore[assignment]
        predictor = mlp_predictor(dim, self.predictor_hidden, batch_norm=self.predictor_batch_norm)
        return Bootstrap(encoder, head, predictor, self.momentum)


def check_momentum(method: str, momentum: float) -> None:
    """Refuse, with ValueError, a moving average that never moves."""
    if not 0 <= momentum < 1:
        raise ValueError(f"{method}: momentum must lie in [0, 1), got {momentum}; such as 0.996")


class Bootstrap(Learner):
    """An online network with a predictor, and its moving average as the target."""

    def __init__(self, encoder: nn.Module, head: nn.Module, predictor: nn.Module, momentum: float) -> None:
        super().__init__(encoder, head)
        self.predictor, self.momentum, self.at = predictor, momentum, 0  # at: the present step
        self.target = nn.Sequential(copy.deepcopy(encoder), copy.deepcopy(head)).requires_grad_(False)

    def step(self, batch: Batch, context: StepContext) -> Step:
        self.at = context.step
        x1, x2 = batch.views
        online = [self.head(self.encoder(x)) for x in (x1, x2)]  # [B, D] each, not normalised
        with torch.no_grad():
            target = [self.target(x) for x in (x1, x2)]
        self.see(torch.cat(online).detach())
        p1, p2 = (self.predictor(z) for z in online)
        return Step(regression_loss(p1, target[1]) + regression_loss(p2, target[0]))

    def see(self, projections: Tensor) -> None:
        """A hook: the online projections of a step, [2B, D]."""

    def after_step(self, progress: float) -> None:
        """Move the target: ξ ← τ ξ + (1 − τ) θ, τ = 1 − (1 − momentum)(cos π·progress + 1)/2."""
        tau = 1 - (1 - self.momentum) * (math.cos(math.pi * progress) + 1) / 2
        follow((self.target,), (self.encoder, self.head), momentum=tau)


def regression_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """‖p/‖p‖ − z/‖z‖‖² = 2 − 2 cos(p, z), mean over the batch. Shapes: [B, D] twice. Source: 2006.07733, eq. 2."""
    return (2 - 2 * (unit_rows(prediction) * unit_rows(target.detach())).sum(dim=1)).mean()

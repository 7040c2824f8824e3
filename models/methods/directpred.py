"""DirectPred: the predictor is computed, not trained (Tian 2021, 2102.06810)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.contrast import Contrast
from models.methods.byol import Bootstrap, check_momentum
from models.methods.method import METHODS, Learner, Method, TrainingContext


@METHODS.register("directpred")
@dataclass(frozen=True, kw_only=True)
class DirectPred(Method):
    """DirectPred: BYOL with a linear predictor set from the eigen-decomposition of the projections' correlations."""

    has_negatives: ClassVar[bool] = False
    default_objective: ClassVar[str | None] = None
    head: ClassVar[Mapping[str, Any]] = {"batch_norm": "hidden"}
    rows_apart = True

    momentum: float = 0.996
    """of the target's moving average at the beginning; rises to 1 along a cosine"""
    correlation_momentum: float = 0.3
    """ρ of the moving average F ← ρ F + (1 − ρ) E[z zᵀ]"""
    epsilon: float = 0.1
    """added to the predictor's eigenvalues, whose largest is 1 before"""
    every: int = 1
    """steps from one eigen-decomposition to the next"""

    def __post_init__(self) -> None:
        check_momentum("directpred", self.momentum)
        if not 0 <= self.correlation_momentum < 1:
            raise ValueError(f"directpred: correlation_momentum must lie in [0, 1), got {self.correlation_momentum}")
        if self.epsilon < 0 or self.every < 1:
            raise ValueError(f"directpred: epsilon >= 0 and every >= 1, got {self.epsilon} and {self.every}")

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        return _DirectPred(encoder, head, self)


class _Predictor(nn.Module):
    weight: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(dim))

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.to(z.dtype)  # symmetric

    def set(self, weight: Tensor) -> None:
        self.weight.copy_(weight)


class _DirectPred(Bootstrap):
    predictor: _Predictor
    correlation: Tensor

    def __init__(self, encoder: nn.Module, head: nn.Module, method: DirectPred) -> None:
        super().__init__(encoder, head, _Predictor(head.output_dim), method.momentum)  # type: ignore[arg-type]
        self.method = method
        self.register_buffer("correlation", torch.zeros(self.dim, self.dim))

    def see(self, projections: Tensor) -> None:
        z = projections.to(self.correlation.dtype)
        rho = self.method.correlation_momentum if self.at else 0.0
        self.correlation.mul_(rho).add_(z.T @ z / len(z), alpha=1 - rho)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the target, and set the predictor."""
        super().after_step(progress)
        if self.at % self.method.every == 0:
            self.predictor.set(predictor_weight(self.correlation, epsilon=self.method.epsilon))


def predictor_weight(correlation: Tensor, *, epsilon: float) -> Tensor:
    """W = U diag(√(λ/λ_max) + ε) Uᵀ from F = U diag(λ) Uᵀ. Shape: [D, D] → [D, D].

    Source: 2102.06810; the scaling by λ_max is the published code's.
    """
    eigenvalues, u = torch.linalg.eigh(correlation)
    p = (eigenvalues.clamp(min=0) / eigenvalues[-1].clamp(min=torch.finfo(u.dtype).tiny)).sqrt() + epsilon
    return (u * p.clamp(min=1e-4)) @ u.T

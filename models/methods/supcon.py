"""SupCon: every sample of the anchor's class is a positive (Khosla 2020, 2004.11362): the supervised reference."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.contrast import Contrast, Step, StepContext
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext
from models.precision import no_autocast


@METHODS.register("supcon")
@dataclass(frozen=True, kw_only=True)
class SupCon(Method):
    """SupCon: all samples of the anchor's class are positives, the whole batch is the denominator (uses labels).

    Its denominator is part of its definition: there is no K and no selection to choose.
    """

    has_negatives: ClassVar[bool] = False
    uses_labels: ClassVar[bool] = True
    default_objective: ClassVar[str | None] = None
    rows_apart = True

    base_temperature: float = 0.07
    """the loss is scaled by t/base_temperature, as in the published code"""

    def __post_init__(self) -> None:
        if self.base_temperature <= 0:
            raise ValueError(
                f"supcon: base_temperature must be positive, got {self.base_temperature}; the authors: 0.07"
            )

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        return _SupCon(encoder, head, self.base_temperature)


class _SupCon(Learner):
    def __init__(self, encoder: nn.Module, head: nn.Module, base_temperature: float) -> None:
        super().__init__(encoder, head)
        self.base_temperature = base_temperature

    def step(self, batch: Batch, context: StepContext) -> Step:
        if batch.labels is None:
            raise ValueError("supcon learns from labels, but the data has none; choose another method, such as simclr")
        z = self.project(torch.cat(batch.views))  # [2B, D]
        labels = batch.labels.repeat(len(batch.views))
        with no_autocast(z.device):
            loss = supervised_contrastive(z, labels, temperature=context.temperature)
        return Step(loss * (context.temperature / self.base_temperature))


def supervised_contrastive(z: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """L_out: −(1/|P(i)|) Σ_{p ∈ P(i)} log e^{z_i·z_p/t}/Σ_{a ≠ i} e^{z_i·z_a/t}, mean over anchors i.

    P(i): the others of i's class; an anchor without any contributes 0. Shapes: z [N, D] unit rows, labels [N]. Nats.
    Source: 2004.11362, eq. 2.
    """
    own = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(own, float("-inf"))  # [N, N]
    log_prob = logits - logits.logsumexp(dim=1, keepdim=True)
    positive = (labels[:, None] == labels[None, :]) & ~own
    total = log_prob.masked_fill(~positive, 0).sum(dim=1)  # [N]
    return -(total / positive.sum(dim=1).clamp(min=1)).mean()

"""Memory bank: one stored row per training instance is the pool (Wu 2018, 1805.01978: instance discrimination)."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from models.contrast import Contrast, Step, StepContext
from models.logsumexp import count_weights, log_sum_exp, scaled
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext, needed
from models.objectives import softplus
from models.pools import Bank, offer_from_store


@METHODS.register("memory_bank")
@dataclass(frozen=True, kw_only=True)
class MemoryBank(Method):
    """Memory bank: the first view against one stored row per training instance; exact softmax, or NCE over K rows.

    With `loss` "nce" the loss is the method's own, and there is no objective to choose.
    """

    rows_apart = True

    momentum: float = 0.5
    """share of the old row in the new one: row ← normalise(m row + (1 − m) z)"""
    loss: Literal["softmax", "nce"] = "softmax"
    """the objective over the offered rows, or noise-contrastive estimation against them"""

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"memory_bank: momentum must lie in [0, 1), got {self.momentum}; the authors use 0.5")
        if self.loss not in ("softmax", "nce"):
            raise ValueError(f"memory_bank: loss is 'softmax' or 'nce', got {self.loss!r}")

    @property
    def own_loss(self) -> str | None:
        return "nce" if self.loss == "nce" else None

    def pool_size(self, batch_size: int, train_count: int, directions: str) -> int:
        return train_count - 1

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        contrast = needed(contrast, "memory_bank")
        return _MemoryBank(encoder, head, contrast, self, context)


class _MemoryBank(Learner):
    log_z: Tensor

    def __init__(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast, method: MemoryBank, context: TrainingContext
    ) -> None:
        super().__init__(encoder, head)
        self.bank = Bank(context.train_count, self.dim, generator=context.generator)
        self.momentum = method.momentum
        self.register_buffer("log_z", torch.full((), torch.nan))  # log Z, frozen from the first batch
        self.contrast = replace(contrast, objective=self.nce) if method.loss == "nce" else contrast
        self.frozen = False
        self.fresh: tuple[Tensor, Tensor, Tensor | None] | None = None

    def nce(self, positive: Tensor, negatives: Tensor, *, temperature: float, log_weight: Tensor | None) -> Tensor:
        """NCE with Z frozen from the first batch as n · mean(e^{s/t}), over positives and negatives alike."""
        rows = len(self.bank.keys)
        if not self.frozen:  # by the first step of all, or by a checkpoint
            both = torch.cat([positive.detach()[:, None], negatives.detach()], dim=1)
            weight = None if log_weight is None else nn.functional.pad(log_weight, (1, 0))
            log_z = log_partition(both, temperature=temperature, log_weight=weight, rows=rows)
            self.log_z.copy_(torch.where(self.log_z.isnan(), log_z, self.log_z))
            self.frozen = True
        return noise_contrastive(
            positive, negatives, temperature=temperature, log_weight=log_weight,
            log_z=self.log_z, rows=rows,
        )  # fmt: skip

    def step(self, batch: Batch, context: StepContext) -> Step:
        z = self.project(batch.views[0])  # [B, D]
        self.fresh = (z.detach(), batch.instance, batch.labels)
        own = self.bank.keys[batch.instance]
        pool, offered = offer_from_store(
            self.bank.rows(), batch.instance, self.contrast.k, own=1, generator=context.generator
        )
        return self.contrast(z, own, pool, offered, context, labels=batch.labels)

    def after_step(self, progress: float) -> None:
        """Move the batch's rows, after the loss that still compared with the old ones."""
        if self.fresh is not None:
            self.bank.update(*self.fresh, momentum=self.momentum)
        self.fresh = None


def log_partition(similarity: Tensor, *, temperature: float, log_weight: Tensor | None, rows: int) -> Tensor:
    """log of Z = n · mean of e^{s/t} over what is kept: the softmax's denominator, estimated. Shape: [B, K] → []."""
    count = count_weights(similarity, log_weight).sum()
    return math.log(rows) + log_sum_exp(similarity, temperature, log_weight).logsumexp(dim=0) - count.log()


def noise_contrastive(
    positive: Tensor,
    negatives: Tensor,
    *,
    temperature: float,
    log_weight: Tensor | None,
    log_z: Tensor,
    rows: int,
) -> Tensor:
    """NCE: −log P⁺/(P⁺ + c) − Σ_k w_k log (K/n)/(P_k + c), P = e^{s/t}/Z, c = K/n + 1e-7; mean over anchors.

    K = Σ_k w_k, and the noise is uniform over the n rows; an anchor with K = 0 has no noise to be told from, and adds 0
    to the mean. log P/(P + c) is −softplus(log c − log P), which neither
    overflows nor becomes 0. Shapes: positive [B], negatives [B, K]. Nats. Source: 1805.01978, with the ε of the
    published code.
    """
    weight = torch.ones_like(negatives) if log_weight is None else log_weight.to(negatives.dtype).exp()
    noise = weight.sum(dim=1) / rows  # K/n, [B]
    log_c = (noise + 1e-7).log()
    log_p_pos = scaled(positive, temperature) - log_z  # [B]
    log_p_neg = scaled(negatives, temperature) - log_z  # [B, K]
    of_data = -softplus(log_c - log_p_pos)
    noise_to_c = torch.where(noise > 0, noise, 1.0).log() - log_c  # log of (K/n)/c, [B]
    of_noise = weight * (noise_to_c[:, None] - softplus(log_p_neg - log_c[:, None]))
    return -torch.where(noise > 0, of_data + of_noise.sum(dim=1), 0.0).mean()

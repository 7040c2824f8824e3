"""i-Mix: instance discrimination of images that are mixed in the input (Lee et al. 2021, 2010.08887)."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.contrast import Contrast, Step, StepContext
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext, needed
from models.pools import Pool, offer_from_batch

DRAWS = 64
"""Pairs of uniform numbers that λ is drawn from; each serves with probability ½ or more."""


@METHODS.register("imix")
@dataclass(frozen=True, kw_only=True)
class IMix(Method):
    """i-Mix: first views mixed in the input, x ← λ x_i + (1 − λ) x_π(i), each an example of both (Lee 2021).

    The loss is λ ℓ(z, z⁺_i) + (1 − λ) ℓ(z, z⁺_π(i)), z⁺ the second views, π a random order, λ ~ Beta(α, α), one a
    batch. The pool of each term are the other second views, so that InfoNCE's denominators hold all B. For images only:
    token ids cannot be mixed. Source: 2010.08887, i-Mix for N-pair contrastive learning.
    """

    alpha: float = 1.0
    """α in (0, 1]; 1: λ is uniform"""

    default_objective: ClassVar[str | None] = "info_nce"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        check_alpha("imix", self.alpha)

    def pool_size(self, batch_size: int, train_count: int, directions: str) -> int:
        return batch_size - 1

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        contrast = needed(contrast, "imix")
        return _IMix(encoder, head, contrast, self.alpha)


class MixedLearner(Learner):
    """A learner whose anchors are images mixed of two, each the anchor of both."""

    def __init__(self, encoder: nn.Module, head: nn.Module, contrast: Contrast, alpha: float) -> None:
        super().__init__(encoder, head)
        self.contrast, self.alpha = contrast, alpha

    def towards(self, member: Tensor, z: Tensor, pool: Pool, context: StepContext) -> Step:
        """The contrast of the mixed anchors with the instances `member` [B] that are in them; in the order of these."""
        anchors = torch.empty_like(z).index_copy(0, member, z)
        own = pool.instance[:, None] == pool.instance
        offered = offer_from_batch(own, self.contrast.k, generator=context.generator)
        return self.contrast(anchors, pool.keys, pool, offered, context, labels=pool.labels)


class _IMix(MixedLearner):
    def step(self, batch: Batch, context: StepContext) -> Step:
        first, second = batch.views
        generator, count = context.generator, len(first)
        share = beta(self.alpha, generator=generator, device=first.device)  # λ, []
        order = torch.randperm(count, generator=generator, device=first.device)
        z, keys = self.project(torch.cat([share * first + (1 - share) * first[order], second])).chunk(2)
        pool = Pool(keys, batch.instance, batch.labels)
        one = self.towards(torch.arange(count, device=order.device), z, pool, context)
        other = self.towards(order, z, pool, replace(context, observe=False))
        return Step(share * one.loss + (1 - share) * other.loss, one.observed)


def check_alpha(method: str, alpha: float) -> None:
    """ValueError where λ ~ Beta(α, α) is not drawn by `beta`."""
    if not 0 < alpha <= 1:
        raise ValueError(f"{method}: alpha must lie in (0, 1], got {alpha}; the authors use 1 for images")


def beta(alpha: float, *, generator: torch.Generator, device: torch.device | str = "cpu") -> Tensor:
    """λ ~ Beta(α, α), α ≤ 1, shape []: u^(1/α) / (u^(1/α) + v^(1/α)) of uniform u, v where that sum is at most 1.

    Source: Jöhnk 1964. The first of many pairs that serves is taken, so that nothing waits for a device.
    """
    powers = torch.rand(2, DRAWS, generator=generator, device=device, dtype=torch.float64).pow(1 / alpha)
    total = powers.sum(dim=0)
    first = ((total <= 1) & (total > 0)).int().argmax(dim=0, keepdim=True)
    return (powers[0] / total).gather(0, first)[0].float()

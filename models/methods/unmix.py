"""Un-Mix: images mixed with the batch in reverse order, beside the originals (Shen et al. 2022, 2003.05438)."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.contrast import Contrast, Step, StepContext
from models.methods.imix import MixedLearner, beta, check_alpha
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext, needed
from models.pools import Pool


@METHODS.register("unmix")
@dataclass(frozen=True, kw_only=True)
class UnMix(Method):
    """Un-Mix: the plain loss, and that of first views mixed with the batch in reverse order (Shen 2022).

    L = ℓ(x, z⁺) + λ ℓ(m, z⁺) + (1 − λ) ℓ(m↑, z⁺), z⁺ the second views, ↑ the reverse order. With probability `whole`
    m = λ x + (1 − λ) x↑ (Mixup); else m is x with a box of x↑ around a uniform centre, of (1 − λ) of the area before it
    is cut at the edges (CutMix, Yun et al. 2019, 1905.04899), and λ the share that is left of x. λ ~ Beta(α, α) and the
    way are drawn once a batch. The anchors are those of x and m, of one direction, the pool is as i-Mix's; originals,
    mixtures and second views share a forward pass, and so their batch norm. For images only. Source: 2003.05438.
    """

    alpha: float = 1.0
    """α in (0, 1]; 1: λ is uniform"""
    whole: float = 0.5
    """probability that images are mixed everywhere, not in a box"""

    default_objective: ClassVar[str | None] = "info_nce"
    modality: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        check_alpha("unmix", self.alpha)
        if not 0 <= self.whole <= 1:
            raise ValueError(f"unmix: whole must lie in [0, 1], got {self.whole}; 0 mixes in boxes alone")

    def pool_size(self, batch_size: int, train_count: int, directions: str) -> int:
        return batch_size - 1

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        return _UnMix(encoder, head, needed(contrast, "unmix"), self.alpha, self.whole)


class _UnMix(MixedLearner):
    def __init__(self, encoder: nn.Module, head: nn.Module, contrast: Contrast, alpha: float, whole: float) -> None:
        super().__init__(encoder, head, contrast, alpha)
        self.whole = whole

    def step(self, batch: Batch, context: StepContext) -> Step:
        first, second = batch.views
        taken = self.taken(first, context.generator)
        mixed = first + taken.to(first.dtype) * (first.flip(0) - first)
        plain, z, keys = self.project(torch.cat([first, mixed, second])).chunk(3)
        pool, order = Pool(keys, batch.instance, batch.labels), torch.arange(len(first), device=first.device)
        original = self.towards(order, plain, pool, context)
        unseen = replace(context, observe=False)
        one, other = (self.towards(member, z, pool, unseen).loss for member in (order, order.flip(0)))
        share = 1 - taken.mean()  # λ
        return Step(original.loss + share * one + (1 - share) * other, original.observed)

    def taken(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """[H, W]: the share of each pixel that is the other image's, 1 − λ everywhere or 1 in a box."""
        device, (height, width) = images.device, images.shape[-2:]
        left = 1 - beta(self.alpha, generator=generator, device=device)
        way, *centre = torch.rand(3, generator=generator, device=device)
        rows, columns = (
            _within(side, at, left.sqrt(), device) for side, at in zip((height, width), centre, strict=True)
        )
        box = (rows[:, None] & columns).float()
        return torch.where(way < self.whole, left.expand_as(box), box)


def _within(side: int, centre: Tensor, share: Tensor, device: torch.device) -> Tensor:
    """[side]: which places lie within half the share of the side around the centre, a uniform place in [0, 1)."""
    places, half = torch.arange(side, device=device), (share * side / 2).floor()
    middle = (centre * side).floor()
    return (places >= middle - half) & (places < middle + half)

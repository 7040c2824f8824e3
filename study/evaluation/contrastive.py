"""The contrastive loss on test images at the trial's K: the L_cont that the bounds speak of.

`study.bounds.draws` estimates it too, in NumPy: there one draw gives every term of every bound at many K, and needs
labels; here it is the loss alone, on the device, at any K and without labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from study.evaluation.evaluation import EVALUATIONS, Blocks, Encoded, Findings, Metric, OfRepresentations, of_both

BLOCKS = 40  # groups of anchors that share a draw of negatives: the replicates behind the standard error


def draw_others(m: int, k: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """K draws from an anchor's m − 1 other instances: which, counted without itself, and how often each.

    Uniform without replacement; independent draws where K exceeds what there is. Returns int64 [n] in [0, m − 1),
    distinct, and counts int64 [n] that sum to K, on the CPU.
    """
    if k < m:
        return torch.randperm(m - 1, generator=generator)[:k], torch.ones(k, dtype=torch.int64)
    return torch.randint(m - 1, (k,), generator=generator).unique(return_counts=True)


def info_nce_losses(
    anchors: Tensor, keys: Tensor, own: Tensor, drawn: Tensor, counts: Tensor, temperature: float
) -> Tensor:
    """−s⁺/t + log(e^{s⁺/t} + Σ_k e^{s_k/t}) of each anchor, in nats: one-directional, the keys are another view.

    Shapes: anchors [n, D] and keys [M, D] of unit rows; own int64 [n], the row of each positive; drawn int64 [k] in
    [0, M − 1), rows of the negatives, counted without the anchor's own, and counts [k], how often each is met → [n].
    Nozawa & Sato 2021, 2102.06866, §2.
    """
    log_counts = counts.to(anchors.dtype).log()

    def of(rows: slice) -> Tensor:
        s_pos = (anchors[rows] * keys[own[rows]]).sum(dim=1) / temperature  # [n]
        past_own = drawn >= own[rows, None]  # [n, k]
        s_neg = torch.where(past_own, anchors[rows] @ keys[drawn + 1].T, anchors[rows] @ keys[drawn].T) / temperature
        return torch.logaddexp(s_pos, (s_neg + log_counts).logsumexp(dim=1)) - s_pos

    return torch.cat(list(Blocks(len(own))(len(own), of)))


@EVALUATIONS.register("contrastive")
@dataclass(frozen=True, kw_only=True)
class Contrastive(OfRepresentations):
    """L_cont(K): InfoNCE of test images with K negatives drawn from the test split, without their own instance."""

    repetitions: int = 4
    """how often each anchor is evaluated, each time with another pair of views and other negatives"""
    max_similarities: int = 2**26
    """similarities to negatives computed in all, at most: with a great K, fewer of the test images are anchors"""

    reports: ClassVar[Mapping[str, Metric]] = of_both(
        {
            "contrastive.loss": Metric(
                "min", "nats", "L_cont: InfoNCE at the trial's K with negatives of the test split"
            ),
            "contrastive.loss_se": Metric(
                None, "nats", "standard error of L_cont over groups of anchors with their own draws"
            ),
            "contrastive.draws": Metric(
                None, "draws", "draws of an anchor, its positive and K negatives behind L_cont"
            ),
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repetitions < 1:
            raise ValueError(f"contrastive: repetitions must be at least 1, got {self.repetitions}; try 4")
        if self.max_similarities < 1:
            raise ValueError(
                f"contrastive: max_similarities must be at least 1, got {self.max_similarities}; try {2**26}"
            )

    def unavailable(self, encoded: Encoded) -> str | None:
        return "the method has no negatives" if not encoded.k else super().unavailable(encoded)

    def measure(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        views, m, k = encoded.views_test, encoded.views_test.shape[1], encoded.k or 0
        n = min(m, max(BLOCKS, self.max_similarities // (min(k, m) * self.repetitions)))
        blocks = torch.randperm(m, generator=generator)[:n].to(views.device).tensor_split(min(n, BLOCKS))
        losses = [torch.zeros(len(own), dtype=torch.float64, device=views.device) for own in blocks]
        for r in range(self.repetitions):
            anchors, keys = views[r % len(views)], views[(r + 1) % len(views)]
            for own, total in zip(blocks, losses, strict=True):
                drawn, counts = (x.to(views.device) for x in draw_others(m, k, generator=generator))
                total += info_nce_losses(anchors[own], keys, own, drawn, counts, encoded.temperature)
        loss = torch.cat(losses).mean() / self.repetitions
        replicates = torch.stack([total.mean() for total in losses]) / self.repetitions
        return Findings(
            {
                "contrastive.loss": loss.item(),
                "contrastive.loss_se": (replicates.std() / len(replicates) ** 0.5).item(),
                "contrastive.draws": float(n * self.repetitions),
            }
        )

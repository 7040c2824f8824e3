"""The contrastive loss on test images at the trial's K: the L_cont that the bounds speak of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from study.evaluation.evaluation import EVALUATIONS, Encoded, Evaluation, Findings, Metric

BLOCK = 2**22  # similarities, or negatives, held at once: 16 MiB in float32, 32 MiB of indices


def info_nce_losses(
    anchors: Tensor, keys: Tensor, own: Tensor, k: int, *, temperature: float, generator: torch.Generator
) -> Tensor:
    """−s⁺/t + log(e^{s⁺/t} + Σ_{k=1..K} e^{s_k/t}) of each anchor, its K negatives drawn anew from the other keys.

    One-directional (anchors are one view, positives and negatives another). The draws are independent and uniform
    over the M − 1 other instances, with replacement, as the theory has it, so any K is possible (Nozawa & Sato 2021,
    2102.06866, eq. 1). Shapes: anchors [n, D] and keys [M, D] of unit rows, own int64 [n] (row of the positive) → [n]
    in nats. `generator` is a CPU one.
    """
    losses = []
    rows = max(1, BLOCK // max(k, len(keys)))
    for z, i in zip(anchors.split(rows), own.split(rows), strict=True):
        logits = z @ keys.T / temperature  # [rows, M]
        drawn = torch.randint(len(keys) - 1, (len(z), k), generator=generator).to(z.device)  # [rows, K]
        drawn += drawn >= i[:, None]  # steps over the own instance
        positive = logits.gather(1, i[:, None])[:, 0]  # [rows]
        negatives = logits.gather(1, drawn).logsumexp(dim=1)  # [rows]
        losses.append(torch.logaddexp(positive, negatives) - positive)
    return torch.cat(losses)


@EVALUATIONS.register("contrastive")
@dataclass(frozen=True, kw_only=True)
class Contrastive(Evaluation):
    """L_cont(K): InfoNCE of test images with K negatives drawn at random from the test split."""

    repetitions: int = 4
    """how often each anchor is evaluated, each time with another pair of views and other negatives"""
    max_negatives: int = 2**26
    """negatives drawn in all, at most: with a great K, fewer of the test images are anchors"""

    reports: ClassVar[Mapping[str, Metric]] = {
        "contrastive.loss": Metric("min", "nats", "L_cont: InfoNCE at the trial's K with negatives of the test split"),
        "contrastive.loss_se": Metric(None, "nats", "standard error of L_cont over its anchors"),
        "contrastive.draws": Metric(None, "draws", "draws of an anchor, its positive and K negatives behind L_cont"),
    }

    def __post_init__(self) -> None:
        if self.repetitions < 1:
            raise ValueError(f"contrastive: repetitions must be at least 1, got {self.repetitions}; try 4")
        if self.max_negatives < 1:
            raise ValueError(f"contrastive: max_negatives must be at least 1, got {self.max_negatives}; try {2**26}")

    def unavailable(self, encoded: Encoded) -> str | None:
        return "the method has no negatives" if not encoded.k else super().unavailable(encoded)

    def evaluate(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        views, m, k = encoded.views_test, encoded.views_test.shape[1], encoded.k or 0
        n = min(m, max(2, self.max_negatives // (k * self.repetitions)))
        own = torch.randperm(m, generator=generator)[:n].to(views.device)
        losses = torch.zeros(n, dtype=torch.float64, device=views.device)
        for r in range(self.repetitions):
            anchors, keys = views[r % len(views)][own], views[(r + 1) % len(views)]
            losses += info_nce_losses(anchors, keys, own, k, temperature=encoded.temperature, generator=generator)
        losses /= self.repetitions  # [n]
        return Findings(
            {
                "contrastive.loss": losses.mean().item(),
                "contrastive.loss_se": (losses.std() / n**0.5).item(),
                "contrastive.draws": float(n * self.repetitions),
            }
        )

"""SimCLR with further positives of the anchor's class: the M positives of the debiased estimator (Chuang 2020)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.contrast import Contrast
from models.methods.method import METHODS, Learner, TrainingContext, needed
from models.methods.simclr import SimCLR, _SimCLR
from models.pools import Pool


@METHODS.register("simclr_same_class")
@dataclass(frozen=True, kw_only=True)
class SimCLRSameClass(SimCLR):
    """SimCLR whose anchors have further positives of their class, drawn from the batch: a reference (uses labels).

    They enter N_g of the debiased and hard objectives, as samples of p⁺; the other view stays in the numerator. Source:
    Chuang 2020, 2007.00224, eq. 7 and 8, with M > 1.
    """

    uses_labels: ClassVar[bool] = True
    default_objective: ClassVar[str | None] = "debiased"

    same_class: int = 1
    """embeddings of other instances of its class that an anchor draws; where the batch has fewer, its view stands in"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.same_class < 1:
            raise ValueError(f"simclr_same_class: same_class must be at least 1, got {self.same_class}; 0 is simclr")

    @property
    def positives(self) -> int:
        return super().positives + self.same_class

    def check(self, batch_size: int, train_count: int, epochs: int) -> None:
        if self.same_class >= batch_size:
            raise ValueError(
                f"simclr_same_class: same_class {self.same_class} is more than the other {batch_size - 1} of a batch; "
                "lower same_class or raise batch_size"
            )

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        contrast = needed(contrast, "simclr_same_class")
        made = _SameClass(encoder, head, contrast, self.rows_a_draw(contrast.directions))
        made.same_class = self.same_class
        return made


class _SameClass(_SimCLR):
    same_class: int

    def of_its_class(
        self, positive: Tensor, pool: Pool, instance: Tensor, labels: Tensor | None, *, generator: torch.Generator
    ) -> list[Tensor]:
        if labels is None or pool.labels is None:
            raise ValueError("simclr_same_class learns from labels, but the data has none; choose simclr")
        fits = (labels[:, None] == pool.labels) & (instance[:, None] != pool.instance)  # [B, P]
        order = torch.rand(fits.shape, generator=generator, device=fits.device).masked_fill_(~fits, -1)
        score, column = order.topk(self.same_class, dim=1)
        drawn = zip(score.unbind(dim=1), column.unbind(dim=1), strict=True)
        return [torch.where(s[:, None] >= 0, pool.keys[at], positive) for s, at in drawn]

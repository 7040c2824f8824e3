"""SimCLR with easy positives: of its class, the example that the anchor is nearest to (Xuan 2020, 1904.04370)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.contrast import Contrast
from models.methods.method import METHODS, Learner, TrainingContext, needed
from models.methods.simclr import SimCLR, _SimCLR
from models.pools import Pool


@METHODS.register("simclr_easy_positive")
@dataclass(frozen=True, kw_only=True)
class SimCLREasyPositive(SimCLR):
    """SimCLR whose positive is the nearest embedding of another instance of the anchor's class (uses labels).

    Where the batch has none, the other view is the positive. The positive stays in the pool: give a strategy that
    leaves out the anchor's class, `without_same_class` or `semi_hard_other_class`, as the authors do.
    Source: Xuan, Stylianou & Pless 2020, 1904.04370, easy-positive mining.
    """

    uses_labels: ClassVar[bool] = True

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        contrast = needed(contrast, "simclr_easy_positive")
        return _EasyPositive(encoder, head, contrast, self.rows_a_draw(contrast.directions))


class _EasyPositive(_SimCLR):
    def mined(self, anchors: Tensor, positive: Tensor, pool: Pool, instance: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None or pool.labels is None:
            raise ValueError("simclr_easy_positive learns from labels, but the data has none; choose simclr")
        fits = (labels[:, None] == pool.labels) & (instance[:, None] != pool.instance)  # [B, P]
        similarity = (anchors.detach() @ pool.keys.detach().T).masked_fill_(~fits, -2)
        best, column = similarity.max(dim=1)
        return torch.where(best[:, None] > -2, pool.keys[column], positive)

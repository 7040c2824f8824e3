"""MoCHi: synthetic negatives mixed from each anchor's own hardest keys (Kalantidis 2020, 2010.01028)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.blocks import row_blocks
from models.negatives.rank import hardest
from models.negatives.strategy import STRATEGIES, Candidates, Selection, Strategy


@STRATEGIES.register("mixing")
@dataclass(frozen=True, kw_only=True)
class Mixing(Strategy):
    """All K candidates, and synthetic ones mixed from each anchor's n hardest: MoCHi(n, s, s′) (Kalantidis 2020).

    s points normalise(α n_i + (1 − α) n_j) with α ~ U(0, 1), i ≠ j, and s′ points normalise(β q + (1 − β) n_j) with
    β ~ U(0, ½). Source: 2010.01028.
    """

    n: int = 1024
    """hardest keys of an anchor that are mixed; all K where there are fewer"""
    s: int = 512
    """synthetic points from pairs of those"""
    s_prime: int = 256
    """synthetic points between the anchor and one of those"""
    warmup_epochs: int = 10
    """epochs before the mixing starts"""

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ValueError(f"mixing: n must be at least 2, since pairs are mixed, got {self.n}")
        if min(self.s, self.s_prime) < 0 or self.s + self.s_prime == 0:
            raise ValueError(f"mixing: s and s_prime are counts, not both 0, got s={self.s}, s_prime={self.s_prime}")
        if self.warmup_epochs < 0:
            raise ValueError(f"mixing: warmup_epochs must not be negative, got {self.warmup_epochs}")

    def check(self, epochs: int, k: int) -> None:
        if self.warmup_epochs >= epochs:
            raise ValueError(
                f"mixing: warmup_epochs {self.warmup_epochs} leaves none of the {epochs} epochs to mix in; "
                "lower warmup_epochs or raise epochs"
            )

    def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
        if candidates.epoch < self.warmup_epochs:
            return Selection()
        keys = candidates.keys
        shape = (len(candidates.anchors), self.s + self.s_prime, keys.shape[1])
        points = keys.new_empty(shape)
        for at in row_blocks(candidates.similarity.shape, keys.device):
            self._mix(candidates.rows(at), points[at], generator=generator)
        return Selection(synthetic=points)

    def _mix(self, candidates: Candidates, points: Tensor, *, generator: torch.Generator) -> None:
        """Write the points of a block of the anchors into points [b, s + s′, D]."""
        anchors, keys, device = candidates.anchors, candidates.keys, candidates.keys.device
        b, n = len(anchors), min(self.n, int(torch.as_tensor(candidates.count()).min()))
        near = hardest(candidates.ranked_by(candidates.similarity), n)  # [b, n]
        i = torch.randint(n, (b, self.s + self.s_prime), generator=generator, device=device)
        step = torch.randint(1, max(n, 2), (b, self.s), generator=generator, device=device)
        weight = torch.rand(b, self.s + self.s_prime, 1, generator=generator, device=device).to(keys.dtype)
        mixed, partner = points, torch.empty_like(points[:, : self.s])
        for rows, index in ((mixed, i), (partner, (i[:, : self.s] + step) % n)):
            torch.index_select(keys, 0, near.gather(1, index).flatten(), out=rows.view(-1, keys.shape[1]))
        mixed[:, : self.s].lerp_(partner, weight[:, : self.s])
        mixed[:, self.s :].lerp_(anchors[:, None], weight[:, self.s :] / 2)
        norm = torch.linalg.vector_norm(mixed, dim=2, keepdim=True)
        mixed.div_(norm.clamp_(min=torch.finfo(norm.dtype).tiny))

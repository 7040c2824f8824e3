"""A strategy of negatives of one's own: those less similar to the anchor than its positive is, within a margin."""

from dataclasses import dataclass

import torch

from models.negatives import STRATEGIES, Candidates, Selection, Strategy
from study import Study, TrialConfig, grid


@STRATEGIES.register("easier-than-positive")
@dataclass(frozen=True, kw_only=True)
class EasierThanPositive(Strategy):
    """Negatives whose cosine with the anchor is below the positive's plus a margin."""

    margin: float = 0.0
    """added to the positive's cosine, in [−2, 2]"""

    def __post_init__(self) -> None:
        if not -2 <= self.margin <= 2:
            raise ValueError(f"easier-than-positive: margin must lie in [-2, 2], got {self.margin}; set margin=0")

    def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
        assert candidates.positive is not None  # [B], which every method with a positive gives
        limit = candidates.positive[:, None] + self.margin  # [B, 1]
        return Selection.keep(candidates.similarity < limit)  # bool [B, P]


study = Study(
    "own-strategy",
    question="Does it help to leave out the negatives that are harder than the positive?",
    base=TrialConfig(
        data={"name": "shapes", "train_size": 2000},
        encoder={"name": "conv-small", "width": 16},
        batch_size=128,
        epochs=5,
    ),
    space={"negatives": grid("all", "easier-than-positive", {"name": "easier-than-positive", "margin": 0.1})},
    seeds=2,
)
if __name__ == "__main__":
    print(study.run())

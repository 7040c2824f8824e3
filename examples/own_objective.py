"""An objective of one's own: InfoNCE with a margin on the positive's cosine, as CosFace has it for classes."""

from torch import Tensor

from models.objectives import OBJECTIVES, info_nce
from study import Study, TrialConfig, grid


@OBJECTIVES.register("margin-info-nce", directions="one")
def margin_info_nce(
    positive: Tensor, negatives: Tensor, *, temperature: float, log_weight: Tensor | None = None, margin: float = 0.1
) -> Tensor:
    """InfoNCE of s⁺ − m: the positive has to be nearer by m; m = 0 is InfoNCE (Wang 2018, 1801.09414, for classes).

    Shapes: positive [B], negatives [B, K], log_weight [B, K]. Nats.
    """
    if margin < 0:
        raise ValueError(f"margin-info-nce: margin must not be negative, got {margin}; such as margin=0.1")
    return info_nce(positive - margin, negatives, temperature=temperature, log_weight=log_weight)


study = Study(
    "own-objective",
    question="Does a margin on the positive help?",
    base=TrialConfig(
        data={"name": "shapes", "train_size": 2000},
        encoder={"name": "conv-small", "width": 16},
        batch_size=128,
        epochs=5,
    ),
    space={"objective": grid("info_nce", {"name": "margin-info-nce", "margin": 0.2})},
    seeds=2,
)
if __name__ == "__main__":
    print(study.run())

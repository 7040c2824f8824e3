"""A small learner of a method that mixes images, and a batch for it."""

import torch
from torch import nn

from models.contrast import Contrast
from models.encoders import Encoder
from models.methods import METHODS, Batch, Learner, TrainingContext
from models.negatives import STRATEGIES
from models.objectives import OBJECTIVES

B = 6


def learner(method: str, *, side: int, **params: float) -> Learner:
    torch.manual_seed(0)
    head = nn.Linear(6, 4)
    head.output_dim = 4
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(3 * side**2, 6), nn.Tanh())
    contrast = Contrast(STRATEGIES["all"](), OBJECTIVES["info_nce"], directions="one")
    training = TrainingContext(B, 64, 4, 10, torch.Generator().manual_seed(0))
    made = METHODS[method](**params).learner(
        Encoder(encoder, feature_dim=6, modality="image"), head, contrast, training
    )
    return made.double()


def batch(*, side: int) -> Batch:
    g = torch.Generator().manual_seed(1)
    views = tuple(torch.randn(B, 3, side, side, generator=g, dtype=torch.float64) for _ in range(2))
    return Batch(views, torch.arange(B) + 10, None)

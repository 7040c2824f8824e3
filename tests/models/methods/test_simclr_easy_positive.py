"""Easy positives, against a search through the batch."""

import math

import pytest
import torch
from torch import Tensor, nn

from models.contrast import Contrast, StepContext
from models.encoders import Encoder
from models.methods import METHODS, Batch, Learner, TrainingContext
from models.negatives import STRATEGIES, Strategy
from models.objectives import OBJECTIVES

B, T = 6, 0.5


def learner(strategy: Strategy, objective: str = "nt_xent") -> Learner:
    torch.manual_seed(0)
    head = nn.Linear(6, 4)
    head.output_dim = 4
    encoder = Encoder(nn.Sequential(nn.Flatten(), nn.Linear(12, 6)), feature_dim=6, modality="text")
    training = TrainingContext(B, 64, 4, 10, torch.Generator().manual_seed(0))
    contrast = Contrast(strategy, OBJECTIVES[objective])
    return METHODS["simclr_easy_positive"]().learner(encoder, head, contrast, training).double()


def batch(labels: list[int] | None) -> Batch:
    g = torch.Generator().manual_seed(1)
    views = tuple(torch.randn(B, 12, generator=g, dtype=torch.float64) for _ in range(2))
    return Batch(views, torch.arange(B), None if labels is None else torch.tensor(labels))


def easiest(z: Tensor, labels: list[int], i: int) -> int:
    """The nearest of its class among other instances; its other view where there is none."""
    of_class = [j for j in range(2 * B) if j % B != i % B and labels[j % B] == labels[i % B]]
    return min(of_class, key=lambda j: float((z[i] - z[j]).norm()), default=(i + B) % (2 * B))


def others(labels: list[int], i: int) -> list[int]:
    return [j for j in range(2 * B) if labels[j % B] != labels[i % B]]


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 3]])
def test_the_positive_is_the_nearest_of_its_class_and_negatives_are_of_others(labels: list[int]) -> None:
    trained, given = learner(STRATEGIES["without_same_class"]()), batch(labels)
    loss = trained.step(given, StepContext(torch.Generator().manual_seed(0), T)).loss
    z = trained.project(torch.cat(given.views)).detach().double()
    e = (z @ z.T / T).exp()
    losses = []
    for i in range(2 * B):
        own = e[i, easiest(z, labels, i)]
        losses.append(-math.log(own / (own + sum(e[i, j] for j in others(labels, i)))))
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-9)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in trained.parameters())


def test_triplets_of_an_easy_positive_and_the_hardest_semi_hard_negative_are_xuans() -> None:
    labels = [0, 0, 1, 1, 2, 2]
    trained = learner(STRATEGIES["semi_hard_other_class"](margin=None, count=1), "triplet")
    given = batch(labels)
    loss = trained.step(given, StepContext(torch.Generator().manual_seed(0), T)).loss
    z = trained.project(torch.cat(given.views)).detach().double()
    losses = []
    for i in range(2 * B):
        near = float((z[i] - z[easiest(z, labels, i)]).square().sum())
        further = [float((z[i] - z[j]).square().sum()) for j in others(labels, i)]
        hardest = min((d for d in further if d > near), default=math.inf)
        losses.append(max(0.0, near - hardest + 0.2))
    assert any(losses)
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-9)


def test_it_learns_from_labels() -> None:
    with pytest.raises(ValueError, match="learns from labels, but the data has none; choose simclr"):
        learner(STRATEGIES["all"]()).step(batch(None), StepContext(torch.Generator(), T))

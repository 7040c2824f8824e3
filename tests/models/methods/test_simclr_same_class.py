"""Positives of the anchor's class in the debiased estimator, against the estimator written out."""

import math

import pytest
import torch
from torch import Tensor, nn

from models.contrast import Contrast, StepContext
from models.encoders import Encoder
from models.methods import METHODS, Batch, Learner, TrainingContext
from models.negatives import STRATEGIES
from models.objectives import OBJECTIVES
from models.pools import Pool

B, T = 6, 0.5


def learner(objective: str, directions: str = "both", **params: int) -> Learner:
    torch.manual_seed(0)
    head = nn.Linear(6, 4)
    head.output_dim = 4
    encoder = Encoder(nn.Sequential(nn.Flatten(), nn.Linear(12, 6)), feature_dim=6, modality="text")
    contrast = Contrast(STRATEGIES["all"](), OBJECTIVES[objective], directions=directions)
    training = TrainingContext(B, 64, 4, 10, torch.Generator().manual_seed(0))
    return METHODS["simclr_same_class"](**params).learner(encoder, head, contrast, training).double()


def batch(labels: list[int]) -> Batch:
    g = torch.Generator().manual_seed(1)
    views = tuple(torch.randn(B, 12, generator=g, dtype=torch.float64) for _ in range(2))
    return Batch(views, torch.arange(B), torch.tensor(labels))


def written_out(z: Tensor, labels: list[int], beta: float) -> float:
    """The mean over 2B anchors, each with all same-class embeddings of other instances as positives."""
    losses = []
    e = (z @ z.T / T).exp()
    for i in range(2 * B):
        view = (i + B) % (2 * B)
        of_class = [j for j in range(2 * B) if j % B != i % B and labels[j % B] == labels[i % B]]
        negatives = [e[i, j] for j in range(2 * B) if j % B != i % B]
        weights = [x**beta for x in negatives]
        total = len(negatives) * sum(w * x for w, x in zip(weights, negatives, strict=True)) / sum(weights)
        mean = sum(e[i, j] for j in [view, *of_class]) / (1 + len(of_class))
        ng = max((total - len(negatives) * 0.1 * mean) / 0.9, len(negatives) * math.exp(-1 / T))
        losses.append(-math.log(e[i, view] / (e[i, view] + ng)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("objective", "beta"), [("debiased", 0.0), ("hard", 1.0)])
def test_the_correction_takes_the_mean_over_view_and_same_class_positives(objective: str, beta: float) -> None:
    labels = [0, 0, 1, 1, 2, 2]  # two other embeddings of its class an anchor
    trained, given = learner(objective, same_class=2), batch(labels)
    step = trained.step(given, StepContext(torch.Generator().manual_seed(0), T))
    z = trained.project(torch.cat(given.views)).detach().double()
    assert step.loss.item() == pytest.approx(written_out(z, labels, beta), rel=1e-9)
    step.loss.backward()
    assert all(p.grad.isfinite().all() for p in trained.parameters())


def test_where_the_batch_has_none_of_its_class_the_view_stands_in() -> None:
    given = batch(list(range(B)))
    context = StepContext(torch.Generator().manual_seed(0), T)
    alone = learner("debiased", same_class=3).step(given, context).loss
    z = learner("debiased").project(torch.cat(given.views)).detach().double()
    assert alone.item() == pytest.approx(written_out(z, list(range(B)), 0.0), rel=1e-9)


def test_positives_are_drawn_without_replacement_and_anew_each_step() -> None:
    trained, labels = learner("debiased", same_class=1), [0] * B
    z = nn.functional.normalize(torch.randn(2 * B, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    instance = torch.arange(B).repeat(2)
    pool = Pool(z, instance, torch.tensor(labels).repeat(2))
    g = torch.Generator().manual_seed(0)
    trained.same_class = 2 * B - 2
    every = torch.stack(trained.of_its_class(z, pool, instance, pool.labels, generator=g), dim=1)
    for i in range(2 * B):
        others = z[instance != instance[i]]
        torch.testing.assert_close(every[i].sort(dim=0).values, others.sort(dim=0).values)
    again = torch.stack(trained.of_its_class(z, pool, instance, pool.labels, generator=g), dim=1)
    assert not torch.equal(every[:, 0], again[:, 0])


def test_out_of_range_is_refused_and_labels_are_needed() -> None:
    with pytest.raises(ValueError, match="same_class must be at least 1, got 0; 0 is simclr"):
        METHODS["simclr_same_class"](same_class=0)
    with pytest.raises(ValueError, match="more than the other 5 of a batch"):
        METHODS["simclr_same_class"](same_class=6).check(6, 100, 10)
    unlabelled = Batch(batch([0] * B).views, torch.arange(B), None)
    with pytest.raises(ValueError, match="learns from labels"):
        learner("debiased").step(unlabelled, StepContext(torch.Generator(), T))

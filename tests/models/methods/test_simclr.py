"""The unit of SimCLR's K: embeddings of the batch, or instances with both their views."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.contrast import Contrast, StepContext
from models.encoders import Encoder
from models.methods import METHODS, Batch, Learner, TrainingContext
from models.negatives import STRATEGIES, Candidates, Filter
from models.objectives import OBJECTIVES

B = 8


class Offered(Filter):
    """Keeps all, and what it was offered."""

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        SEEN.append(candidates)
        return torch.ones_like(candidates.similarity)


SEEN: list[Candidates] = []


def learner(k: int | None, objective: str, **params: Any) -> Learner:
    torch.manual_seed(0)
    SEEN.clear()
    directions = OBJECTIVES.trait(objective, "directions")
    contrast = Contrast(Offered(), OBJECTIVES[objective], k=k, directions=directions)
    head = nn.Linear(6, 4)
    head.output_dim = 4
    encoder = Encoder(nn.Sequential(nn.Flatten(), nn.Linear(12, 6)), feature_dim=6, modality="text")
    training = TrainingContext(B, 64, 4, 10, torch.Generator().manual_seed(0))
    return METHODS["simclr"](**params).learner(encoder, head, contrast, training)


def step(trained: Learner) -> Any:
    g = torch.Generator().manual_seed(1)
    views = (torch.randn(B, 12, generator=g), torch.randn(B, 12, generator=g))
    context = StepContext(torch.Generator().manual_seed(0), 0.5, observe=True)
    return trained.step(Batch(views, torch.arange(B), None), context), views


def test_nozawa_and_satos_k_is_the_batch_less_one_trained_on_both_views_of_all_others() -> None:
    method = METHODS["simclr"](k_counts="instances")
    assert method.pool_size(B, 64, "both") == B - 1
    trained = learner(B - 1, "nt_xent", k_counts="instances")
    made, views = step(trained)
    assert made.observed["k"] == 2 * B - 2
    z = trained.project(torch.cat(views))
    logits = (z @ z.T / 0.5).fill_diagonal_(-torch.inf)
    expected = F.cross_entropy(logits, torch.arange(2 * B).roll(B))  # the authors' NT_Xent, of two views
    torch.testing.assert_close(made.loss, expected)
    torch.testing.assert_close(made.loss, step(learner(None, "nt_xent"))[0].loss)


@pytest.mark.parametrize("k", [1, 3, B - 1])
def test_an_instance_is_offered_with_both_its_views_or_not_at_all(k: int) -> None:
    made, _ = step(learner(k, "nt_xent", k_counts="instances"))
    (given,) = SEEN
    assert given.offered is not None
    one, two = given.offered.chunk(2, dim=1)
    assert torch.equal(one, two)
    assert (one.sum(1) == k).all()
    assert not one[torch.arange(2 * B), torch.arange(B).repeat(2)].any(), "never its own"
    assert given.count() == 2 * k == made.observed["k"]


def test_in_one_direction_instances_and_rows_are_one() -> None:
    assert METHODS["simclr"](k_counts="instances").pool_size(B, 64, "one") == B - 1
    losses = [step(learner(3, "info_nce", k_counts=counted))[0].loss for counted in ("rows", "instances")]
    assert torch.equal(*losses)


def test_anything_else_is_refused() -> None:
    with pytest.raises(ValueError, match="k_counts is 'rows' or 'instances', got 'views'"):
        METHODS["simclr"](k_counts="views")


def test_every_strategy_is_still_a_strategy_of_rows() -> None:
    trained = learner(4, "nt_xent", k_counts="instances")
    trained.contrast = Contrast(STRATEGIES["difficulty"](hi=0.25), OBJECTIVES["nt_xent"], k=8)
    assert step(trained)[0].observed["k_eff"] == 2, "a quarter of 2K = 8"

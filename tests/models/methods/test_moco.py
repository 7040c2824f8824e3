"""MoCo's batch normalisation: whole, over parts, and over other parts for the keys."""

import pytest
import torch
from torch import Tensor, nn

from models.contrast import Contrast, StepContext
from models.encoders import Encoder
from models.methods import METHODS, Batch, Learner, TrainingContext
from models.negatives import STRATEGIES
from models.objectives import OBJECTIVES

B = 16


def learner(**params: object) -> Learner:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU())
    head = nn.Linear(8, 4)
    head.output_dim = 4
    method = METHODS["moco"](queue_size=32, **params)
    contrast = Contrast(STRATEGIES["all"](), OBJECTIVES["info_nce"])
    training = TrainingContext(B, 64, 4, 10, torch.Generator().manual_seed(0))
    return method.learner(Encoder(layers, feature_dim=8, modality="text"), head, contrast, training).train()


def views() -> Tensor:
    return torch.randn(B, 12, generator=torch.Generator().manual_seed(1))


def by_parts(trained: Learner, x: Tensor, parts: Tensor) -> Tensor:
    """Keys where each row of `parts` is a batch of its own, in the order of x."""
    keys = torch.empty(B, 4)
    for rows in parts:
        keys[rows] = nn.functional.normalize(trained.key_head(trained.key_encoder(x[rows])), dim=1)
    return keys


def test_split_keys_and_queries_see_the_statistics_of_their_part_alone() -> None:
    whole, split = learner(), learner(batch_norm="split", parts=4)
    with torch.no_grad():
        expected = by_parts(whole, views(), torch.arange(B).view(4, 4))
        torch.testing.assert_close(split.project_keys(views(), generator=torch.Generator()), expected)
        torch.testing.assert_close(split.project(views()), expected)
        assert not torch.allclose(whole.project(views()), expected)


def test_shuffled_keys_are_normalised_with_others_and_come_back_in_their_order() -> None:
    whole, shuffled = learner(), learner(batch_norm="shuffle", parts=4)
    order = torch.randperm(B, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        keys = shuffled.project_keys(views(), generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(keys, by_parts(whole, views(), order.view(4, 4)))
        torch.testing.assert_close(shuffled.project(views()), by_parts(whole, views(), torch.arange(B).view(4, 4)))


@pytest.mark.parametrize("batch_norm", ["whole", "split", "shuffle"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_learns(batch_norm: str, dtype: torch.dtype) -> None:
    trained = learner(batch_norm=batch_norm)
    batch = Batch((views(), views() + 0.1), torch.arange(B), None)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        step = trained.step(batch, StepContext(torch.Generator().manual_seed(0), 0.2))
    step.loss.backward()
    assert step.loss.isfinite()
    assert all(p.grad.isfinite().all() for p in trained.encoder.parameters())
    trained.after_step(0.1)


@pytest.mark.parametrize(
    ("params", "message"),
    [({"batch_norm": "none"}, "'whole', 'split' or 'shuffle'"), ({"batch_norm": "split", "parts": 1}, "at least 2"),
     ({"parts": 4}, "has no parts")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        METHODS["moco"](**params)


@pytest.mark.parametrize("size", [60, 8])
def test_a_batch_that_does_not_part_is_refused(size: int) -> None:
    METHODS["moco"](queue_size=128).check(size, 1000, 10)
    with pytest.raises(ValueError, match="does not part into 8 equal ones"):
        METHODS["moco"](queue_size=128, batch_norm="shuffle").check(size, 1000, 10)

"""Rings, mixing and cancellation: what is theirs alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.negatives import STRATEGIES, Candidates, Selection


def unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def candidates(rows: int = 200, **fields: object) -> Candidates:
    anchors, keys = unit(6, 12), unit(rows, 12, seed=1)
    return Candidates(anchors @ keys.T, anchors, keys, **fields)


def select(name: str, given: Candidates, seed: int = 0, **params: object) -> Selection:
    return STRATEGIES[name](**params).select(given, generator=torch.Generator().manual_seed(seed))


def kept_ranks(selection: Selection, given: Candidates) -> set[int]:
    rank = given.similarity.argsort(dim=1, descending=True).argsort(dim=1)
    ranks = [set(row[weight == 0].tolist()) for row, weight in zip(rank, selection.log_weight, strict=True)]
    assert all(r == ranks[0] for r in ranks)
    return ranks[0]


def test_ring_lies_between_its_edges_and_a_ball_has_none_inside() -> None:
    given = candidates()
    assert kept_ranks(select("ring", given, outer=0.2, inner=0.1), given) == set(range(4, 40))
    assert kept_ranks(select("ball", given, outer=0.2), given) == set(range(40))
    assert kept_ranks(select("ring", given, outer=0.003, inner=0.9), given) == {0}
    assert kept_ranks(select("hardest", given, alpha=0.0819), given) == set(range(16))


def test_ring_shrinks_from_the_whole_over_its_annealing() -> None:
    ring = STRATEGIES["ring"](outer=0.2, inner=0.0, anneal_epochs=4)
    assert [ring.outer_at(e) for e in (0, 2, 4, 9)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    for epoch, count in [(0, 200), (2, 120), (4, 40)]:
        given = candidates(epoch=epoch, epochs=10)
        assert kept_ranks(ring.select(given, generator=torch.Generator()), given) == set(range(count))


@pytest.mark.parametrize(
    ("name", "params"),
    [("ring", {"anneal_epochs": 5}), ("ball", {"anneal_epochs": 5}), ("mixing", {"warmup_epochs": 4})],
)
def test_warmups_longer_than_the_training_are_refused(name: str, params: dict[str, int]) -> None:
    strategy = STRATEGIES[name](**params)
    strategy.check(10, 1000)
    with pytest.raises(ValueError, match="epochs"):
        strategy.check(4, 1000)


def test_mixing_waits_for_its_warmup() -> None:
    params = {"n": 5, "s": 4, "s_prime": 3, "warmup_epochs": 2}
    assert select("mixing", candidates(epoch=1, epochs=10), **params).synthetic is None
    assert select("mixing", candidates(epoch=2, epochs=10), **params).synthetic.shape == (6, 7, 12)


def test_mixed_points_lie_between_two_of_the_anchors_own_hardest() -> None:
    given = candidates(epoch=1, epochs=2)
    points = select("mixing", given, n=5, s=8, s_prime=6, warmup_epochs=0).synthetic
    for b in range(6):
        hardest = given.keys[given.similarity[b].topk(5).indices]
        for point in points[b, :8]:
            coefficients = torch.linalg.lstsq(hardest.T, point[:, None]).solution[:, 0]
            torch.testing.assert_close(hardest.T @ coefficients, point)
            assert (coefficients.abs() > 1e-9).sum() == 2
            assert coefficients.min() > -1e-9
        for point in points[b, 8:]:
            basis = torch.cat([given.anchors[b : b + 1], hardest])
            coefficients = torch.linalg.lstsq(basis.T, point[:, None]).solution[:, 0]
            torch.testing.assert_close(basis.T @ coefficients, point)
            assert (coefficients[1:].abs() > 1e-9).sum() == 1
            assert 0 < coefficients[0] < coefficients[1:].max(), "β is below one half"


def test_cancellation_finds_the_most_similar_that_reach_the_threshold() -> None:
    given = candidates()
    assert kept_ranks(select("false_negative_cancellation", given, top_k=3), given) == set(range(3, 200))
    threshold = float(given.similarity.topk(2, dim=1).values[:, 1].max())
    both = select("false_negative_cancellation", given, top_k=3, threshold=threshold)
    left_out = both.log_weight != 0
    top = given.similarity >= given.similarity.topk(3, dim=1).values[:, 2:]
    assert torch.equal(left_out, top & (given.similarity >= threshold))
    any_number = select("false_negative_cancellation", given, top_k=None, threshold=threshold)
    assert torch.equal(any_number.log_weight != 0, given.similarity >= threshold)


def test_only_what_is_offered_is_attracted_whatever_the_threshold() -> None:
    given = candidates()
    offered = torch.arange(200).expand(6, -1) % 2 == 0
    near = replace(given, similarity=given.similarity.abs() + 0.5, offered=offered)
    selection = select("false_negative_cancellation", near, mode="attract", top_k=None, threshold=-1.0)
    assert torch.equal(selection.attract, offered)


def test_what_is_attracted_is_what_would_be_eliminated() -> None:
    given = candidates()
    attracted = select("false_negative_cancellation", given, mode="attract", top_k=7)
    eliminated = select("false_negative_cancellation", given, mode="eliminate", top_k=7)
    assert attracted.log_weight is None
    assert torch.equal(attracted.attract, eliminated.log_weight != 0)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("ring", {"outer": 0.0}, "outer"), ("ring", {"inner": 1.0}, "inner"), ("ring", {"anneal_epochs": -1}, "anneal"),
        ("ball", {"outer": 1.5}, "outer"), ("hardest", {"alpha": 0.0}, "alpha"), ("mixing", {"n": 1}, "n must be"),
        ("mixing", {"s": 0, "s_prime": 0}, "counts"), ("mixing", {"warmup_epochs": -1}, "warmup"),
        ("semantic", {"lo": 0.5, "hi": 0.5}, "lo < hi"), ("uniform", {}, "either fraction or count"),
        ("uniform", {"fraction": 0.0}, "fraction"), ("uniform", {"count": 0}, "count"),
        ("false_negative_cancellation", {"mode": "ignore"}, "mode"),
        ("false_negative_cancellation", {"top_k": None}, "top_k=10"),
        ("false_negative_cancellation", {"top_k": 0}, "top_k"),
        ("false_negative_cancellation", {"threshold": 1.5}, "threshold"),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(name: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        STRATEGIES[name](**params)


def test_uniform_keeps_a_count_or_a_share() -> None:
    given = candidates()
    assert (select("uniform", given, count=7).log_weight == 0).sum(1).eq(7).all()
    assert (select("uniform", given, count=7000).log_weight == 0).sum(1).eq(200).all()
    assert (select("uniform", given, fraction=0.05).log_weight == 0).sum(1).eq(10).all()

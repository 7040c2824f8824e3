import pytest
import torch
from torch import Tensor

from models.negatives import STRATEGIES, Candidates


def candidates(anchors: int = 8, rows: int = 1000, *, offered: Tensor | None = None, seed: int = 0) -> Candidates:
    g = torch.Generator().manual_seed(seed)
    a = torch.nn.functional.normalize(torch.randn(anchors, 16, generator=g), dim=1)
    k = torch.nn.functional.normalize(torch.randn(rows, 16, generator=g), dim=1)
    return Candidates(a @ k.T, a, k, offered)


def kept(name: str, given: Candidates, seed: int = 0, **params: float) -> Tensor:
    selection = STRATEGIES[name](**params).select(given, generator=torch.Generator().manual_seed(seed))
    return selection.log_weight > float("-inf")


@pytest.mark.parametrize(
    ("name", "count", "mean_is"),
    [("hardest_5pct", 50, "higher"), ("easiest_95pct", 950, "lower"), ("without_hardest_0.1pct", 999, "lower"),
     ("hardest_5pct_without_0.1pct", 49, "higher")],
)  # fmt: skip
def test_conditions_of_cai_and_their_equal_count_controls(name: str, count: int, mean_is: str) -> None:
    given = candidates()
    mask, control = kept(name, given), kept(f"{name}_control", given)
    assert mask.sum(1).eq(count).all()
    assert control.sum(1).eq(count).all()
    inside, average = given.similarity[mask].mean(), given.similarity.mean()
    assert inside > average if mean_is == "higher" else inside < average
    assert not torch.equal(mask, control)


def test_hardest_and_easiest_part_the_candidates() -> None:
    given = candidates()
    hardest = kept("hardest_5pct", given)
    assert torch.equal(hardest, ~kept("easiest_95pct", given))
    assert given.similarity.where(hardest, 2).amin(1).ge(given.similarity.where(~hardest, -2).amax(1)).all()


def test_band_is_of_the_candidates_that_are_offered() -> None:
    offered = torch.rand(8, 1000, generator=torch.Generator().manual_seed(1)) < 0.4
    given = candidates(offered=offered)
    mask = kept("difficulty", given, lo=0.1, hi=0.3)
    assert not (mask & ~offered).any()
    for row in range(8):
        k = int(offered[row].sum())
        ranked = given.similarity[row][offered[row]].sort(descending=True).values[k // 10 : int(0.3 * k)]
        assert torch.equal(given.similarity[row][mask[row]].sort(descending=True).values, ranked)


def test_controls_are_uniform_over_the_candidates() -> None:
    given = candidates(2, 20)
    g = torch.Generator().manual_seed(0)
    strategy = STRATEGIES["difficulty_control"](lo=0.0, hi=0.25)
    times = sum((strategy.select(given, generator=g).log_weight == 0).double() for _ in range(4000))
    deviation = (times - 1000) / (4000 * 0.25 * 0.75) ** 0.5
    assert deviation.abs().max() < 4.5


def test_control_of_each_anchor_is_its_own_draw() -> None:
    control = kept("hardest_5pct_control", candidates())
    assert (control[0] & control[1]).sum() < 20  # 2.5 of 50 are expected in common


@pytest.mark.parametrize(("lo", "hi"), [(0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (0.0, 1.1)])
@pytest.mark.parametrize("name", ["difficulty", "difficulty_control", "without_same_class_in"])
def test_bands_that_select_nothing_are_refused(name: str, lo: float, hi: float) -> None:
    with pytest.raises(ValueError, match=r"a band needs 0 <= lo < hi <= 1"):
        STRATEGIES[name](lo=lo, hi=hi)

"""Bands that round away at a small K are refused, with the smallest K that works: the next one below is refused too."""

import re

import pytest

from models.negatives import STRATEGIES, Strategy

CASES = [
    ("without_hardest_0.1pct", {}, 1000), ("without_hardest_0.1pct_control", {}, 1000), ("hardest_5pct", {}, 20),
    ("hardest_5pct_without_0.1pct", {}, 1000), ("easiest_95pct", {}, 20), ("difficulty", {"hi": 0.29}, 4),
    ("difficulty", {"lo": 0.3, "hi": 0.4}, 5), ("without_same_class_in", {}, 20),
    ("without_same_class_in", {"lo": 0.01, "hi": 0.5}, 100), ("ball", {}, 10), ("ring", {}, 1000),
    ("ring", {"outer": 0.5, "inner": 0.1}, 20), ("hardest", {}, 13), ("uniform", {"fraction": 0.05}, 20),
]  # fmt: skip


def refused(strategy: Strategy, k: int) -> str:
    try:
        strategy.check(10, k)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("name", "params", "least"), CASES)
def test_the_smallest_k_that_works_is_named_at_every_k_below_it(name: str, params: dict, least: int) -> None:
    strategy = STRATEGIES[name](**params)
    assert not refused(strategy, least)
    for k in range(1, least):
        assert f"raise k to {least}, the smallest" in refused(strategy, k), k


def test_a_narrow_band_may_round_away_above_a_k_that_works() -> None:
    narrow = STRATEGIES["difficulty"](lo=0.5, hi=0.51)
    works = {k for k in range(1, 300) if not refused(narrow, k)}
    assert works == {k for k in range(2, 300) if int(0.51 * k + 1e-6) > int(0.5 * k + 1e-6)}
    for k in set(range(1, 250)) - works:
        told = int(re.search(r"raise k to (\d+)", refused(narrow, k))[1])
        assert told == min(w for w in works if w > k)


@pytest.mark.parametrize("name", ["all", "difficulty", "only_same_class", "mixing", "semantic"])
def test_a_strategy_that_removes_no_share_takes_any_k(name: str) -> None:
    STRATEGIES[name]().check(20, 1)

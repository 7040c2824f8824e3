"""Importance and response curves, on a metric whose dependence is known."""

import numpy as np
import pandas as pd
import pytest

from study.analysis.importance import importance, response_curve


def table(count: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "lr": 10 ** rng.uniform(-4, -1, count),
            "strategy": rng.choice(["all", "hardest"], count),
            "width": rng.integers(1, 5, count),
            "constant": 1,
            "seed": rng.integers(3, size=count),
        }
    )
    frame["accuracy"] = np.log10(frame["lr"]) + 0.4 * (frame["strategy"] == "hardest") + 0.02 * rng.normal(size=count)
    return frame


def test_the_parameter_that_matters_most_comes_first_with_an_interval_around_its_share():
    names = ["width", "lr", "constant", "strategy"]
    result = importance(table(), names, "accuracy", generator=np.random.default_rng(0), resamples=4, trees=16)
    assert result["parameter"].tolist() == ["lr", "strategy", "width"]
    assert result["importance"].sum() == pytest.approx(1)
    assert (result["low"] <= result["high"]).all()
    assert result["low"][0] > result["high"][1]


def test_importance_is_reproducible_and_uses_no_global_state():
    options = {"parameters": ["lr", "width"], "metric": "accuracy", "resamples": 2, "trees": 8}
    first, second = (importance(table(30), **options, generator=np.random.default_rng(3)) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_importance_without_anything_that_varies_is_refused():
    with pytest.raises(ValueError, match="none vary"):
        importance(table(), ["constant"], "accuracy", generator=np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 4 finished trials"):
        importance(table(3), ["lr"], "accuracy", generator=np.random.default_rng(0))


def test_response_curves_average_within_seeds_first():
    frame = pd.DataFrame(
        {"k": [8] * 4 + [16] * 3, "seed": [0, 0, 0, 1, 0, 1, 2], "accuracy": [1.0, 1, 1, 3, 4, 5, 6], "t": 0.5}
    )
    curve = response_curve(frame, "k", "accuracy", by=["t"])
    assert curve["k"].tolist() == [8, 16]
    assert curve["mean"].tolist() == [2.0, 5.0]
    assert curve["seeds"].tolist() == [2, 3]
    assert curve["high"][1] - curve["mean"][1] == pytest.approx(4.302652729911275 / np.sqrt(3))


def test_one_seed_has_no_interval():
    curve = response_curve(pd.DataFrame({"k": [8, 16], "seed": 0, "accuracy": [1.0, 2.0]}), "k", "accuracy")
    assert curve[["low", "high"]].isna().all(axis=None)

"""The comparison of theories, on losses of which the true one is known."""

import numpy as np
import pandas as pd
import pytest

from study.analysis.compare import compare_bounds, inverted_bound
from study.bounds import BOUNDS
from tests.analysis.test_fit import losses


def compare(frame, **options):
    options = {"priors": 10, "fixed": {"d": "gap"}, "resamples": 10} | options
    return compare_bounds(frame, generator=np.random.default_rng(0), **options)


@pytest.mark.parametrize("truth", BOUNDS.names())
def test_the_right_bound_wins(truth):
    rng = np.random.default_rng(1)
    wins = [compare(losses(truth, rng))["bound"][0] == truth for _ in range(6)]
    assert sum(wins) >= 5


def test_weights_sum_to_one_in_each_group_and_favour_the_best():
    rng = np.random.default_rng(0)
    frame = pd.concat([losses(name, rng).assign(method=name) for name in ("arora2019", "nozawa2021")])
    table = compare(frame, by=["method"])
    for name, rows in table.groupby("method"):
        assert rows["weight"].sum() == pytest.approx(1)
        assert rows.iloc[0]["bound"] == name
        assert rows.iloc[0]["delta_aicc"] == 0
        assert rows["aicc"].is_monotonic_increasing


def test_rank_correlation_over_k_uses_means_over_seeds():
    frame = losses("arora2019", np.random.default_rng(0), noise=0.0, ks=(8, 32, 64, 128, 256))
    frame["contrastive_loss"] += 1.0  # as if d were 0.2: the closed forms are then positive
    frame["accuracy"] = frame["k"].rank(method="dense") + np.where(frame["seed"] % 2, 10.0, -10.0)
    table = compare(frame, accuracy="accuracy").set_index("bound")
    assert table.loc["arora2019", "rank_correlation"] == pytest.approx(1)  # grows with K, as the accuracy does
    inverted = inverted_bound(frame[:5], "nozawa2021", priors=10)
    assert inverted[0] == np.inf  # K = 8 cannot show ten classes
    expected = inverted[1:].corr(pd.Series(range(5))[1:], method="spearman")
    assert table.loc["nozawa2021", "rank_correlation"] == pytest.approx(expected)
    assert table["rank_points"].to_dict() == {"arora2019": 4, "nozawa2021": 4, "ash2021": 5, "bao2021": 5}


def test_the_logged_data_form_is_preferred_to_the_closed_one():
    frame = losses("nozawa2021", np.random.default_rng(0))
    assert inverted_bound(frame.assign(nozawa2021_supervised_upper=7.0), "nozawa2021", priors=10).eq(7.0).all()
    closed = BOUNDS["nozawa2021"]().supervised_upper_closed(frame["contrastive_loss"][0], 8, 10, 0.5)
    assert inverted_bound(frame, "nozawa2021", priors=10)[0] == closed


def test_too_few_points_have_no_rank_correlation():
    frame = losses("nozawa2021", np.random.default_rng(0), ks=(16, 64)).assign(accuracy=0.5)
    assert compare(frame, accuracy="accuracy")["rank_correlation"].isna().all()

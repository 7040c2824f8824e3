"""Importance and response curves, on a metric whose dependence is known."""

import itertools

import numpy as np
import optuna
import pandas as pd
import pytest

from study.analysis.importance import BINS, importance, response_curve
from study.analysis.variance import CHANCE, FOUND, TOO_FEW


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
    result = importance(table(), names, "accuracy", generator=np.random.default_rng(0), permutations=1)
    assert result["parameter"].tolist() == ["lr", "strategy", "width"]
    assert result["share"].sum() == pytest.approx(1)
    assert (result["low"] <= result["high"]).all()
    assert result["low"][0] > result["high"][1]


def test_on_a_full_grid_shares_are_those_of_the_analysis_of_variance():
    cells = itertools.product((8, 16, 32, 64), ("all", "hardest", "random"), map(str, range(25)))
    frame = pd.DataFrame(cells, columns=["k", "strategy", "seed"])
    noise = np.random.default_rng(1).normal(size=len(frame))
    frame["accuracy"] = np.log2(frame["k"]) + 2 * (frame["strategy"] == "all") + 0.5 * noise
    names = ["k", "strategy", "seed"]
    result = importance(frame, names, "accuracy", generator=np.random.default_rng(0), permutations=1).set_index(
        "parameter"
    )
    variances = pd.Series({name: frame.groupby(name)["accuracy"].mean().var(ddof=0) for name in names})
    shares = variances / variances.sum()
    assert (result["share"] - shares).abs().max() < 0.02
    assert result.loc["k", "low"] < shares["k"] < result.loc["k", "high"]


def test_shares_are_those_of_optunas_evaluator_on_the_same_trials():
    """All 64 trees at once, on categories as Optuna itself would code them."""
    values = {"k": [8, 16, 32, 64], "t": [0.1, 0.2, 0.5], "strategy": ["all", "hardest", "random"], "seed": ["0", "1"]}
    frame = pd.DataFrame(itertools.product(*values.values()), columns=list(values))
    noise = np.random.default_rng(1).normal(size=len(frame))
    frame["accuracy"] = np.log2(frame["k"]) + 3 * (frame["strategy"] == "all") + 2 * (frame["t"] > 0.15) + 0.3 * noise
    ours = importance(frame, list(values), "accuracy", generator=np.random.default_rng(0), permutations=1)
    choices = {name: optuna.distributions.CategoricalDistribution(of_name) for name, of_name in values.items()}
    study = optuna.create_study()
    for *params, accuracy in frame.itertuples(index=False):
        given = dict(zip(values, params, strict=True))
        study.add_trial(optuna.trial.create_trial(params=given, distributions=choices, value=accuracy))
    theirs = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    for name, share in zip(ours["parameter"], ours["share"], strict=True):
        assert share == pytest.approx(theirs[name], abs=0.1), name
    assert ours["parameter"].iloc[0] == max(theirs, key=theirs.get) == "strategy"


def test_a_search_says_what_it_can_tell_from_chance_and_what_it_cannot():
    frame = table(30)
    result = importance(frame, ["lr", "width"], "accuracy", generator=np.random.default_rng(0), permutations=39)
    assert result["parameter"].tolist() == ["lr", "width"]
    assert result["verdict"].tolist() == [FOUND, CHANCE]
    assert result["p_value"][0] == pytest.approx(1 / 40)
    assert set(result["permutations"]) == {39}


def test_a_searchs_seed_has_a_share_and_no_test():
    names = ["lr", "width", "seed"]
    result = importance(table(30), names, "accuracy", generator=np.random.default_rng(0), permutations=1)
    seed = result.set_index("parameter").loc["seed"]
    assert np.isnan(seed["p_adjusted"])
    assert seed["verdict"] == ""


def test_an_optimum_within_the_range_is_found_though_no_trend_is_there():
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"t": draw.uniform(size=40), "strategy": draw.choice(["all", "hardest"], 40), "seed": 0})
    frame["accuracy"] = -8 * (frame["t"] - 0.5) ** 2 + 0.3 * draw.normal(size=40)
    result = importance(frame, ["t", "strategy"], "accuracy", generator=draw, trees=2)
    assert result["verdict"].tolist() == [FOUND, CHANCE]


def test_fewer_cells_than_the_responses_have_terms_are_said_to_be_too_few():
    frame = table(4).assign(lr=[0.1, 0.3, 0.2, 0.4], width=[1, 2, 3, 4])
    result = importance(frame, ["lr", "width"], "accuracy", generator=np.random.default_rng(0), trees=2)
    assert result["verdict"].tolist() == [TOO_FEW] * 2


def test_importance_is_reproducible_and_uses_no_global_state():
    options = {"parameters": ["lr", "width"], "metric": "accuracy", "trees": 8, "permutations": 3}
    first, second = (importance(table(30), **options, generator=np.random.default_rng(3)) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    ("frame", "parameters", "rule"),
    [
        (table(), ["constant"], "none vary"),
        (table(), ["lr", "constant"], "only lr varies: all is due to it"),
        (table(3), ["lr", "width"], "at least 4 cells with accuracy, not 3"),
        (table().assign(accuracy=0.5), ["lr", "width"], "accuracy is 0.5 in every trial"),
        (table().assign(accuracy=np.nan), ["lr", "width"], "none vary"),
    ],
)
def test_importance_that_cannot_be_computed_says_why(frame, parameters, rule):
    with pytest.raises(ValueError, match=rule):
        importance(frame, parameters, "accuracy", generator=np.random.default_rng(0), permutations=1)


def grid() -> pd.DataFrame:
    """K × t, three seeds: accuracy is log2 K, plus 4 at the higher t, plus the seed."""
    rows = itertools.product((8, 16, 32), (0.1, 0.5), (0, 1, 2))
    frame = pd.DataFrame(rows, columns=["k", "t", "seed"])
    return frame.assign(accuracy=np.log2(frame["k"]) + 4.0 * (frame["t"] > 0.2) + frame["seed"])


def test_on_a_grid_responses_are_averaged_within_seeds_which_are_the_replicates():
    curve = response_curve(grid(), ["k", "t"], "k", "accuracy")
    assert curve["k"].tolist() == [8, 16, 32]
    assert curve["mean"].tolist() == pytest.approx([6.0, 7.0, 8.0])
    assert curve["n"].tolist() == [3, 3, 3]
    assert set(curve["over"]) == {"seeds"}
    assert curve["high"][1] - curve["mean"][1] == pytest.approx(4.302652729911275 / np.sqrt(3))  # t makes no spread


def test_a_curve_for_each_value_of_another_parameter():
    curve = response_curve(grid(), ["k", "t"], "k", "accuracy", by=["t"])
    assert curve.loc[curve["t"] == 0.5, "mean"].tolist() == pytest.approx([8.0, 9.0, 10.0])
    assert set(curve["over"]) == {"seeds"}


def test_where_a_cell_is_missing_cells_are_the_replicates_and_the_others_are_in_the_interval():
    frame = grid().query("k != 8 or t != 0.1")
    curve = response_curve(frame, ["k", "t"], "k", "accuracy").set_index("k")
    assert set(curve["over"]) == {"cells"}
    assert curve["n"].to_dict() == {8: 1, 16: 2, 32: 2}
    assert np.isnan(curve.loc[8, "low"])
    assert curve.loc[16, "high"] - curve.loc[16, "mean"] == pytest.approx(12.706204736 * 2)


def test_a_random_search_is_cut_into_bins_over_cells():
    curve = response_curve(table(), ["lr", "strategy", "width"], "lr", "accuracy")
    assert len(curve) == BINS
    assert curve["n"].sum() == 80
    assert set(curve["over"]) == {"cells"}
    assert curve["mean"].is_monotonic_increasing
    truth = np.log10(curve["lr"]) + 0.2
    assert ((curve["low"] < truth + 0.15) & (truth - 0.15 < curve["high"])).all()


def test_names_are_points_of_their_own():
    curve = response_curve(table(), ["lr", "strategy", "width"], "strategy", "accuracy")
    assert curve["strategy"].tolist() == ["all", "hardest"]


def test_one_seed_has_no_interval():
    curve = response_curve(pd.DataFrame({"k": [8, 16], "seed": 0, "accuracy": [1.0, 2.0]}), ["k"], "k", "accuracy")
    assert curve[["low", "high"]].isna().all(axis=None)

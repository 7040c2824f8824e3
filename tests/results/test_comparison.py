"""Cells of a study against a baseline, and the best of them."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from study.results import Results, blocked_interval, interval

METRIC = "linear.features.top1"


def study_of(seeds=3, effect=0.0, noise=1.0, repetition=0, strategies=("all", "hard")):
    """3 K × 2 strategies; `hard` is better by the effect; seeds move all cells by 10."""
    draw = np.random.default_rng(repetition)
    shared = 10 * draw.normal(size=seeds)
    rows = [
        {
            "trial_id": f"{k}{strategy}{seed}", "status": "finished", "reason": None, "seed": seed,
            "class_counts": "[]", "k": k, "negatives": strategy, "seconds": 1.0,
            METRIC: 50 + shared[seed] + effect * (strategy == "hard") + noise * draw.normal(),
            "contrastive.loss": 3 + effect * (strategy == "all") + noise * draw.normal(),
        }
        for k in (16, 64, 256) for strategy in strategies for seed in range(seeds)
    ]  # fmt: skip
    return Results(pd.DataFrame(rows))


def test_a_part_of_a_cell_is_compared_with_what_differs_in_it_only():
    results = study_of(effect=20.0)
    found = results.compare({"negatives": "all"})
    assert found[["k", "negatives"]].to_numpy().tolist() == [[16, "hard"], [64, "hard"], [256, "hard"]]
    frame = results.frame.set_index(["k", "negatives", "seed"])[METRIC]
    paired = [(frame[k, "hard"] - frame[k, "all"]).mean() for k in (16, 64, 256)]
    assert found["difference"].tolist() == pytest.approx(paired)
    assert found["verdict"].tolist() == ["higher"] * 3
    assert found["n"].tolist() == [3] * 3


def test_a_whole_cell_is_the_baseline_of_all_others():
    found = study_of().compare({"k": 64, "negatives": "all"}, "contrastive.loss")
    assert len(found) == 5
    assert not ((found["k"] == 64) & (found["negatives"] == "all")).any()


def test_a_comparison_prints_all_of_its_columns_in_a_line_a_cell():
    lines = str(study_of(effect=20.0).compare({"negatives": "all"})).splitlines()
    assert lines[0].split() == [
        "k", "negatives", "mean", "n", "seeds", "difference", "low", "high", "p_value", "p_adjusted", "detectable",
        "verdict",
    ]  # fmt: skip
    assert len(lines) == 4
    assert all(line.endswith("higher") for line in lines[1:])


def test_components_name_a_baseline_as_they_do_in_a_config():
    results = study_of(strategies=("difficulty(hi=0.05)", "all"))
    assert len(results.compare({"negatives": {"name": "difficulty", "hi": 0.05}})) == 3


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ({}, r"a baseline names a cell or a part of one, such as \{'k': 16\}, got \{\}"),
        ({"temperature": 0.1}, "temperature does not vary in this study; a baseline names one of k, negatives"),
        ({"k": 17}, "no cell has k=17; there are 16, 64, 256"),
    ],
)
def test_a_baseline_that_is_none_is_refused(baseline, message):
    with pytest.raises(ValueError, match=message):
        study_of().compare(baseline)


def test_one_seed_is_refused_with_what_to_add():
    with pytest.raises(ValueError, match=r"no cell has two seeds with linear\.features\.top1 in common .* add seeds"):
        study_of(seeds=1).compare({"negatives": "all"})


def test_baseline_that_no_cell_has_together_is_refused():
    frame = study_of().frame
    results = Results(frame[(frame["k"] != 16) | (frame["negatives"] != "all")])
    with pytest.raises(ValueError, match="no cell has k=16, negatives=all together"):
        results.compare({"k": 16, "negatives": "all"})
    assert results.compare({"negatives": "all"})["k"].tolist() == [64, 256]  # 16 has no cell to be compared with


def test_noise_has_no_best_and_says_what_would_be_found():
    words = str(study_of().best())
    assert words.startswith("no cell can be told apart (k=")
    assert "would be found in 80 % of studies" in words


def test_best_is_said_with_the_interval_of_its_lead():
    results = study_of(effect=30.0)
    best = results.best()
    assert best.cell["negatives"] == "hard"
    assert "2 of the other 5 may be as good; it leads the next, k=" in str(best)
    following = best.frame.iloc[1]
    lead = f"{-following['difference']:.1f} ({-following['high']:.1f} to {-following['low']:.1f})"
    assert str(best).endswith(lead)
    assert "the lowest mean of 6 cells" in str(results.best("contrastive.loss"))


def test_best_says_where_one_cell_has_more_noise_than_the_others():
    frame = study_of(seeds=4).frame
    assert "more noise" not in str(Results(frame).best())
    loud = (frame["k"] == 64) & (frame["negatives"] == "all")
    frame.loc[loud, METRIC] += [30.0, -30.0, 30.0, -30.0]
    assert str(Results(frame).best()).endswith("its intervals are too narrow: drop it, or add seeds)")


def test_one_seed_and_one_cell_have_no_best():
    assert "with one seed" in str(study_of(seeds=1).best())
    frame = study_of().frame
    alone = Results(frame[(frame["k"] == 16) & (frame["negatives"] == "all")])
    assert str(alone.best()).endswith("with none to compare")


def test_intervals_of_cells_leave_out_what_seeds_share():
    results = study_of(seeds=2)
    by, cells = results.varying, results.cells().query("metric == @METRIC")
    y = results.frame[METRIC].to_numpy().reshape(6, 2)
    left = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    half = scipy.stats.t.ppf(0.975, 5) * np.sqrt((left**2).sum() / 5 / 2)
    assert cells["half_width"].tolist() == pytest.approx([half] * 6)
    students = interval(results.finished, by, [METRIC])
    assert students["half_width"].mean() > 10 * half
    assert cells["mean"].tolist() == students["mean"].tolist()


def test_a_metric_that_some_trials_lack_has_the_residual_of_those_that_have_it():
    results = study_of(seeds=3)
    holes = results.finished.assign(other=results.finished[METRIC].where(results.finished["k"] != 16))
    holes.loc[holes["trial_id"] == "64all0", "other"] = np.nan
    found = blocked_interval(holes, results.varying, [METRIC, "other"]).set_index("metric")
    whole = blocked_interval(results.finished, results.varying, [METRIC])
    assert found.loc[METRIC, "half_width"].tolist() == whole["half_width"].tolist()
    other = found.loc["other"].set_index(["k", "negatives"])["half_width"]
    assert other[16].isna().all()
    assert other[64, "all"] == pytest.approx(other[256, "all"] * np.sqrt(3 / 2))


def test_cells_without_seeds_in_common_have_students_intervals():
    frame = study_of(seeds=2).frame
    frame["seed"] = range(len(frame))
    results = Results(frame)
    pd.testing.assert_frame_equal(results.cells(), interval(frame, results.varying, ["seconds", *results.measured]))


def test_the_best_cell_is_chosen_on_held_out_examples_where_there_are_any():
    frame = study_of(effect=8.0, seeds=4).frame
    held = METRIC.replace(".top1", ".validation.top1")
    frame[held] = -frame[METRIC]  # on them the worst is the best
    chosen = Results(frame).best()
    worst = Results(frame.drop(columns=held)).best().frame.iloc[-1]
    assert all(chosen.cell[path] == worst[path] for path in chosen.cell)
    assert "chosen on held-out examples of" in str(chosen)
    assert chosen.frame["mean"][0] == worst["mean"], "what is reported is of test"
    frame.loc[0, held] = np.nan
    assert "highest mean" in str(Results(frame).best()), "one trial without them: none are used"

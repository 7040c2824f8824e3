import math
import time

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from study.results import Results, cell_label, journals, label, text
from study.storage.store import Store
from study.storage.trial_result import TrialResult

METRIC = "linear.features.top1"


def add(store, trial_id, cell, seed, top1=None, config=None, reason=None):
    trial = store.trial(trial_id)
    base = {"k": 510, "temperature": 0.5, "epochs": 10, "optimizer": {"name": "sgd", "lr": 0.5}, "seed": seed}
    trial.write_config({"config": base | cell | (config or {}), "cell": cell, "seed": seed})
    trial.append({"epoch": 1, "time": 1.0, "metrics": {"train.loss": 4.0 + seed}})
    if top1 is not None:
        metrics = {"train.loss": 4.0, METRIC: top1}
        trial.write_result(TrialResult(status="finished", metrics=metrics, seconds=9.0, started=1.0, ended=11.0))
    elif reason:
        trial.write_result(TrialResult.failure(reason, started=1.0, ended=4.0))
    return trial


@pytest.fixture
def store(tmp_path):
    store = Store.of("k-study", tmp_path)
    for number, (k, seed, top1) in enumerate([(16, 0, 50.0), (16, 1, 52.0), (16, 2, 51.0), (64, 0, 55.0)]):
        add(store, f"t{number}", {"k": k, "negatives": {"name": "difficulty", "hi": 0.05}}, seed, top1)
    add(store, "t4", {"k": 64, "negatives": {"name": "difficulty", "hi": 0.05}}, 1, reason="the loss is nan")
    add(store, "t5", {"k": 64, "negatives": {"name": "difficulty", "hi": 0.05}}, 2)
    return store


def test_a_trial_is_a_row_whatever_became_of_it(store):
    results = Results.load(store)
    columns = [
        "trial_id",
        "status",
        "reason",
        "seed",
        "class_counts",
        "k",
        "negatives",
        "seconds",
        "train.loss",
        METRIC,
    ]
    assert list(results.frame.columns) == columns
    assert list(results.frame["status"]) == ["finished"] * 4 + ["failed", "started"]
    assert results.failed["reason"].tolist() == ["the loss is nan"]
    assert results.frame["seconds"].tolist()[:5] == [9.0] * 4 + [3.0]
    assert (results.varying, results.measured) == (["k", "negatives"], ["train.loss", METRIC])
    assert results.frame["negatives"].unique().tolist() == ["difficulty(hi=0.05)"]


def test_interval_is_students_over_the_finished_seeds_of_a_cell(store):
    cells = Results.load(store).cells()
    sixteen, sixty_four = cells[cells["metric"] == METRIC].to_dict("records")
    low, high = scipy.stats.t.interval(0.95, 2, loc=51, scale=scipy.stats.sem([50.0, 52.0, 51.0]))
    assert sixteen["mean"] == 51
    assert sixteen["half_width"] == pytest.approx((high - low) / 2, rel=1e-12)
    assert (sixteen["n"], sixty_four["n"]) == (3, 1)
    assert math.isnan(sixty_four["half_width"])


def test_trials_of_an_earlier_base_are_no_replicates_of_the_present_ones(store):
    add(store, "t6", {"k": 16, "negatives": {"name": "difficulty", "hi": 0.05}}, 0, 99.0, {"epochs": 200})
    results = Results.load(store)
    assert results.varying == ["k", "negatives", "epochs"]
    cells = results.cells().query("metric == @METRIC")
    assert sorted(cells["mean"]) == [51, 55, 99]


def test_path_that_only_some_cells_vary_is_filled_in_from_the_config(store):
    add(store, "t6", {"k": 16, "temperature": 0.1, "negatives": {"name": "all"}}, 0, 40.0)
    frame = Results.load(store).frame
    assert frame["temperature"].tolist() == [0.5] * 6 + [0.1]
    assert frame["negatives"].tolist()[-1] == "all"


def test_column_of_numbers_and_components_becomes_labels_throughout(store, tmp_path):
    add(store, "t6", {"k": 16, "temperature": {"name": "cosine", "end": 0.1}}, 0, 40.0, {"negatives": {"name": "all"}})
    results = Results.load(store)
    assert results.frame["temperature"].tolist() == ["0.5"] * 6 + ["cosine(end=0.1)"]
    results.save(tmp_path)  # parquet takes columns of one type only


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_saved_table_reads_back_equal(store, tmp_path, suffix):
    results = Results.load(store)
    results.save(tmp_path / "k-study")
    again = Results.read(tmp_path / "k-study" / f"results.{suffix}")
    pd.testing.assert_frame_equal(again.frame, results.frame, check_dtype=False)
    assert (again.varying, again.study) == (results.varying, "k-study")


def test_trial_id_that_looks_like_a_number_stays_text(store, tmp_path):
    add(store, "0012345678e4", {"k": 16}, 0, 40.0, {"negatives": {"name": "difficulty", "hi": 0.05}})
    Results.load(store).save(tmp_path)
    assert Results.read(tmp_path / "results.csv").frame["trial_id"][0] == "0012345678e4"


def test_other_table_is_refused_with_what_it_lacks(tmp_path):
    pd.DataFrame({"trial_id": ["a"]}).to_csv(tmp_path / "other.csv")
    with pytest.raises(
        ValueError, match="no table of results: it has no column status, reason, seed, class_counts, seconds"
    ):
        Results.read(tmp_path / "other.csv")
    with pytest.raises(ValueError, match=r"write results\.csv"):
        Results.read(tmp_path / "results.txt")


def test_short_table_has_the_best_cell_first_by_the_studys_metric(store):
    (store.path / "study.yaml").write_text(f"metrics: {{{METRIC}: max}}")
    shown = str(Results.load(store))
    assert shown.startswith("k-study: 6 trials (4 finished, 1 failed, 1 started)")
    assert shown.index("55.0") < shown.index("51.0 ± 2.5")
    (store.path / "study.yaml").write_text(f"metrics: {{{METRIC}: min}}")
    shown = Results.load(store)._repr_html_()
    assert shown.index("51.0 ± 2.5") < shown.index("55.0")


def test_study_without_trials_is_an_empty_table(tmp_path):
    results = Results.load(Store.of("nothing", tmp_path))
    assert str(results) == "nothing: 0 trials"
    assert results.cells().empty
    assert results.varying == []


def test_study_of_one_cell_has_means_too(tmp_path):
    store = Store.of("one", tmp_path)
    add(store, "a", {}, 0, 50.0)
    add(store, "b", {}, 1, 52.0)
    cells = Results.load(store).cells()
    assert cells.query("metric == @METRIC")[["mean", "n"]].to_numpy().tolist() == [[51, 2]]


def test_journals_have_a_row_a_trial_and_epoch(store):
    table = journals(store, ["train.loss", "train.k"])
    assert table["train.loss"].tolist() == [4, 5, 6, 4, 5, 6]
    assert table["train.k"].isna().all()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"name": "difficulty", "hi": 0.05}, "difficulty(hi=0.05)"),
        ({"name": "uniform", "fraction": 0.05, "count": None}, "uniform(fraction=0.05)"),
        ({"name": "all"}, "all"),
        ("all", "all"),
        ([1, 0.50], "[1, 0.5]"),
        (np.int64(64), "64"),
        (1e-4, "0.0001"),
        (None, "default"),
        (True, "True"),
    ],
)
def test_value_is_shown_in_a_few_characters(value, shown):
    assert label(value) == shown


def test_cell_and_numbers_as_text():
    assert cell_label({"k": 64, "temperature": 0.1}) == "k=64, temperature=0.1"
    assert text(METRIC, 53.34, 0.42) == "53.3 ± 0.4"
    assert text("contrastive.loss", 3.1234) == "3.123"
    assert text(METRIC, math.nan) == ""


@pytest.mark.slow
def test_thousand_trials_load_in_seconds(tmp_path):
    store = Store.of("many", tmp_path)
    for number in range(1000):
        add(store, f"{number:04}", {"k": number // 3}, number % 3, 50.0)
    started = time.process_time()
    assert len(Results.load(store).cells()) == 3 * 334
    assert time.process_time() - started < 3

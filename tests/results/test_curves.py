"""Curves: every epoch of every trial as a row, with what its trial was set to."""

from pathlib import Path

import pandas as pd
import pytest

from study.results import Results
from study.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.of("s", tmp_path)
    for k, seed in ((8, 0), (8, 1), (64, 0)):
        trial = store.trial(f"k{k}s{seed}")
        trial.write_config({"config": {"k": k, "seed": seed}, "cell": {"k": k}, "seed": seed})
        for epoch in (1, 2):
            late = {"knn": 50.0} if epoch == 2 else {}
            trial.append({"epoch": epoch, "time": 1.0, "metrics": {"train.loss": k / epoch + seed, **late}})
    store.trial("k64s1").write_config({"config": {"k": 64, "seed": 1}, "cell": {"k": 64}, "seed": 1})
    return store


def test_a_row_per_trial_and_epoch_with_settings_and_nothing_where_nothing_was_measured(store: Store) -> None:
    curves = Results.load(store).curves()
    assert list(curves.columns) == ["trial_id", "k", "seed", "epoch", "train.loss", "knn"]
    assert len(curves) == 6, "a trial without an epoch has no row"
    rows = curves.set_index(["k", "seed", "epoch"]).sort_index()
    assert rows.loc[(8, 1, 2), "train.loss"] == 8 / 2 + 1
    assert rows.loc[(64, 0, 1), "train.loss"] == 64
    assert curves.groupby("epoch")["knn"].count().to_dict() == {1: 0, 2: 3}


def test_metrics_that_are_asked_for_are_the_last_columns_and_others_are_refused_by_name(store: Store) -> None:
    results = Results.load(store)
    assert list(results.curves(["knn"]).columns) == ["trial_id", "k", "seed", "epoch", "knn"]
    with pytest.raises(ValueError, match=r"no trial has 'loss' by epoch; .*there are train\.loss, knn$"):
        results.curves(["loss"])
    with pytest.raises(ValueError, match=r"no trial has 'train\.los' by epoch; did you mean 'train\.loss'"):
        results.curves(["train.los"])
    assert results.curves("knn").equals(results.curves(["knn"])), "one name does as well"
    with pytest.raises(ValueError, match=r"a table holds no epochs: take the results of the study, study\.results"):
        Results(results.frame).curves()


def test_a_study_that_has_not_begun_has_an_empty_frame_of_epochs(tmp_path: Path) -> None:
    curves = Results.load(Store.of("nothing", tmp_path)).curves()
    pd.testing.assert_index_equal(curves.columns, pd.Index(["trial_id", "seed", "epoch"]))
    assert curves.empty

import pytest

from study.figures import Records
from study.results import Results
from study.storage.store import Store, TrialFolder
from study.storage.trial_result import TrialResult


@pytest.fixture
def records(tmp_path) -> Records:
    """Four cells of two trials each; those of k = 4 have no table."""
    store = Store.of("s", tmp_path)
    for k in (2, 4, 8, 16):
        for seed in (0, 1):
            trial = store.trial(f"{k}s{seed}")
            trial.write_config({"config": {"k": k, "seed": seed}, "cell": {"k": k}, "seed": seed})
            trial.append({"epoch": 1, "time": 1.0, "metrics": {"train.loss": float(k)}})
            if k != 4:
                trial.write_table("mine", [{"k": k}])
            trial.write_result(TrialResult(status="finished", metrics={}, started=0.0, ended=1.0))
    return Records(Results.load(store), store)


def test_tables_are_read_of_the_cells_that_are_shown_and_the_others_that_have_some_are_counted(records):
    read = []

    def table(folder: TrialFolder):
        read.append(folder.id)
        return folder.table("mine")

    found, count = records.tabled(table, 2)
    assert found == {"k=2": [[{"k": 2}]] * 2, "k=8": [[{"k": 8}]] * 2}
    assert count == 3
    assert read == ["2s0", "2s1", "4s0", "4s1", "8s0", "8s1", "16s0"]


def test_epochs_are_of_the_trials_reported_and_their_journals_are_read_once(records):
    assert records.epochs["train.loss"].tolist() == [16, 16, 2, 2, 4, 4, 8, 8]
    assert records.journals is records.journals
    assert set(records.journals) == set(records.results.frame["trial_id"])

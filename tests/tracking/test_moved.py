"""A storage keeps its database and artifacts together, whatever its name, and wherever it is copied or renamed to."""

import shutil
from pathlib import Path

import pytest

from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.tracking.tracker import Tracker
from study.tracking.uri import absolute, database, hint

# sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

NAMES = ["a?b", "a%20b", "a#b c", "50%"]


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def track(storage: Path, trial_id: str, opened: Tracker | None = None) -> Tracker:
    """One finished trial with a table, tracked by a session of the storage."""
    store = Store.of("s", storage)
    trial = store.trial(trial_id)
    trial.write_config({"config": {"k": 4, "seed": 0}, "cell": {"k": 4}, "seed": 0})
    trial.append({"epoch": 1, "time": 1.0, "metrics": {"train.loss": 1.0}})
    trial.write_table("bands", [{"band": trial_id}])
    trial.write_result(TrialResult(status="finished", started=0, ended=2))
    tracker = Tracker("s", store)
    tracker.open("name: s\n", {})
    tracker.watch(trial)
    assert tracker.sync()
    return tracker


def tables(storage: Path) -> int:
    return len(list(storage.glob("mlartifacts/s/*/artifacts/bands.json")))


@pytest.mark.parametrize("name", NAMES)
def test_the_address_of_a_database_names_its_file(name: str, tmp_path: Path) -> None:
    uri = absolute(None, tmp_path / name)
    assert database(uri) == tmp_path / name / "mlflow.db"
    assert absolute(uri, tmp_path) == uri


def test_a_storage_of_any_name_holds_all_of_it_and_takes_it_along(tmp_path: Path) -> None:
    before = tmp_path / "100% of a?b%20c"
    track(before, "aaaaaaaaaaaa")
    assert (before / "mlflow.db").exists()
    assert tables(before) == 1
    assert [path.name for path in tmp_path.iterdir()] == [before.name]
    copy = tmp_path / "copy"
    shutil.copytree(before, copy)
    tracker = track(copy, "bbbbbbbbbbbb")
    assert tables(copy) == 2
    assert tables(before) == 1, "the original is left as it was"
    runs = tracker._client.search_runs([tracker.experiment_id], "tags.role = 'trial'")
    assert len(runs) == 2
    assert {run.info.artifact_uri.startswith((copy / "mlartifacts").as_uri()) for run in runs} == {True}
    (renamed := tmp_path / "renamed").parent.mkdir(exist_ok=True)
    before.rename(renamed)
    track(renamed, "cccccccccccc")
    assert tables(renamed) == 2
    assert tables(before) == 0, "nothing is written at the old place"


def test_advice_fits_the_kind_of_address() -> None:
    assert "user name" not in hint("sqlite:////data/mlflow.db")
    assert "/data/mlflow.db" in hint("sqlite:////data/mlflow.db")
    assert "MLFLOW_TRACKING_PASSWORD" in hint("http://host:5000")
    assert "MLFLOW_TRACKING_PASSWORD" not in hint("postgresql://host/mlflow")

"""The state of a study's trials from anywhere that reaches MLflow: the store is not there."""

import json
import shutil
import time
from pathlib import Path

import pytest

from study import Study, TrialConfig, grid
from study.cli import main
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.tracking.tracker import Tracker
from tests.conftest import TINY

# sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a finished, a failed and a running trial of four; the store that it was sent from is gone."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    study = Study("afar", base=TrialConfig(**TINY), space={"k": grid(8, 32)}, seeds=2)
    store = Store.of("afar", tmp_path / "cluster")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for trial, status in zip(study.trials(), ("finished", "failed", "started"), strict=False):
        folder = store.trial(trial.id)
        folder.write_config({"config": trial.config, "cell": trial.cell, "seed": trial.seed, "uses_labels": False})
        for epoch in range(1, 4 if status == "finished" else 3):
            folder.append({"epoch": epoch, "time": time.time(), "metrics": {"train.loss": 1.0}})
        if status != "started":
            reason = "the loss is nan" if status == "failed" else None
            now = time.time()
            folder.write_result(TrialResult(status=status, reason=reason, started=now, ended=now))
    tracker = Tracker("afar", store, uri, owner="ada")
    tracker.open("name: afar\n", {"trials": 4})
    assert tracker.sync()
    shutil.rmtree(tmp_path / "cluster")
    return uri


def test_states_are_read_from_mlflow_where_the_store_is_not(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "afar", "--tracking-uri", uri, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"finished": 1, "started": 1, "failed": 1, "pending": 1}
    states = {trial["status"]: trial for trial in found["trials"]}
    assert (states["finished"]["epoch"], states["finished"]["epochs"]) == (3, 3)
    assert (states["started"]["epoch"], states["started"]["seed"], states["started"]["label"]) == (2, 0, "k=32")
    assert states["failed"]["reason"] == "the loss is nan"


def test_the_environment_names_the_server_too(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main(["status", "afar"]) == 0
    shown = capsys.readouterr().out
    assert "afar: 1 finished, 1 started, 1 failed, 1 pending" in shown
    assert "failed          2/3  k=8 seed=1  the loss is nan" in shown


def test_a_study_that_the_server_does_not_have_is_refused(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "afra", "--tracking-uri", uri]) == 2
    assert "has no study 'afra'" in capsys.readouterr().err


def test_a_server_that_is_unreachable_is_refused_in_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert main(["status", "afar", "--tracking-uri", "http://127.0.0.1:9"]) == 2
    assert "no MLflow server answers" in capsys.readouterr().err
    assert time.monotonic() - started < 30

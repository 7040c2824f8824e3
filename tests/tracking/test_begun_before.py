"""A study that an earlier version tracked goes on in its experiment: the same runs and names, nothing twice."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from study.storage.store import Store
from study.tracking import client as tracking
from study.tracking import schema
from study.tracking.queries import states
from study.tracking.tracker import Tracker
from tests.tracking.test_tracker import CELL, CONFIG, artifacts, finish, history, runs, train

# sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

STUDY_YAML = "name: s\nspace: {k: {grid: [64]}}\nmetrics: {linear.features.top1: max}\n"
FINAL = {"linear.features.top5": 90.0, "time.linear_s": 1.0}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def client(storage: Path) -> MlflowClient:
    return tracking.connect(f"sqlite:///{storage}/mlflow.db")


@pytest.fixture
def study(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return request.node.name.removeprefix("test_")


@pytest.fixture
def store(study: str, storage: Path, client: MlflowClient) -> Store:
    """Of two trials one finished, one after its second epoch; both sent as the earlier version did."""
    store = Store.of(study, storage)
    experiment = client.create_experiment(study, (storage / "mlartifacts" / study).as_uri())
    parent = client.create_run(experiment, run_name=study, tags={"role": "study", "study": study}).info.run_id
    for trial_id, epochs in (("aaa", 3), ("bbb", 2)):
        trial = store.trial(trial_id)
        trial.write_config({"config": CONFIG, "cell": CELL, "seed": 0})
        train(trial, 1, epochs)
        tags = {"role": "trial", "trial_id": trial_id, "mlflow.parentRunId": parent, "data.train_size": "1000"}
        run = client.create_run(experiment, tags=tags).info.run_id
        client.log_batch(run, points(trial.journal()), [Param("k", "64"), Param("seed", "0")])
        sent = {"run": run, "lines": epochs, "status": "RUNNING"}
        if trial_id == "aaa":
            finish(trial, **FINAL)
            final = {name: v for name, v in trial.result().metrics.items() if name != "train.loss"}
            client.log_batch(run, [Metric(name, value, int(2e12), 0) for name, value in final.items()])
            client.set_tag(run, "status", "finished")
            client.set_terminated(run, "FINISHED", int(2e12))
            sent |= {"status": "FINISHED", "ended": 2e9}
        sent["stamp"] = schema.stamp(trial)
        (trial.path / "tracked.json").write_text(json.dumps({parent: sent}))
    return store


def points(journal: list[dict]) -> list[Metric]:
    lines = [(line["epoch"], int(line["time"] * 1000), line["metrics"]) for line in journal]
    return [Metric(name, value, at, epoch) for epoch, at, metrics in lines for name, value in metrics.items()]


def test_its_runs_go_on_under_their_names_and_nothing_is_sent_twice(store: Store, client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name(store.path.name).experiment_id
    before = {run.info.run_id: run for run in client.search_runs([experiment])}
    tracker = Tracker(store.path.name, store)
    tracker.open(STUDY_YAML, {"trials": 2})
    train(store.trial("bbb"), 3, 3)
    finish(store.trial("bbb"), **FINAL)
    assert tracker.sync()
    assert {run.info.run_id for run in client.search_runs([experiment])} == set(before)
    first, second = (runs(tracker)[name] for name in ("aaa", "bbb"))
    assert first.data.metrics == before[first.info.run_id].data.metrics
    assert second.data.metrics == first.data.metrics
    assert set(second.data.metrics) == {"train.loss", "train.k", "linear.features.top1", *FINAL}
    for run in (first, second):
        assert [step for step, _, _ in history(tracker, run)] == [1, 2, 3]
        assert len(history(tracker, run, "linear.features.top1")) == 1
        assert artifacts(tracker, run.info.run_id) == []
    assert second.info.status == "FINISHED"


def test_its_view_has_the_names_that_its_runs_have(store: Store, client: MlflowClient) -> None:
    Tracker(store.path.name, store).open(STUDY_YAML, {"trials": 2})
    tags = client.get_experiment_by_name(store.path.name).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "metrics.`linear.features.top1`" in json.loads(tags["mlflow.sharedViewState.study"])["selectedColumns"]


def test_its_states_are_read(store: Store) -> None:
    _, found = states(store.path.name, None, store.path.parent)
    assert {one["trial_id"]: (one["status"], one["epoch"]) for one in found}["bbb"] == ("started", 2)


def test_an_experiment_that_somebody_made_and_nobody_used_is_as_new(
    client: MlflowClient, study: str, storage: Path
) -> None:
    client.create_experiment(study)
    for _ in range(2):
        tracker = Tracker(study, Store.of(study, storage))
        tracker.open(STUDY_YAML, {"trials": 2})
        assert tracker._layout.grouped
    assert client.get_experiment_by_name(study).tags["metrics"] == "grouped"

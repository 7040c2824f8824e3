"""Sessions at once: one parent run for one storage; one run for a trial that two storages compute."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from study import Study
from study.storage.claims import Session
from study.storage.store import Store
from study.tracking.queries import states
from study.tracking.tracker import Tracker
from study.tracking.uri import TrackingRefused
from tests.tracking.test_tracker import STUDY_YAML, finish, history, lines, runs, start, train  # noqa: F401 (a fixture)

# sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('server')}/mlflow.db"


@pytest.fixture
def connect(request, database, tmp_path, lines):  # noqa: F811
    """Trackers of the same study in one MLflow, each with the named storage."""

    def connect(storage: str) -> Tracker:
        study = request.node.name.removeprefix("test_")
        tracker = Tracker(study, Store.of(study, tmp_path / storage), database, storage)
        tracker.open(STUDY_YAML, {})
        return tracker

    return connect


def at_once(*calls) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_sessions_with_one_storage_that_open_at_once_have_one_parent_run(connect, database, tmp_path, monkeypatch):
    """The storage elects it: beside a server and in an object store there is no file to lock."""
    connect("first")  # the database is there
    monkeypatch.setattr(Tracker, "_opening_lock", lambda self: None)
    store = Store.of("many", tmp_path / "shared")
    trackers = [Tracker("many", store, database) for _ in range(6)]
    at_once(*[lambda t=tracker: t.open(STUDY_YAML, {}) for tracker in trackers])
    assert len({tracker.parent_id for tracker in trackers}) == 1 == len({t.experiment_id for t in trackers})
    client, experiment = trackers[0]._client, trackers[0].experiment_id
    parents = client.search_runs([experiment], "tags.role = 'study'")
    assert [run.info.run_id for run in parents] == [trackers[0].parent_id]


def test_a_session_with_another_storage_shares_the_parent_run(connect):
    assert connect("ada").parent_id == connect("bob").parent_id


def test_a_trial_finished_in_one_storage_stays_as_it_is_when_another_computes_it_too(connect):
    ada, bob = connect("ada"), connect("bob")
    finish(start(ada))
    assert ada.sync()
    trial = bob.store.trial("aaa")
    trial.write_config(ada.store.trial("aaa").config())
    trial.append({"epoch": 1, "time": 3e9, "metrics": {"train.loss": 4.5}})
    assert bob.sync()
    finish(trial, at=4e9)
    assert bob.sync()
    (run,) = bob._client.search_runs([bob.experiment_id], "tags.role = 'trial'")
    assert run.data.tags["owner"] == "ada"
    assert history(bob, run) == history(ada, runs(ada)["aaa"])
    assert len(history(bob, run)) == 3
    assert len(history(bob, run, "linear.features.top1")) == 1


def test_the_half_that_one_storage_left_is_continued_by_another_with_each_epoch_once(connect):
    ada, bob = connect("ada"), connect("bob")
    start(ada, epochs=2)
    assert ada.sync()
    trial = bob.store.trial("aaa")
    trial.write_config(ada.store.trial("aaa").config())
    for epoch in (1, 2, 3):
        trial.append({"epoch": epoch, "time": 3e9 + epoch, "metrics": {"train.loss": 4.0}})
    finish(trial, at=4e9)
    assert bob.sync()
    (run,) = bob._client.search_runs([bob.experiment_id], "tags.role = 'trial'")
    assert [(step, value) for step, _, value in history(bob, run)] == [(1, 4.9), (2, 4.8), (3, 4.0)]
    assert run.info.status == "FINISHED"


def test_two_storages_by_turns_make_one_run_of_a_trial(connect):
    ada, bob = connect("ada"), connect("bob")
    ours, theirs = start(ada, epochs=1), start(bob, epochs=1)
    for epoch in (2, 3):
        assert ada.sync()
        assert bob.sync()
        train(ours, epoch, epoch)
        train(theirs, epoch, epoch)
    finish(ours)
    finish(theirs, at=3e9)
    assert ada.sync()
    assert bob.sync()
    (run,) = bob._client.search_runs([bob.experiment_id], "tags.role = 'trial'")
    assert run.info.status == "FINISHED"


def test_the_storages_own_database_holds_the_study_and_nothing_besides(tmp_path: Path, lines):  # noqa: F811
    tracker = Tracker("own", Store.of("own", tmp_path))
    tracker.open(STUDY_YAML, {})
    assert [e.name for e in tracker._client.search_experiments()] == ["own", "Default"]


def test_what_a_session_that_does_not_track_runs_is_sent_by_the_one_that_does_and_by_no_second(tmp_path, lines):  # noqa: F811
    store = Store.of("left", tmp_path)
    first, second = Tracker("left", store), Tracker("left", store)
    with Session(store, tracks=False) as untracked, Session(store) as other:
        begun, ended, theirs = (store.trial(name) for name in ("begun", "ended", "theirs"))
        for trial in (begun, ended, theirs):
            start(first, trial.id)
            assert (other if trial is theirs else untracked).claims.take(trial.id)
        finish(ended)
        for tracker in (first, second):
            tracker.open(STUDY_YAML, {})
            tracker.sync()
        assert {name: run.info.status for name, run in runs(first).items()} == {"begun": "RUNNING", "ended": "FINISHED"}
        assert len(runs(first)) == len(first._client.search_runs([first.experiment_id], "tags.role = 'trial'"))
        assert second._client.calls["create_run"] == 0  # the first was elected
        train(begun, 4, 5)
        assert second.sync()
        assert first.sync()
        assert len(history(first, runs(first)["begun"])) == 5


def test_a_run_with_tracking_off_makes_no_database_and_a_later_run_sends_all(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    study = Study("off", base=replace(tiny, epochs=1))
    study.run_one(storage=tmp_path)  # nothing is left to run, so no Ray starts
    assert study.run(storage=tmp_path, tracking_uri="off").frame["status"].tolist() == ["finished"]
    assert not (tmp_path / "mlflow.db").exists()
    with pytest.raises(TrackingRefused, match="tracking is off here"):
        states("off", "off", tmp_path)
    study.run(storage=tmp_path)
    planned, found = states("off", None, tmp_path)
    assert (planned, [state["status"] for state in found]) == (1, ["finished"])

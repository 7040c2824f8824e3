"""A SQLite file has writers on one machine at a time; those of others leave to them what they have, or take over."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from study.storage import claims
from study.storage.claims import Session
from study.storage.store import Store
from study.tracking.tracker import Tracker
from study.tracking.uri import TrackingRefused
from study.tracking.writers import Writers
from tests.tracking.test_sessions import at_once
from tests.tracking.test_tracker import STUDY_YAML, finish, history, lines, runs, start, train  # noqa: F401 (a fixture)

# sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.usefixtures("lines"),
]


NODE7 = '{"owner": "bob", "host": "node7", "machine": "node7", "pid": 1, "started": ""}'


class Machines:
    """Sessions of several machines in one process: each call runs as on the one it names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._name = "here"
        monkeypatch.setattr(claims, "_machine", lambda: self._name)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        before, self._name = self._name, name
        yield
        self._name = before


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(monkeypatch)


def writes(tracker: Tracker) -> bool:
    """Whether it sends what it has."""
    start(tracker, trial_id := f"{tracker.study}{len(list(tracker.store.trials()))}", epochs=1)
    assert tracker.session.claims.take(trial_id)
    return tracker.sync() and trial_id in runs(tracker)


def test_a_sqlite_file_is_written_by_sessions_of_one_machine_whatever_their_studies(tmp_path, lines, on, caplog):  # noqa: F811
    first, second = (Tracker(name, Store.of(name, tmp_path)) for name in ("a", "b"))
    with on("node7"):
        third = Tracker("c", Store.of("c", tmp_path))
    for tracker in (first, second):
        tracker.open(STUDY_YAML, {})
    with on("node7"):
        third.open(STUDY_YAML, {})
        assert not writes(third)
        assert "mlflow.db is written by" in caplog.text
        assert "one machine at a time" in caplog.text
    assert len(lines) == 2  # the third did not even open the file
    assert writes(first)
    first.session.end()
    with on("node7"):
        assert not writes(third), "the second writes still"
    assert writes(second)
    second.session.end()
    with on("node7"):
        assert writes(third)
        assert len(runs(third)) == 3  # those that waited too
    late = Tracker("a", first.store)
    late.open(STUDY_YAML, {})
    assert not late.is_open


def test_of_sessions_of_many_machines_that_open_a_database_at_once_one_machine_writes_it(tmp_path, on, monkeypatch):
    sessions = []
    for name in "abcdef":
        with on(name):
            sessions.append(Session(Store.of("s", tmp_path)))
    local, barrier, may = threading.local(), threading.Barrier(6), []
    monkeypatch.setattr(claims, "_machine", lambda: local.name)

    def race(session: Session, name: str) -> None:
        local.name = name
        writers = Writers(tmp_path / "mlflow.db", session)
        barrier.wait()
        may.append(writers.join())

    at_once(*[lambda pair=pair: race(*pair) for pair in zip(sessions, "abcdef", strict=True)])
    assert sorted(may) == [False] * 5 + [True]


def test_a_session_that_stood_still_for_a_minute_writes_no_more_where_another_machine_took_over(
    tmp_path,
    on,
    monkeypatch,
    lines,  # noqa: F811
):
    now = [1000.0]
    monkeypatch.setattr(claims.time, "monotonic", lambda: now[0])
    still = Tracker("a", Store.of("a", tmp_path))
    still.open(STUDY_YAML, {})
    with on("node7"):
        other = Tracker("b", Store.of("b", tmp_path))
        other.open(STUDY_YAML, {})
        for _ in range(int(claims.EXPIRES) - 1):
            now[0] += 1
            assert not other.sync()
        now[0] += 2
        assert writes(other)
    created = lines[0].calls["create_run"]
    assert not writes(still)
    still.attach(tmp_path / "nothing")
    assert lines[0].calls["create_run"] == created


def test_a_session_that_stood_still_among_its_trials_sends_no_further_one(tmp_path, monkeypatch):
    tracker = Tracker("a", Store.of("a", tmp_path))
    tracker.open(STUDY_YAML, {})
    for name in ("first", "second"):
        finish(start(tracker, name))
    send = type(tracker._sender).send

    def stand_still(self, trial, stamp):
        found = send(self, trial, stamp)
        tracker._writers._claims.board.put("writer.1", "another")  # took over
        tracker._writers._claims.board.announce("another", NODE7)
        return found

    monkeypatch.setattr(type(tracker._sender), "send", stand_still)
    assert not tracker.sync()
    assert list(runs(tracker)) == ["first"]


def test_where_sessions_cannot_meet_a_study_is_refused_before_it_starts(tmp_path):
    (tmp_path / "mlflow.db.sessions").write_text("")
    tracker = Tracker("a", Store.of("a", tmp_path))
    with pytest.raises(TrackingRefused, match=r"mlflow.db.sessions, where .* cannot be used \(.+\): make"):
        tracker.open(STUDY_YAML, {})
    assert len(tracker.session._boards) == 1


def test_a_session_of_a_later_version_is_alive_and_one_that_waits_says_when_its_trials_are_sent(tmp_path, on, caplog):
    first = Tracker("a", Store.of("a", tmp_path))
    first.open(STUDY_YAML, {})
    board = first._writers._claims.board
    board.announce(first.session.name, json.dumps(json.loads(board.session(first.session.name)) | {"new": 1}))
    for study, told in (("a", "that session sends this one's trials too"), ("b", "are sent once it has ended")):
        with on("node7"):
            other = Tracker(study, Store.of(study, tmp_path))
            other.open(STUDY_YAML, {})
            assert not other.is_open
            assert caplog.records[-1].message.endswith(told)


def test_what_a_session_of_another_machine_runs_is_sent_while_it_runs(tmp_path, on):
    store = Store.of("s", tmp_path)
    first = Tracker("s", store)
    first.open(STUDY_YAML, {})
    with on("node7"):
        other = Tracker("s", store)
        other.open(STUDY_YAML, {})
        trial = start(other, epochs=2)
        assert other.session.claims.take(trial.id)
        assert not other.sync()
    first._backlog.look_at_others()
    assert first._sync_watched()
    assert len(history(first, runs(first)["aaa"])) == 2
    train(trial, 3, 3)
    finish(trial)
    first.session.end()
    with on("node7"):
        assert other.sync()
        (run,) = other._client.search_runs([other.experiment_id], "tags.role = 'trial'")
        assert (run.info.status, len(history(other, run))) == ("FINISHED", 3)

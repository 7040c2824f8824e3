"""Two sessions at once run each trial once, whatever one of them dies of."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from study.storage import claims
from study.storage.claims import Board, Session
from study.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.of("s", tmp_path)


def elsewhere(store: Store, beat: int = 0) -> str:
    """A session on another machine."""
    name = "elsewhere-1"
    holder = {"owner": "alice", "host": "node7", "machine": "another", "pid": 1, "started": "9", "beat": beat}
    Board(store.path).announce(name, json.dumps(holder))
    return name


def test_of_many_sessions_at_once_one_gets_the_claim(store: Store) -> None:
    sessions, barrier, taken = [Session(store) for _ in range(8)], threading.Barrier(8), []

    def race(session: Session) -> None:
        for trial in range(40):
            barrier.wait()
            if session.claims.take(f"t{trial}"):
                taken.append(trial)

    threads = [threading.Thread(target=race, args=[session]) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(40))


def test_many_sessions_that_take_over_at_once_get_one_claim(store: Store) -> None:
    dead = Session(store)
    assert all(dead.claims.take(f"t{trial}") for trial in range(40))
    dead.end()
    test_of_many_sessions_at_once_one_gets_the_claim(store)


def test_a_claim_outlives_neither_its_session_nor_its_process(store: Store) -> None:
    script = (
        "import sys, os, signal; from study.storage.claims import Session; from study.storage.store import Store\n"
        "with Session(Store.of('s', sys.argv[1]), 'bob') as session:\n"
        "    assert session.claims.take('a'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(store.path.parent)], check=False)
    assert killed.returncode == -9
    second = Session(store)
    assert second.claims.is_free("a")
    assert second.claims.take("a")
    third = Session(store)
    assert not third.claims.take("a")
    assert third.claims.holder("a") is not None
    second.end()
    assert third.claims.take("a")


def test_a_process_of_the_same_number_but_another_start_is_not_the_holder(store: Store) -> None:
    first, second = Session(store), Session(store)
    assert first.claims.take("a")
    board = Board(store.path)
    text = json.loads(board.session(first.name) or "")
    board.announce(first.name, json.dumps(text | {"started": "1"}))
    assert second.claims.take("a")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds; to be set forward."""
    now = [1000.0]
    monkeypatch.setattr(claims.time, "monotonic", lambda: now[0])
    return now


def looks(session: Session, clock: list[float], seconds: float) -> bool:
    """Whether it gets the trial in so many seconds of asking every second."""
    until = clock[0] + seconds
    while clock[0] < until:
        clock[0] += 1
        if session.claims.take("a"):
            return True
    return False


def test_a_session_on_another_machine_is_dead_once_its_heartbeat_stands_still(store: Store, clock: list[float]) -> None:
    Board(store.path).put("a.0", elsewhere(store))
    session = Session(store)
    assert not session.claims.take("a")
    assert str(session.claims.holder("a")) == "alice@node7"
    assert not looks(session, clock, claims.EXPIRES - 1)
    elsewhere(store, beat=5)
    assert not session.claims.take("a")
    assert not looks(session, clock, claims.EXPIRES - 1), "it beat less than EXPIRES ago"
    assert looks(session, clock, 2)


@pytest.mark.parametrize("left", [b"", b'{"owner": ', b"\xff\xfe\x00", b'{"owner": "alice"}'])
def test_a_heartbeat_that_cannot_be_read_is_of_no_living_session(store: Store, left: bytes) -> None:
    Board(store.path).put("a.0", elsewhere(store))
    (store.path / "sessions" / "elsewhere-1.json").write_bytes(left)
    assert Session(store).claims.take("a")


def test_a_heartbeat_that_nobody_could_look_at_has_not_stood_still(store: Store, clock: list[float]) -> None:
    """A storage that was unreachable for minutes took the others' heartbeats away too."""
    Board(store.path).put("a.0", elsewhere(store))
    session = Session(store)
    assert not session.claims.take("a")
    clock[0] += 2 * claims.EXPIRES
    assert not session.claims.take("a")
    elsewhere(store, beat=1)
    assert not looks(session, clock, claims.EXPIRES - 1)
    assert looks(session, clock, 2)


def test_a_session_beats_until_it_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.01)
    board = Board(store.path)
    with Session(store, "ada") as session:
        waited = threading.Event()
        while json.loads(board.session(session.name) or "{}")["beat"] < 3:
            waited.wait(0.01)
    assert board.session(session.name) is None


def test_a_storage_has_one_name_for_all_its_sessions(store: Store, tmp_path: Path) -> None:
    first, second = Session(store), Session(store)
    assert first.storage == second.storage
    assert first.storage != Session(Store.of("s", tmp_path / "other")).storage
    assert first.name != second.name

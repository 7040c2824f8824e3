"""Files that are written once, also where the file system has no hard links."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from study.storage import registers
from study.storage.registers import create


@pytest.fixture(params=[True, False], ids=["with links", "without links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not request.param:
        monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("links")
def test_of_many_writers_one_wins_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    won, barrier = [], threading.Barrier(8)

    def write(name: str) -> None:
        barrier.wait()
        if create(tmp_path / "claims" / "a.0", name):
            won.append(name)

    writers = [threading.Thread(target=write, args=(f"session {number}",)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(won) == 1
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["a.0"]
    assert (tmp_path / "claims" / "a.0").read_text() == won[0]


@pytest.mark.usefixtures("links")
def test_a_name_that_is_taken_stays_as_it_is(tmp_path: Path) -> None:
    assert create(tmp_path / "a", "mine")
    assert not create(tmp_path / "a", "yours")
    assert (tmp_path / "a").read_text() == "mine"


def test_a_reservation_that_a_kill_left_does_not_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    reserved = tmp_path / ".a.reserved"
    reserved.mkdir()
    before = time.time() - registers.RESERVED - 1
    os.utime(reserved, (before, before))
    assert create(tmp_path / "a", "mine")


def test_another_error_of_a_link_is_not_taken_for_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="Read-only"):
        create(tmp_path / "a", "mine")

"""The files survive kills at any moment: no epoch is lost, none counts twice."""

import errno
from pathlib import Path

import pytest

from study.storage import store
from study.storage.store import DiskFull, Store, create
from study.storage.trial_result import TrialResult


def line(epoch: int, value: float = 1.0) -> dict:
    return {"epoch": epoch, "time": 0.0, "metrics": {"train.loss": value}}


def test_an_epoch_that_is_redone_counts_once_and_the_first_line_stays(tmp_path) -> None:
    folder = Store.of("s", tmp_path).trial("a")
    folder.write_config({})
    folder.append(line(1))
    folder.append(line(2))
    folder.append(line(2, 9.0))
    assert folder.journal() == [line(1), line(2)]


def test_a_line_that_a_kill_cut_short_does_not_count_and_is_written_again(tmp_path) -> None:
    folder = Store.of("s", tmp_path).trial("a")
    folder.write_config({})
    folder.append(line(1))
    with (folder.path / "journal.jsonl").open("a") as file:
        file.write('{"epoch": 2, "ti')
    assert folder.journal() == [line(1)]
    folder.append(line(2))
    folder.append(line(3))
    assert folder.journal() == [line(1), line(2), line(3)]


def test_the_status_follows_the_files(tmp_path) -> None:
    folder = Store.of("s", tmp_path).trial("a")
    assert folder.status() == "pending"
    folder.write_config({})
    assert folder.status() == "pending"
    folder.append(line(1))
    assert folder.status() == "started"
    folder.save_checkpoint(1, b"x", keep=2)
    folder.write_result(TrialResult.failure("why"))
    assert folder.status() == "failed"
    folder.reset()
    assert folder.status() == "started"
    assert folder.checkpoints(), "a retried trial goes on from its last epoch"
    folder.write_result(TrialResult(status="finished", started=0, ended=1))
    assert folder.checkpoints() == []


def test_a_study_lists_its_trials_and_nothing_else(tmp_path) -> None:
    study = Store.of("s", tmp_path)
    assert list(study.trials()) == []
    study.trial("b").write_config({})
    study.trial("a").write_config({})
    (study.path / "other").mkdir()
    assert [folder.id for folder in study.trials()] == ["a", "b"]


def test_a_table_is_read_as_it_was_written_and_what_json_lacks_is_none(tmp_path) -> None:
    folder = Store.of("s", tmp_path).trial("t")
    assert (folder.tables(), folder.table("bands")) == ([], [])
    folder.write_table("bands", [{"band": "a", "mean": 0.5}, {"band": "b", "mean": float("nan"), "se": float("inf")}])
    assert folder.tables() == ["bands"]
    assert folder.table("bands") == [{"band": "a", "mean": 0.5, "se": None}, {"band": "b", "mean": None, "se": None}]


def test_a_register_that_the_disk_has_no_space_for_says_where_and_is_not_written(tmp_path, monkeypatch) -> None:
    write = store._write

    def write_half(path: Path, data: bytes, durable: bool) -> None:
        write(path, data[: len(data) // 2], durable)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_write", write_half)
        with pytest.raises(
            DiskFull, match=f"^no space is left for .* in {tmp_path}; free some, then `study run` again"
        ):
            create(tmp_path / "register", "mine")
    assert list(tmp_path.iterdir()) == []
    assert create(tmp_path / "register", "mine")

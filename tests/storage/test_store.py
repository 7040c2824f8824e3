"""The files survive kills at any moment: no epoch is lost, none counts twice."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from study.storage import registers, store
from study.storage.registers import create
from study.storage.store import DiskFull, Store
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


def test_a_whole_line_that_cannot_be_read_hides_none_behind_it(tmp_path, caplog) -> None:
    trial = Store.of("s", tmp_path).trial("a")
    for epoch in (1, 2, 3):
        trial.append({"epoch": epoch})
    lines = (trial.path / "journal.jsonl").read_text().splitlines()
    (trial.path / "journal.jsonl").write_text("\n".join([lines[0], lines[1][:5], lines[2], ""]))
    assert [line["epoch"] for line in trial.journal()] == [1, 3]
    trial.append({"epoch": 4})
    assert [json.loads(line)["epoch"] for line in (trial.path / "journal.jsonl").read_text().splitlines()] == [1, 3, 4]
    assert "lines that cannot be read are left out: 1" in caplog.text


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
    write = store.write_plainly

    def write_half(path: Path, data: bytes, durable: bool) -> None:
        write(path, data[: len(data) // 2], durable)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(registers, "write_plainly", write_half)
        with pytest.raises(
            DiskFull, match=f"^no space is left for .* in {tmp_path}; free some, then `study run` again"
        ):
            create(tmp_path / "register", "mine")
    assert list(tmp_path.iterdir()) == []
    assert create(tmp_path / "register", "mine")


@pytest.mark.parametrize("content", ["", '{"status": "finished", "metr', "{}", "[]"])
def test_a_result_that_is_not_whole_is_named_and_set_aside_and_the_trial_runs_again(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Store.of("s", tmp_path).trial("a")
    folder.write_config({})
    folder.append(line(1))
    (folder.path / "result.json").write_text(content)
    assert folder.status() == "started"
    assert folder.result() is None
    assert str(folder.path / "result.json") in caplog.text
    assert (folder.path / "result.json.unreadable").read_text() == content


def test_a_config_or_journal_that_is_not_whole_breaks_nothing(tmp_path: Path) -> None:
    study = Store.of("s", tmp_path)
    folder = study.trial("a")
    folder.write_config({"cell": {}})
    folder.append(line(1))
    with (folder.path / "journal.jsonl").open("a") as file:
        file.write("\0\0\0\n")
    assert folder.journal() == [line(1)]
    (folder.path / "config.json").write_text("")
    assert list(study.trials()) == []
    folder.write_config({"cell": {"k": 4}})
    assert [found.config()["cell"] for found in study.trials()] == [{"k": 4}]


@pytest.mark.parametrize("has_id", [True, False])
def test_a_copy_of_a_trials_folder_is_no_replicate(
    has_id: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = Store.of("s", tmp_path)
    folder = study.trial("0123456789ab")
    folder.write_config({"cell": {}})
    if not has_id:  # of an earlier version
        (folder.path / "config.json").write_text('{"cell": {}, "started": 0}')
    for name in ("0123456789ab (conflicted copy)", "0123456789ab_old", "copy of 0123456789ab"):
        shutil.copytree(folder.path, study.path / name)
    assert [found.id for found in study.trials()] == ["0123456789ab"]
    assert caplog.text.count("left out") == 3

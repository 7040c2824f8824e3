"""Checkpoints are kept as the study says; a damaged one, or a full disk, costs epochs and never a number."""

import errno
import zipfile
from pathlib import Path

import pytest

from study import ConfigError, Study, TrialConfig
from study.planning.resolve import resolve
from study.storage import store
from study.storage.store import Checkpoints, Store, TrialFolder
from study.trial.run import run_trial
from tests.conftest import undrawn
from tests.trial.conftest import Killed
from tests.trial.test_run import numbers


def folder(tmp_path: Path, name: str = "a") -> TrialFolder:
    return Store.of("s", tmp_path).trial(name)


def killed_after(trial, at: TrialFolder, last: int, **options) -> None:
    def kill(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == last:
            raise Killed

    with pytest.raises(Killed):
        run_trial(trial, at, threads=1, report=kill, **options)


@pytest.mark.parametrize("damage", ["truncated", "one bad byte", "empty"])
def test_a_damaged_last_checkpoint_is_set_aside_for_the_one_before(
    begun: TrialFolder, whole: TrialFolder, tiny: TrialConfig, damage
) -> None:
    trial, at = undrawn(resolve(tiny)), begun
    last, before = at.checkpoints()
    content = bytearray(last.read_bytes())
    weights = max(map(zipfile.ZipFile(last).read, zipfile.ZipFile(last).namelist()), key=len)
    content[content.index(weights) + len(weights) // 2] ^= 0xFF  # between the records there is padding
    last.write_bytes({"truncated": content[:1000], "one bad byte": bytes(content), "empty": b""}[damage])
    resumed = []
    result = run_trial(trial, at, threads=1, report=lambda epoch, metrics: resumed.append(epoch))
    assert resumed == [2, 3], "from the checkpoint of epoch 1"
    assert numbers(result) == numbers(whole.result())
    assert [line["epoch"] for line in at.journal()] == [1, 2, 3]
    assert last.with_name(f"{last.name}.unreadable").exists()
    assert before.name == "000001.pt"


def test_checkpoints_are_written_and_kept_as_the_study_says(
    tmp_path: Path, tiny: TrialConfig, whole: TrialFolder
) -> None:
    study = Study("s", base=tiny, checkpoint_every=2, checkpoints=1, keep_checkpoint=True)
    trial, at = undrawn(resolve(tiny)), folder(tmp_path)
    assert whole.checkpoints() == []
    killed_after(trial, at, 2, checkpoints=study.kept)
    assert [path.name for path in at.checkpoints()] == ["000002.pt"]
    assert numbers(run_trial(trial, at, threads=1, checkpoints=study.kept)) == numbers(whole.result())
    assert [path.name for path in at.checkpoints()] == ["000003.pt"]
    with pytest.raises(ConfigError, match="checkpoints must be a whole number of at least 1, got 0"):
        Study("s", checkpoints=0)


@pytest.mark.parametrize("name", ["000002.pt", "journal.jsonl", "result.json", "config.json"])
def test_a_full_disk_fails_the_trial_with_its_reason_and_a_retry_goes_on(
    tmp_path: Path, tiny: TrialConfig, whole: TrialFolder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    trial, at = undrawn(resolve(tiny)), folder(tmp_path)
    write, full = store.write_plainly, [True]

    def write_until_full(path: Path, data: bytes, durable: bool) -> None:
        if full and path.name.startswith(f".{name}."):
            write(path, data[: len(data) // 2], durable)
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data, durable)

    monkeypatch.setattr(store, "write_plainly", write_until_full)
    monkeypatch.setattr(TrialFolder, "_is_whole", lambda self, known: not full)  # the journal is written whole, too
    result = run_trial(trial, at, threads=1, checkpoints=Checkpoints())
    assert result.status == "failed"
    assert "no space is left for the" in result.reason
    assert str(at.path) in result.reason
    assert not list(at.path.glob("**/.*")), "no half-written file stays to fill the disk"
    full.clear()
    at.reset()
    assert numbers(run_trial(trial, at, threads=1)) == numbers(whole.result())
    assert [line["epoch"] for line in at.journal()] == [1, 2, 3]

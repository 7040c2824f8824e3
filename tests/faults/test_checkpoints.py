"""Checkpoints that were damaged, a disk that is full, a clock that was set back."""

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.storage.store import TrialFolder
from tests.faults.conftest import Reference
from tests.faults.evidence import Evidence, judge
from tests.faults.harness import Driver, until


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def nothing(content: bytes) -> bytes:
    return b""


def flipped(content: bytes) -> bytes:
    """One bit in the middle of the weights: nothing but a checksum can tell."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def another_file(content: bytes) -> bytes:
    return random.Random(0).randbytes(len(content))


def trained(driver: Driver, epochs: int) -> list[TrialFolder]:
    """The open trials that have a checkpoint, once two have come this far."""

    def found() -> list[TrialFolder]:
        trials = Evidence(driver.runs).trials.values()
        return [trial for trial in trials if trial.result() is None and len(trial.journal()) >= epochs]

    return until(lambda: len(ready := found()) >= 2 and ready, f"two trials have {epochs} epochs", 300)


def test_damaged_checkpoint_costs_time_and_changes_no_number(tmp_path: Path, reference: Reference) -> None:
    seconds, kinds = 0.0, [half, flipped, nothing, another_file]
    for epochs, damages in ((3, kinds[:2]), (6, kinds[2:])):
        with Driver(tmp_path) as driver:
            ready = trained(driver, epochs)
            driver.kill()
        seconds += driver.seconds
        for trial, damage in zip(ready, damages, strict=False):
            last = trial.checkpoints()[0]
            last.write_bytes(damage(last.read_bytes()))
    with Driver(tmp_path) as driver:
        assert driver.wait() == 0, driver.output
    lost = (seconds + driver.seconds - reference.seconds) / len(kinds)
    judge("corrupt checkpoint", len(kinds), [Evidence(tmp_path / "runs")], reference.evidence, seconds_lost=lost)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    folder = tmp_path / "runs"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here: that takes CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write a file until there is no space left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**16, 2**8, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def unfinished_business(runs: Path) -> str:
    """The verb that goes on: a trial whose failure was recorded is not run again unless asked."""
    states = [trial.status() for trial in Evidence(runs).trials.values()]
    return "retry" if "failed" in states else "run"


def test_full_disk_is_said_and_the_study_goes_on_when_there_is_space(
    tmp_path: Path, small_disk: Path, reference: Reference
) -> None:
    draw, seconds, times = random.Random(3), 0.0, 2
    for _ in range(times):
        with Driver(tmp_path, verb=unfinished_business(small_disk)) as driver:
            trained = driver.epochs() + draw.randrange(1, 8)
            until(lambda trained=trained: driver.epochs() >= trained, f"{trained} epochs are trained", 600)
            ballast = fill(small_disk)
            status = driver.wait(300)
        seconds += driver.seconds
        assert status in (1, 2), driver.output  # 2: it was full before anything was started
        assert re.search("no space (is )?left", driver.output, re.IGNORECASE), driver.output
        assert "Traceback" not in driver.output
        assert len(driver.output.splitlines()) < 40 * times, driver.output
        ballast.unlink()
    with Driver(tmp_path, verb=unfinished_business(small_disk)) as driver:
        assert driver.wait() == 0, driver.output
    lost = (seconds + driver.seconds - reference.seconds) / times
    judge("disk full", times, [Evidence(small_disk)], reference.evidence, seconds_lost=lost)


SET_BACK = """import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() - 3600
time.time_ns = lambda: _time_ns() - 3600 * 10**9
"""


def test_resumed_trial_has_a_steady_clock(tmp_path: Path, reference: Reference) -> None:
    """A machine whose clock is an hour slow goes on with what another one began."""
    with Driver(tmp_path) as driver:
        trained(driver, 4)
        driver.kill()
    seconds = driver.seconds
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SET_BACK)
    with Driver(tmp_path, path=[tmp_path / "slow"]) as driver:
        assert driver.wait() == 0, driver.output
    run = Evidence(tmp_path / "runs")
    for trial in run.trials.values():
        result = trial.result()
        assert result is not None
        assert result.started <= result.ended
        epochs = [2 * 64 * (1024 // 64) / line["metrics"]["train.views_per_s"] for line in trial.journal()]
        assert abs(result.metrics["time.train_s"] - sum(epochs)) <= max(epochs)  # at most one was done twice
        ((_, start, end),) = run.mlflow_runs[trial.id]
        times = [time for _, step, _, time in sorted(run.logged[trial.id], key=lambda point: point[1]) if step]
        assert times == sorted(times)
        assert start <= times[0] <= times[-1] <= end
    lost = seconds + driver.seconds - reference.seconds
    judge("clock set back by 1 h", 1, [run], reference.evidence, seconds_lost=lost)

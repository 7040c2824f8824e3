"""Workers and drivers that are killed, at moments drawn at random, and drivers that are interrupted."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from study.storage.store import TrialFolder
from tests.faults.conftest import Reference
from tests.faults.evidence import Evidence, judge
from tests.faults.harness import Driver, alive, pause, trial_of, until

WORKER_KILLS = 20
A_TRIAL = 3
"""Deaths of its worker that a trial survives without a new epoch (`study.execution.proposals.RETRIES`)."""


def kill_workers(driver: Driver, count: int, draw: random.Random) -> int:
    """Kill workers at random moments, none of a trial that has no more tries; how many it were."""
    deaths: Counter[str] = Counter()
    while deaths.total() < count and not driver.over():
        pause(draw, 0.2, 3)
        workers = [worker for worker in driver.workers() if deaths[trial_of(worker)] < A_TRIAL and trial_of(worker)]
        if workers:
            worker = draw.choice(workers)
            deaths[trial_of(worker)] += 1
            worker.kill()
    return deaths.total()


def test_trials_whose_workers_are_killed_end_with_the_same_numbers(tmp_path: Path, reference: Reference) -> None:
    draw, kills, seconds, round_ = random.Random(0), 0, 0.0, 0
    while kills < WORKER_KILLS:
        with Driver(tmp_path / str(round_)) as driver:
            round_kills = kill_workers(driver, WORKER_KILLS - kills, draw)
            assert driver.wait() == 0, driver.output
        kills += round_kills
        seconds += driver.seconds - reference.seconds
        round_ += 1
    runs = [Evidence(tmp_path / str(number) / "runs") for number in range(round_)]
    row = judge("SIGKILL of a worker", kills, runs, reference.evidence, seconds_lost=seconds / kills)
    assert row.failed == 0


def hunted(driver: Driver) -> TrialFolder:
    """A trial that runs."""

    def found() -> TrialFolder | None:
        trials = Evidence(driver.runs).trials
        return next((trials[name] for worker in driver.workers() if (name := trial_of(worker)) in trials), None)

    trial = until(found, "a worker has begun its trial", 600)
    assert trial is not None
    return trial


def test_trial_whose_worker_always_dies_fails_with_its_reason_and_hinders_no_other(
    tmp_path: Path, reference: Reference
) -> None:
    with Driver(tmp_path) as driver:
        trial, kills = hunted(driver), 0
        while trial.result() is None and not driver.over():
            for worker in driver.workers():
                if trial_of(worker) == trial.id:
                    worker.kill()
                    kills += 1
                    until(lambda gone=worker: not alive(gone), "the worker is dead")
        assert driver.wait() == 1, driver.output
    row = judge(
        "a worker that always dies", kills, [Evidence(tmp_path / "runs")], reference.evidence, seconds_lost=None
    )
    assert row.failed == 1
    assert "its worker died 4 times" in driver.output


def test_trial_that_makes_an_epoch_after_each_death_of_its_worker_outlives_more_of_them(
    tmp_path: Path, reference: Reference
) -> None:
    with Driver(tmp_path) as driver:
        trial, kills = hunted(driver), 0
        while kills <= A_TRIAL:
            known = len(trial.journal())
            until(lambda known=known: len(trial.journal()) > known, "an epoch is trained", 300)
            time.sleep(0.5)  # the driver hears of it
            for worker in driver.workers():
                if trial_of(worker) == trial.id:
                    worker.kill()
                    kills += 1
        assert driver.wait() == 0, driver.output
    lost = (driver.seconds - reference.seconds) / kills
    judge("a worker that dies at each epoch", kills, [Evidence(driver.runs)], reference.evidence, seconds_lost=lost)


ROOM, BEYOND = 8 * 2**30, 2 * 2**30
"""Memory that the study may take, and how far something else then goes beyond that: bytes."""


def memory_in_use() -> int:
    """As Ray counts it."""
    memory = psutil.virtual_memory()
    return memory.total - memory.available


@contextmanager
def ballast(until_used: float) -> Iterator[None]:
    """Something else on the machine takes memory until so much of it is in use."""
    size = max(int(until_used) - memory_in_use(), 0)
    process = subprocess.Popen([sys.executable, "-c", f"held = b'x' * {size}; import time; time.sleep(60)"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_trials_whose_workers_are_killed_for_the_nodes_memory_end_with_the_same_numbers(
    tmp_path: Path, reference: Reference
) -> None:
    draw, kills = random.Random(4), 3
    memory, limit = psutil.virtual_memory(), memory_in_use() + ROOM
    if memory.available < ROOM + 2 * BEYOND:
        pytest.skip(f"needs {(ROOM + 2 * BEYOND) / 2**30:.0f} GiB of free memory")
    watch = {"RAY_memory_usage_threshold": f"{limit / memory.total:.3f}", "RAY_memory_monitor_refresh_ms": "100"}
    with Driver(tmp_path, environment={**os.environ, **watch}) as driver:
        for _ in range(kills):
            driver.until_running()
            pause(draw, 0, 5)
            workers = driver.until_running()
            with ballast(limit + BEYOND):
                until(lambda seen=workers: not all(map(alive, seen)), "Ray kills a worker", 60)
        assert driver.wait() == 0, driver.output
    assert "Traceback" not in driver.output
    lost = (driver.seconds - reference.seconds) / kills
    row = judge("memory of the node runs out", kills, [Evidence(driver.runs)], reference.evidence, seconds_lost=lost)
    assert row.failed == 0


def test_study_whose_driver_is_killed_goes_on_when_it_is_run_again(tmp_path: Path, reference: Reference) -> None:
    draw, kills, seconds = random.Random(1), 5, 0.0
    with ExitStack() as stack:  # what a killed driver leaves behind is there while the next one runs
        for number in range(kills):
            driver = stack.enter_context(Driver(tmp_path))
            if number % 2:  # while it starts: the database is made, Ray comes up
                pause(draw, 0.1 * reference.starts, 0.9 * reference.starts)
            else:
                driver.until_running()
                goal = driver.epochs() + draw.randint(0, 12)
                until(lambda d=driver, goal=goal: d.epochs() >= goal, f"{goal} epochs")
                pause(draw, 0, 1)
            assert not driver.over(), driver.output
            driver.kill()
            seconds += driver.seconds
        driver = stack.enter_context(Driver(tmp_path))
        assert driver.wait() == 0, driver.output
    lost = (seconds + driver.seconds - reference.seconds) / kills
    judge("SIGKILL of the driver", kills, [Evidence(tmp_path / "runs")], reference.evidence, seconds_lost=lost)


def test_interrupted_study_stops_at_once_and_goes_on_when_it_is_run_again(tmp_path: Path, reference: Reference) -> None:
    draw, seconds = random.Random(2), 0.0
    for number in range(2):
        with Driver(tmp_path) as driver:
            driver.until_running()
            goal = driver.epochs() + draw.randint(0, 24)
            until(lambda d=driver, goal=goal: d.epochs() >= goal, f"{goal} epochs")
            family = driver.family()
            interrupted = time.monotonic()
            driver.interrupt()
            assert driver.wait(60) == 130, driver.output
            assert time.monotonic() - interrupted < 20
            until(lambda left=family: not any(map(alive, left)), "what the driver started ends", 10)
        seconds += driver.seconds
        assert driver.output.count("interrupted; finished trials are kept. To go on: study run") == number + 1
        assert "Traceback" not in driver.output
    with Driver(tmp_path) as driver:
        assert driver.wait() == 0, driver.output
    lost = (seconds + driver.seconds - reference.seconds) / 2
    judge("SIGINT", 2, [Evidence(tmp_path / "runs")], reference.evidence, seconds_lost=lost)


def test_nothing_is_left_running_when_a_study_is_over(tmp_path: Path) -> None:
    data = {"name": "shapes", "train_size": 128, "test_size": 50}
    study = {"name": "small", "base": {"data": data, "batch_size": 64, "epochs": 1}}
    with Driver(tmp_path, study=study) as driver:
        seen: dict[int, psutil.Process] = {}
        while not driver.over():
            seen |= {process.pid: process for process in driver.family()}
            time.sleep(0.1)
        assert driver.wait() == 0, driver.output
        until(lambda: not any(map(alive, seen.values())), "what the driver started ends", 10)

"""1,000 trials of about a second: what the machinery adds to each, and what the driver keeps of them.

`make test-scale` writes the figures into docs/results/scale.md.
"""

import os
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from study.machine.environment import cores
from study.storage.store import Store
from tests.conftest import TINY
from tests.faults.harness import Driver
from tests.faults.table import conditions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

STUDY: dict[str, Any] = {
    "name": "scale",
    "base": TINY,
    "space": {"k": {"grid": [4, 8, 16, 32, 64]}, "temperature": {"grid": [0.1 + i / 20 for i in range(10)]}},
    "seeds": 20,
}
TRIALS = 1000
ROOT = str(Path(__file__).parents[2])
WARM = 50
"""Finished trials after which the driver has loaded what it needs."""
MARKS = ("<!-- figures: make test-scale -->", "<!-- end of figures -->")


@dataclass(frozen=True)
class Sample:
    """One look at a run."""

    finished: int
    tracked: int
    """finished in MLflow"""
    mib: float
    """resident, of the driver"""
    cpu: float
    """seconds of processor that the driver has used"""


@dataclass(frozen=True)
class Figures:
    """Of a run; times in seconds, memory in MiB."""

    trials: int
    wall: float
    """from the command to its end"""
    trial: float
    """mean of a trial's own time, on its worker from its first line to its result"""
    overhead: float
    """(wall × trials at once − Σ own time) / trials: with the start of Ray, imports, and the study's summary"""
    bare: float
    """of the same trials one after another in as many processes, without Ray, MLflow and a driver: wall time of one"""
    driver_cpu: float
    """of the driver, for each trial after the first WARM"""
    driver_growth: float
    """of the driver, from the WARMth finished trial to the last"""
    driver_peak: float
    behind: int
    """finished trials that MLflow did not have yet, at most"""
    after_last: float
    """from the last trial's result to the command's end: what MLflow still misses, and the summary"""
    status: float
    """of two, as is the report: the first compiles what it imports, where no command did so before"""
    report: float

    def rows(self) -> str:
        """As the page's table."""
        named = {
            "trials": f"{self.trials:,}",
            "wall time, s": f"{self.wall:,.0f}",
            "a trial's own time, mean, s": f"{self.trial:.2f}",
            "**overhead per trial, s** (at most 0.25)": f"{self.overhead:.3f}",
            "a trial in a bare loop, as many at once, s": f"{self.bare:.2f}",
            "processor time of the driver per trial, s": f"{self.driver_cpu:.3f}",
            f"**growth of the driver**, trial {WARM} to the last, MiB (at most 50)": f"{self.driver_growth:.1f}",
            "peak of the driver, MiB": f"{self.driver_peak:,.0f}",
            "finished trials that MLflow did not have yet, at most": f"{self.behind}",
            "from the last trial's result to the command's end, s": f"{self.after_last:.1f}",
            "**`study status`**, s (at most 10)": f"{self.status:.1f}",
            "**`study report`**, s (at most 10)": f"{self.report:.1f}",
        }
        return "\n".join(["| figure | |", "|---|---|", *(f"| {name} | {value} |" for name, value in named.items())])


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    folder = tmp_path_factory.mktemp("scale")
    found = measure(folder, STUDY, {**os.environ, "STUDY_CACHE": str(folder / "cache")})
    if page := os.environ.get("SCALE"):
        write(Path(page), found)
    print(asdict(found))
    return found


def measure(folder: Path, study: dict[str, Any], environment: dict[str, str]) -> Figures:
    """Run the study, then `status` and `report` of it."""
    with Driver(folder, study=study, environment=environment) as driver:
        samples = []
        while not driver.over():
            with suppress(psutil.Error):
                samples.append(look(driver))
            time.sleep(2)
        assert driver.wait() == 0, driver.output
        wall, ended = driver.seconds, time.time()
    results = [trial.result() for trial in Store.of("scale", folder / "runs").trials()]
    assert all(result and result.finished for result in results)
    own = sum(result.ended - result.started for result in results)
    trials, at_once = len(results), cores()
    warm = [sample for sample in samples if WARM <= sample.finished < trials]
    assert look_at_mlflow(folder / "runs/mlflow.db") == trials
    return Figures(
        trials=trials,
        wall=wall,
        trial=own / trials,
        overhead=(wall * at_once - own) / trials,
        bare=bare_loops(folder, at_once, environment),
        driver_cpu=(warm[-1].cpu - warm[0].cpu) / (warm[-1].finished - warm[0].finished),
        driver_growth=max(sample.mib for sample in warm) - warm[0].mib,
        driver_peak=max(sample.mib for sample in samples),
        behind=max(sample.finished - sample.tracked for sample in samples),
        after_last=ended - max(result.ended for result in results),
        status=min(seconds(folder, "status", environment) for _ in range(2)),
        report=min(seconds(folder, "report", environment) for _ in range(2)),
    )


LOOP = """
import sys, tempfile, time
from pathlib import Path
from study.recipes import load
from study.storage.store import TrialFolder
from study.trial.run import run_trial

trials = load("study.yaml").trials()[:: int(sys.argv[1])]
with tempfile.TemporaryDirectory(dir=".") as folder:
    for number, trial in enumerate(trials):
        if number == 2:  # the first ones import
            began = time.monotonic()
        run_trial(trial, TrialFolder(Path(folder) / trial.id), threads=1)
print((time.monotonic() - began) / (len(trials) - 2))
"""


def bare_loops(folder: Path, at_once: int, environment: dict[str, str]) -> float:
    """Seconds per trial, of every 25th trial of the study in each of as many processes as run trials at once."""
    options: dict[str, Any] = {"cwd": folder, "env": environment | {"PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"}}
    started = [
        subprocess.Popen([sys.executable, "-c", LOOP, "25"], **options, stdout=subprocess.PIPE, text=True)
        for _ in range(at_once)
    ]
    return statistics.mean(float(process.communicate()[0]) for process in started)


def look(driver: Driver) -> Sample:
    finished = sum(1 for _ in driver.runs.glob("scale/*/result.json"))
    tracked = look_at_mlflow(driver.runs / "mlflow.db")
    used = driver.process.cpu_times()
    return Sample(finished, tracked, driver.process.memory_info().rss / 2**20, used.user + used.system)


def look_at_mlflow(database: Path) -> int:
    """Trials that are finished there."""
    question = "select count(*) from runs join tags using (run_uuid) where key = 'role' and value = 'trial'"
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        return int(opened.execute(f"{question} and status = 'FINISHED'").fetchone()[0])
    return 0  # there is no database yet


def seconds(folder: Path, verb: str, environment: dict[str, str]) -> float:
    """That a command takes, from its start to its end."""
    command = [sys.executable, "-m", "study.cli", verb, "study.yaml", "--storage", str(folder / "runs")]
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment | {"PYTHONPATH": ROOT}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - started


def write(page: Path, figures: Figures) -> None:
    """The page's table."""
    between = re.compile(f"{re.escape(MARKS[0])}.*{re.escape(MARKS[1])}", re.DOTALL)
    table = "\n".join([MARKS[0], conditions(), "", figures.rows(), MARKS[1]])
    page.write_text(between.sub(lambda _: table, page.read_text()))


def test_a_thousand_trials_are_all_finished_and_in_mlflow(figures: Figures) -> None:
    assert figures.trials == TRIALS


def test_a_trial_costs_at_most_a_quarter_of_a_second_beside_its_own_time(figures: Figures) -> None:
    assert figures.overhead <= 0.25


def test_the_driver_keeps_nothing_of_a_trial(figures: Figures) -> None:
    assert figures.driver_growth <= 50


def test_tracking_keeps_up_with_the_trials(figures: Figures) -> None:
    assert figures.behind <= 20
    assert figures.after_last <= 60


def test_status_and_report_take_seconds(figures: Figures) -> None:
    assert figures.status <= 10
    assert figures.report <= 10

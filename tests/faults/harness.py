"""`study run` as a process of its own, hurt by process id; and what it leaves behind, held against a run left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil
import yaml

from tests.clusters import title

ROOT = Path(__file__).parents[2]
STUDY: dict[str, Any] = {
    "name": "faults",
    "question": "Does a study survive what a machine, a network or a user does to it?",
    "base": {
        "data": {"name": "shapes", "train_size": 1024, "test_size": 200},
        "encoder": {"name": "conv-small", "width": 16},
        "head": {"name": "mlp", "dim": 32},
        "evaluations": ["linear", "contrastive"],
        "evaluation_views": 2,
        "batch_size": 64,
        "epochs": 16,
    },
    "space": {"k": {"grid": [8, 32]}},
    "seeds": 3,
}
"""Six trials, each long enough to be hit in the middle."""
T = TypeVar("T")


class Driver:
    """`study run` (or another verb) of a study in a folder. Its processes end with the block, whatever happened."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        verb: str = "run",
        study: dict[str, Any] | None = None,
        path: Sequence[Path] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder, self.runs = folder, folder / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "study.yaml"
        file.write_text(yaml.safe_dump(study or STUDY))
        command = [sys.executable, "-m", "study.cli", verb, str(file), "--storage", str(self.runs), *options]
        self.began = time.monotonic()
        with (folder / "output").open("a") as output:
            started = subprocess.Popen(
                command,
                cwd=folder,
                env={**(environment or os.environ), "PYTHONPATH": ":".join(map(str, (*path, ROOT)))},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # as a terminal's job: a signal reaches the group
            )
        self._popen, self.process = started, psutil.Process(started.pid)
        self._left: list[psutil.Process] = []  # what outlives a kill: Ray's agents take a minute to notice

    def __enter__(self) -> "Driver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end([*self._left, *self.family(), self.process])
        self._popen.wait(30)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    @property
    def output(self) -> str:
        """All that the drivers of this folder have said."""
        return (self.folder / "output").read_text()

    def over(self) -> bool:
        return self._popen.poll() is not None

    def wait(self, timeout: float = 600) -> int:
        """Its exit status."""
        return self._popen.wait(timeout)

    def family(self) -> list[psutil.Process]:
        """Everything that it started."""
        try:
            return self.process.children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Those of the family that have a trial."""
        return [process for process in self.family() if is_worker(process)]

    def epochs(self) -> int:
        """Trained so far, of all trials."""
        journals = self.runs.glob("*/*/journal.jsonl")
        return sum(journal.read_bytes().count(b"\n") for journal in journals)

    def until_running(self) -> list[psutil.Process]:
        """Wait until a worker has a trial, on a busy machine for minutes; those that have one."""
        until(lambda: self.over() or self.workers(), "a worker has a trial", 600)
        assert not self.over(), self.output
        return self.workers()

    def kill(self) -> None:
        """End it, and nothing else, as the kernel would. Its trials' workers must end by themselves."""
        self._left, workers = self.family(), self.workers()
        self.process.kill()
        self._popen.wait(30)
        until(lambda: not any(map(alive, workers)), "the workers of a killed driver end", 30)

    def interrupt(self) -> None:
        """Ctrl-C, which a terminal sends to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)


def is_worker(process: psutil.Process) -> bool:
    """Whether it is a Ray worker with a trial: Ray names processes after what they do."""
    return title(process) == "ray::ImplicitFunc.train"


def trial_of(worker: psutil.Process) -> str:
    """The id of the trial that a worker has: the name of its working directory."""
    try:
        return Path(worker.cwd()).name
    except psutil.Error:
        return ""


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(processes: list[psutil.Process]) -> None:
    """Kill these; nobody else's."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, 30)


def until(condition: Callable[[], T], what: str, seconds: float = 120) -> T:
    """Wait for the condition to hold, and give what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)
    return found


def pause(draw: random.Random, low: float, high: float) -> None:
    """To a random moment."""
    time.sleep(draw.uniform(low, high))

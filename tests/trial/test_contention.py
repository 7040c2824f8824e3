"""Trainings of one thread each lose to other processes no more than those processes' share of the cores."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from joblib import cpu_count

SECONDS, ROUNDS = 6.0, 7
TRAINING = """
import sys, time, torch
torch.set_num_threads(1)
from study.machine.memory import keep_freed
keep_freed()
from study.config import TrialConfig
from study.planning.resolve import resolve
from study.trial.training import Training
trial = resolve(TrialConfig(data={"name": "shapes", "train_size": 1280, "test_size": 200}, encoder="conv-small",
                            batch_size=128, temperature=0.2, epochs=10**6))
training = Training(trial, trial.parts.data.load(None), torch.device("cpu"))
training.train_epoch()
print("ready", flush=True)
for line in sys.stdin:
    start, until = map(float, line.split())
    time.sleep(max(start - time.time(), 0))
    began, steps = time.time(), 0
    while time.time() < until:
        training.train_epoch()
        steps += training.steps
    print(steps / (time.time() - began), flush=True)
"""


@contextmanager
def processes(code: str, count: int) -> Iterator[list["subprocess.Popen[str]"]]:
    """That many, one thread each, ended at the end."""
    pipe, environment = subprocess.PIPE, os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(count)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def steps_per_second(trainings: list["subprocess.Popen[str]"], busy: int) -> float:
    """Of the trainings together, beside so many processes that always want a core."""
    with processes("while True: pass", busy):
        start = time.time() + 1
        for training in trainings:
            assert training.stdin is not None
            training.stdin.write(f"{start} {start + SECONDS}\n")
            training.stdin.flush()
        return sum(float(training.stdout.readline()) for training in trainings if training.stdout is not None)


@pytest.mark.slow
@pytest.mark.skipif(cpu_count() != 2, reason="the shares are those of two cores")
def test_two_trainings_beside_two_busy_processes_keep_their_half_of_two_cores() -> None:
    """On a machine where nothing else runs: measured, they keep 0.51 (docs/results/bench.md)."""
    with processes(TRAINING, 2) as trainings:
        for training in trainings:
            assert training.stdout is not None
            assert training.stdout.readline().strip() == "ready"
        turns = [(steps_per_second(trainings, 0), steps_per_second(trainings, 2)) for _ in range(ROUNDS)]
    assert statistics.median(beside / alone for alone, beside in turns) >= 0.4

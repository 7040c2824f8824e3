"""Steps that are timed in turns, so that a busy machine slows all of them alike."""

import itertools
import time
from collections.abc import Callable, Sequence

import torch

from study.machine.devices import synchronise
from study.trial.streams import generator
from study.trial.training import Training
from study.trial.views import sent


def in_turns(
    steps: Sequence[Callable[[], object]], seconds: float, device: torch.device
) -> list[list[tuple[float, float]]]:
    """Rounds of these steps, one after the other, for so long, three at least, after one to warm up.

    Of each step: seconds on the wall, and of processors in this process.
    """
    for step in steps:
        step()
    rounds: list[list[tuple[float, float]]] = []
    until = time.perf_counter() + seconds
    while len(rounds) < 3 or time.perf_counter() < until:
        rounds.append([_seconds(step, device) for step in steps])
    return rounds


def _seconds(step: Callable[[], object], device: torch.device) -> tuple[float, float]:
    synchronise(device)
    started = time.perf_counter(), time.process_time()
    step()
    synchronise(device)
    return time.perf_counter() - started[0], time.process_time() - started[1]


def own_step(work: Training, *, observe: bool = False) -> Callable[[], None]:
    """A step of the trial's own, views and optimizer included."""
    draws, batches = (generator("cpu", 0), generator(work.device, 1)), itertools.cycle(work.order())

    def step() -> None:
        index = next(batches)
        work.step(0, index, sent(index, work.device), *draws, observe=observe)

    return step

"""Timing of a training's steps."""

import time

import numpy as np

from study.machine.devices import synchronise
from study.trial.streams import generator
from study.trial.training import Training
from study.trial.views import sent


def time_steps(training: Training, count: int) -> float:
    """Seconds a training step takes, the first one left out; the state is spent afterwards.

    On the CPU the median; a GPU gets all of them before it is waited for, as in a training.
    """
    draws = (generator("cpu", 0), generator(training.device, 1))
    here = training.order()
    there = sent(here, training.device)
    clock = [0.0]
    for step in range(count + 1):
        at = step % training.steps
        training.step(at, here[at], there[at], *draws, observe=False)
        if training.device.type == "cpu" or step in (0, count):
            synchronise(training.device)
            clock.append(time.perf_counter())
    if training.device.type == "cpu":
        return float(np.median(np.diff(clock[1:])))
    return (clock[-1] - clock[1]) / count

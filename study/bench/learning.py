"""Accuracy per second: one cell trained against the clock, with the linear probe on the way."""

import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch

from study.config import ConfigError, TrialConfig
from study.evaluation.accuracy import accuracies
from study.evaluation.linear import Linear, fit_probe
from study.machine.devices import synchronise
from study.machine.environment import cores
from study.planning.resolve import resolve
from study.trial.encode import AFTER_TRAINING, both
from study.trial.probes.quick import modes_kept
from study.trial.streams import Stream, generator, layers_draw
from study.trial.training import Diverged, Training

TIMES = (30.0, 60.0, 120.0, 200.0)
CELL = TrialConfig(data="shapes", batch_size=256, temperature=0.2)

Clock = Literal["wall", "cpu"]
"""Seconds of training: on the wall, or of processors in this process, divided by the cores that it may use."""


class Stopwatch:
    """Seconds of training: it stands still while something is measured. CPU seconds leave out what neighbours take."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.wall, self.cpu = device, 0.0, 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        started = time.perf_counter(), time.process_time()
        yield
        synchronise(self.device)
        self.wall += time.perf_counter() - started[0]
        self.cpu += time.process_time() - started[1]

    def seconds(self, clock: Clock) -> float:
        return self.wall if clock == "wall" else self.cpu / cores()


def bench_learning(
    cell: TrialConfig = CELL,
    *,
    device: torch.device,
    times: Sequence[float] = TIMES,
    seeds: int = 1,
    clock: Clock = "wall",
    cache: Path | None = None,
) -> dict[str, Any]:
    """Accuracy of the linear probe on the held-out examples, in percent, untrained (`floor`) and after these seconds.

    One training a seed, whose schedule ends at the last time: after each epoch the number of epochs is planned anew
    from the seconds so far, and the epochs of the cell are not looked at. A point is measured at the first end of an
    epoch after its time, the last one at the training's end. ConfigError where the cell cannot be trained or probed.
    """
    check(times, seeds)
    resolve(cell)
    curves = []
    for seed in range(cell.seed, cell.seed + seeds):
        curves.append(learning_curve(dataclasses.replace(cell, seed=seed), device, sorted(times), clock, cache))
    return {
        "clock": clock,
        "cores": cores(),
        "accuracy": {f"{at:g}": _summary([_at(curve, at) for curve in curves]) for at in sorted(times)},
        "floor": _summary([curve["floor"] for curve in curves]),
        "curves": curves,
        "cell": cell.plain(),
    }


def check(times: Sequence[float], seeds: int) -> None:
    """ConfigError for times or a number of seeds that nothing can be measured at."""
    if not times or not all(0 < at < math.inf for at in times):
        raise ConfigError([f"--at takes seconds above 0, got {list(times)}; such as --at 30 60 120 200"])
    if seeds < 1:
        raise ConfigError([f"--seeds must be at least 1, got {seeds}; such as --seeds 5"])


def learning_curve(
    cell: TrialConfig, device: torch.device, times: Sequence[float], clock: Clock, cache: Path | None = None
) -> dict[str, Any]:
    """Of one seed: the floor, and a point for each time, with its seconds by both clocks, epochs and views."""
    trial = resolve(cell)
    training = Training(trial, trial.parts.data.load(cache), device)
    floor, watch = accuracy(training), Stopwatch(device)
    points: list[dict[str, float]] = []
    _say(f"seed {training.seed}: untrained {floor:.2f} %")
    while training.epoch == 0 or training.epoch < training.epochs:
        with watch.running():
            _epoch(training)
        training.epochs = epochs_within(times[-1], training.epoch, watch.seconds(clock))
        ended = training.epoch >= training.epochs
        due = [at for at in times[len(points) :] if ended or at <= watch.seconds(clock)]
        if due:
            point = _point(training, watch)
            points += [{"at": at} | point for at in due]
            _say(f"seed {training.seed}: {point['accuracy']:.2f} % after {watch.seconds(clock):.0f} s ({clock})")
    return {"seed": training.seed, "floor": floor, "points": points}


def epochs_within(horizon: float, epochs: int, seconds: float) -> int:
    """How many epochs there are in the horizon at the pace so far; never fewer than there were."""
    return max(epochs, round(epochs * horizon / seconds))


def accuracy(training: Training) -> float:
    """Top-1 of the linear probe on features of the held-out examples, in percent; the training is left as it was.

    The probe is fitted to the training split, its penalty chosen on the held-out examples themselves.
    """
    held = training.validation
    if held is None or held.labels is None or training.train.labels is None:
        raise ConfigError(["the cell's data holds no labelled examples out; give data.validation_size, or other data"])
    with modes_kept(training.learner), layers_draw(training.device, training.seed, *AFTER_TRAINING):
        x, y = both(training, training.train)[0], both(training, held)[0]
    probe = fit_probe(
        x, training.train.labels, len(training.data.classes),
        penalties=Linear.penalties, held_out=Linear.held_out,
        generator=generator("cpu", training.seed, Stream.EVALUATION), validation=(y, held.labels),
    )  # fmt: skip
    return accuracies("linear", probe.best(y), held.labels)["linear.top1"]


def _epoch(training: Training) -> None:
    try:
        training.train_epoch()
    except Diverged as error:
        raise ConfigError([str(error)]) from None


def _point(training: Training, watch: Stopwatch) -> dict[str, float]:
    return {
        "accuracy": accuracy(training),
        "wall_s": watch.wall,
        "cpu_s": watch.cpu,
        "epochs": training.epoch,
        "views": training.views * training.batch_size * training.steps * training.epoch,
    }


def _at(curve: dict[str, Any], at: float) -> float:
    return float(next(point["accuracy"] for point in curve["points"] if point["at"] == at))


def _summary(values: Sequence[float]) -> dict[str, float]:
    """Mean over the seeds, with the standard deviation of a seed where there are two or more."""
    spread = {"std": statistics.stdev(values)} if len(values) > 1 else {}
    return {"mean": statistics.mean(values), "n": len(values)} | spread


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

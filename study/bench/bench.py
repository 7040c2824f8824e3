"""Figures of speed, each a ratio inside one run: training against the bare encoder, strategies against a product."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.encoders import seeded
from models.precision import autocast, available
from study.bench.beside_lightly import ABSENT, beside_lightly, installed
from study.bench.turns import in_turns, own_step
from study.config import ConfigError, TrialConfig
from study.machine import devices
from study.machine.environment import environment
from study.planning.resolve import resolve
from study.trial.timing import time_steps
from study.trial.training import Training

ENCODERS = ("conv-small", "resnet18")
BATCH = 128
BATCHES = {"conv-small": (128, 256), "resnet18": (128,)}
"""Those at which a trial's step is measured beside the bare encoder's."""
STRATEGY = "hardest_5pct"
OBSERVED = 1 / 4
"""Share of a trial's steps that are observed: 10 of the 39 of an epoch of 10,000 images in batches of 256."""
DATA = {"name": "shapes", "train_size": 1000}


def bench(*, seconds: float = 10, only: str | None = None, device: str | None = None) -> dict[str, Any]:
    """`training`: views per second of a trial and of its ceiling, by encoder and batch. `precision`: views per second
    in each format that the device multiplies, and what `auto` is. `lightly`: a trial beside lightly's SimCLR, where
    that is installed. `negatives`: cost of each strategy. `bounds`: cost of the bounds at eight K against encoding for
    each. `device`: cuda where it can be used, else cpu."""
    place, figures = conditions(device)
    if only in (None, "training"):
        figures["training"] = {name: training(name, seconds, place) for name in ENCODERS}
    if only in (None, "precision"):
        figures["precision"] = {name: precisions(name, seconds, place) for name in ENCODERS}
    if only in (None, "lightly"):
        figures["lightly"] = {name: lightly(name, seconds, place) for name in ENCODERS} if installed() else ABSENT
    if only in (None, "negatives"):
        from study.bench.strategies import bench_strategies

        figures["negatives"] = bench_strategies(rounds=3, device=place)
    if only in (None, "bounds"):
        from study.bench.bounds import bench_bounds

        figures["bounds"] = bench_bounds(place)
    return figures


def conditions(device: str | None) -> tuple[torch.device, dict[str, Any]]:
    """The device to measure on, set up for it, and what there is to tell of the machine. ConfigError: unusable."""
    place = devices.named(device or ("cpu" if devices.why_no_cuda() else "cuda"))
    devices.check_usable(place, f"--device {place}")
    try:
        available(place)
    except ValueError as error:  # of STUDY_BFLOAT16
        raise ConfigError([str(error)]) from None
    on = {"device": str(place), **devices.described(place), **devices.set_modes(place)}
    return place, {"environment": environment() | on, "threads": torch.get_num_threads()}


def training(encoder: str, seconds: float, device: torch.device) -> dict[str, Any]:
    """A trial's steps against their ceiling, at each batch size: see `beside_ceiling`."""
    return {f"batch {batch}": beside_ceiling(encoder, batch, seconds, device) for batch in BATCHES[encoder]}


def beside_ceiling(encoder: str, batch: int, seconds: float, device: torch.device) -> dict[str, Any]:
    """A trial's steps (data, augmentation, SimCLR with a strategy of difficulty, observed steps, optimizer) and the
    ceiling, in turns: medians of the rounds. `ratio_of_cpu` is of the seconds of processors.

    The ceiling is forward, backward and step of the bare encoder and head on random tensors in the same precision.
    """
    config = TrialConfig(data=DATA, encoder=encoder, negatives=STRATEGY, batch_size=batch, epochs=1)
    trial = resolve(config)
    with tempfile.TemporaryDirectory() as cache:
        work = Training(trial, trial.parts.data.load(Path(cache)), device)
        steps = (own_step(work), own_step(work, observe=True), _ceiling(work))
        rounds = in_turns(steps, seconds, device)
    (own, bare), (own_of_cpu, bare_of_cpu) = (
        ([(1 - OBSERVED) * a[clock] + OBSERVED * b[clock] for a, b, _ in rounds], [c[clock] for _, _, c in rounds])
        for clock in (0, 1)
    )
    return {
        "trial_views_per_s": 2 * batch / statistics.median(own),
        "encoder_ceiling_views_per_s": 2 * batch / statistics.median(bare),
        "ratio": statistics.median(b / a for a, b in zip(own, bare, strict=True)),
        "ratio_of_cpu": statistics.median(b / a for a, b in zip(own_of_cpu, bare_of_cpu, strict=True)),
        "rounds": len(rounds),
        "precision": work.precision,
    }


def lightly(encoder: str, seconds: float, device: torch.device) -> dict[str, Any]:
    """A trial's steps beside lightly's: see `beside_lightly`."""
    trial = resolve(TrialConfig(data=DATA, encoder=encoder, batch_size=BATCH, epochs=1))
    with tempfile.TemporaryDirectory() as cache:
        return beside_lightly(Training(trial, trial.parts.data.load(Path(cache)), device), seconds)


def precisions(encoder: str, seconds: float, device: torch.device) -> dict[str, Any]:
    """A trial's views per second in each format that the device multiplies, in turns, medians of the rounds; and their
    ratio to float32, the median of the rounds' ratios."""
    here: list[Any] = available(device)
    with tempfile.TemporaryDirectory() as cache:
        works = {}
        for name in here:
            trial = resolve(TrialConfig(data=DATA, encoder=encoder, batch_size=BATCH, epochs=1, precision=name))
            works[name] = Training(trial, trial.parts.data.load(Path(cache)), device)
            time_steps(works[name], 1)
        rounds: list[dict[str, float]] = []
        until = time.perf_counter() + seconds
        while len(rounds) < 3 or time.perf_counter() < until:
            rounds.append({name: time_steps(work, 1) for name, work in works.items()})
    return {
        "views_per_s": {name: 2 * BATCH / statistics.median(r[name] for r in rounds) for name in here},
        "ratio_to_float32": {name: statistics.median(r["float32"] / r[name] for r in rounds) for name in here},
        "auto": here[0],
        "rounds": len(rounds),
        "batch_size": BATCH,
    }


def _ceiling(work: Training) -> Callable[[], float]:
    """A step of the bare networks, which returns its seconds."""
    encoder = seeded(work.trial.parts.encoder, seed=0).to(work.device)
    head = seeded(lambda: work.trial.parts.head(encoder.feature_dim), seed=0).to(work.device)
    both = torch.nn.Sequential(encoder, head)
    optimizer = work.trial.parts.optimizer.optimizer(both)
    height, width = work.data.train.inputs.shape[1:3]
    inputs = torch.randn(2 * work.batch_size, 3, height, width, device=work.device).to(
        memory_format=torch.channels_last
    )

    def step() -> float:
        devices.synchronise(work.device)
        started = time.perf_counter()
        with autocast(work.precision, work.device):
            loss = both(inputs).float().square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        devices.synchronise(work.device)
        return time.perf_counter() - started

    return step

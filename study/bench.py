"""Figures of speed, each a ratio inside one run: the training against the bare encoder, strategies against a product."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.encoders import seeded
from models.optim import set_learning_rate
from models.precision import autocast
from study.config import TrialConfig
from study.environment import environment
from study.resolve import resolve
from study.training import Training

ENCODERS = ("conv-small", "resnet18")
BATCH = 128


def bench(*, seconds: float = 10, only: str | None = None) -> dict[str, Any]:
    """`training`: views per second of a trial and of its ceiling, by encoder. `negatives`: cost of each strategy."""
    figures: dict[str, Any] = {"environment": environment(), "threads": torch.get_num_threads()}
    if only != "negatives":
        figures["training"] = {name: training(name, seconds) for name in ENCODERS}
    if only != "training":
        from study.bench_negatives import bench_strategies

        figures["negatives"] = bench_strategies()
    return figures


def training(encoder: str, seconds: float) -> dict[str, float]:
    """A trial's steps (data, augmentation, method, optimizer) against its ceiling, in turns, medians of the rounds.

    The ceiling is forward, backward and step of the bare encoder and head on random tensors in the same precision.
    """
    config = TrialConfig(data={"name": "shapes", "train_size": 1000}, encoder=encoder, batch_size=BATCH, epochs=1)
    trial = resolve(config)
    with tempfile.TemporaryDirectory() as cache:
        work = Training(
            trial, trial.data.load(Path(cache)), torch.device("cuda" if torch.cuda.is_available() else "cpu")
        )
        ceiling = _ceiling(work)
        step = _steps(work)
        rounds: list[tuple[float, float]] = []
        _timed(step), _timed(ceiling)
        until = time.perf_counter() + seconds
        while len(rounds) < 3 or time.perf_counter() < until:
            rounds.append((_timed(step), _timed(ceiling)))
    views = 2 * BATCH
    return {
        "trial_views_per_s": views / statistics.median(a for a, _ in rounds),
        "encoder_ceiling_views_per_s": views / statistics.median(b for _, b in rounds),
        "ratio": statistics.median(b / a for a, b in rounds),
        "rounds": len(rounds),
        "batch_size": BATCH,
        "precision": work.precision,  # type: ignore[dict-item]
    }


def _steps(work: Training) -> Callable[[], None]:
    return lambda: work.some_steps(1)


def _ceiling(work: Training) -> Callable[[], None]:
    encoder = seeded(work.trial.encoder, seed=0).to(work.device)
    head = seeded(lambda: work.trial.head(encoder.feature_dim), seed=0).to(work.device)
    both = torch.nn.Sequential(encoder, head)
    optimizer = work.trial.optimizer.optimizer(both)
    height, width = work.data.train.inputs.shape[1:3]
    inputs = torch.randn(2 * BATCH, 3, height, width, device=work.device).to(memory_format=torch.channels_last)

    def step() -> None:
        with autocast(work.precision, work.device):
            loss = both(inputs).float().square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        set_learning_rate(optimizer, 1e-3)

    return step


def _timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started

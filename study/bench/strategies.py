"""Cost of each strategy: a step of product, selection and log-sum-exp against the plain product and log-sum-exp."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from models.contrast import Contrast, StepContext
from models.negatives import STRATEGIES, Strategy
from models.objectives import OBJECTIVES
from models.pools import Pool
from study.machine.devices import synchronise
from study.machine.memory import PeakMemory, give_back, keep_freed

CLASSES = 10
REQUIRED: dict[str, dict[str, Any]] = {"uniform": {"fraction": 0.05}, "mixing": {"warmup_epochs": 0}}


def bench_strategies(
    names: Sequence[str] | None = None,
    *,
    b: int = 256,
    k: int = 65_536,
    d: int = 128,
    rounds: int = 5,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """By strategy: `selection_ms`, `step_ms` (forward), `ratio` to the plain step, and `peak_mib` of a step.

    `ratio` is the median over the rounds of step and plain step timed one after the other; `plain` is the product and
    log-sum-exp as torch has them. `peak_mib` is what a step with its backward pass adds.
    """
    keep_freed()
    on = device or torch.device("cpu")
    generator = torch.Generator(on).manual_seed(0)
    anchors, keys = (F.normalize(torch.randn(n, d, generator=generator, device=on), dim=1) for n in (b, k))
    pool = Pool(keys, torch.full((k,), -1, device=on), torch.arange(k, device=on) % CLASSES)
    labels = torch.arange(b, device=on) % CLASSES

    def plain() -> None:
        (anchors @ keys.T / 0.2).logsumexp(dim=1)

    def step(strategy: Strategy) -> torch.Tensor:
        similar = torch.eye(CLASSES, device=on) if strategy.needs_similarity else None
        contrast = Contrast(strategy, OBJECTIVES["info_nce"], class_similarity=similar)
        return contrast(anchors, anchors, pool, None, StepContext(generator, 0.2), labels=labels).loss

    def measure(strategy: Strategy) -> dict[str, float]:
        with torch.no_grad():
            work = (plain, lambda: step(STRATEGIES["all"]()), lambda: step(strategy))
            timed = [[_seconds(each, on) for each in work] for _ in range(rounds + 1)][1:]  # the first one warms up
        base, everything, whole = (statistics.median(column) for column in zip(*timed, strict=True))
        return {
            "selection_ms": max(whole - everything, 0.0) * 1e3,
            "step_ms": whole * 1e3,
            "plain_ms": base * 1e3,
            "ratio": statistics.median(own / reference for reference, _, own in timed),
            "peak_mib": _peak_mib(lambda: step(strategy).backward(), on),
        }

    anchors.requires_grad_()
    figures = {}
    for name in names or STRATEGIES.names():
        figures[name] = measure(STRATEGIES[name](**REQUIRED.get(name, {})))
        print(f"{name}: {figures[name]['ratio']:.2f} × the plain step", file=sys.stderr)
    return {"b": b, "k": k, "d": d, "rounds": rounds, "matrix_mib": b * k * 4 / 2**20, "strategies": figures}


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start


def _peak_mib(work: Callable[[], Any], device: torch.device) -> float:
    """Memory that `work` adds at its peak."""
    give_back()
    peak = PeakMemory(device)
    before = peak.mib()
    work()
    return peak.mib() - before

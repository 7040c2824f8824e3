"""Measurements on a GPU, each with the device and sizes as arguments: the CPU stands in at small ones."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from study import Study, TrialConfig
from study.bench import bench
from study.data import Dataset, Split
from study.machine import devices
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.run import run_trial
from study.trial.timing import time_steps
from study.trial.training import Training
from tests.faults.harness import Driver
from tests.trial.conftest import Killed
from tests.trial.test_run import numbers

Row = dict[str, Any]
CIFAR10 = Path(__file__).parents[2].parent / "shared/data/cifar10-images.tar.xz"


def config(**changes: Any) -> TrialConfig:
    """Four epochs of a small net on drawn shapes."""
    data = {"name": "shapes", "train_size": 2000, "test_size": 1000}
    return TrialConfig(**{"data": data, "batch_size": 128, "epochs": 4, "evaluations": ["linear"], **changes})


def run_study(study: Study, folder: Path) -> Store:
    """`study run` of it as a user would, in a process of its own."""
    with Driver(folder, study=study.plain()) as driver:
        status = driver.wait()
        assert status in (0, 1), driver.output  # 1: of failed trials, which the table counts
    return Store.of(study.name, driver.runs)


def trials_of(store: Store, what: str) -> list[Row]:
    """A row a precision: how many trials finished, the best accuracy and the median seconds of them."""
    results = [(trial.config()["config"]["precision"], trial.result()) for trial in store.trials()]
    rows = []
    for precision in dict.fromkeys(name for name, _ in results):
        mine = [result for name, result in results if name == precision]
        done = [result for result in mine if result and result.finished]
        accuracies = [result.metrics["linear.features.top1"] for result in done]
        rows.append({
            "study": what, "precision": precision, "trials (n)": len(mine), "finished": len(done),
            "accuracy of the best, %": f"{max(accuracies):.1f}" if done else "",
            "seconds of a trial, median": f"{statistics.median(r.seconds for r in done):.1f}" if done else "",
        })  # fmt: skip
    return rows


def one_trial(trial: TrialConfig, what: str, folder: Path, device: str) -> list[Row]:
    """The same of one trial in this process."""
    store = Store.of("one", folder)
    run_trial(resolve(trial), store.trial(trial.precision), device=device, threads=1)
    return trials_of(store, what)


def cifar10_small(precision: str) -> tuple[TrialConfig, str]:
    """A trial of the recipe, on CIFAR-10 where that is beside the checkout."""
    from search_spaces.cifar10_small import study

    data: dict[str, Any] = {"name": "shapes", "train_size": 10_000, "test_size": 2000}
    if CIFAR10.exists():
        data = {"name": "cifar10", "train_size": 10_000, "root": str(CIFAR10)}
    what = "a trial of cifar10_small" + ("" if CIFAR10.exists() else ", on 10,000 shapes")
    return dataclasses.replace(study.base, data=data, precision=precision), what


def synthetic(side: int, count: int) -> Dataset:
    """Random pixels, in as many classes as there are shapes: nothing is to be learned."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = np.arange(count) % 20
    split = Split(pixels, labels)
    return Dataset("random", "image", split, split, tuple(f"c{c}" for c in range(20)))


def speed(encoder: Any, device: str, *, side: int, batch: int, seconds: float) -> Row:
    """Views per second of a trial's steps and of the bare encoder, in turns, medians of the rounds."""
    trial = resolve(config(encoder=encoder, batch_size=batch))
    work = Training(trial, synthetic(side, 8 * batch), torch.device(device))
    with mock.patch.object(bench, "BATCH", batch):
        bare = bench._ceiling(work)
    bare()
    rounds: list[tuple[float, float]] = []
    until = time.perf_counter() + seconds
    while len(rounds) < 3 or time.perf_counter() < until:
        rounds.append((time_steps(work, 4), statistics.median(bare() for _ in range(4))))
    return {
        "encoder": encoder if isinstance(encoder, str) else encoder["name"], "side, px": side, "batch": batch,
        "precision": work.precision,
        "a trial's steps, views/s": f"{2 * batch / statistics.median(a for a, _ in rounds):,.0f}",
        "bare encoder, views/s": f"{2 * batch / statistics.median(b for _, b in rounds):,.0f}",
        "ratio": f"{statistics.median(b / a for a, b in rounds):.2f}", "rounds (n)": len(rounds),
    }  # fmt: skip


def resumed(trial: TrialConfig, folder: Path, device: str) -> Row:
    """A trial that was killed after an epoch and goes on, held against one that ran through: bit for bit."""
    store, made = Store.of("resumed", folder), resolve(trial)

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        raise Killed

    whole = run_trial(made, store.trial("whole"), device=device, threads=1)
    with pytest.raises(Killed):
        run_trial(made, store.trial("killed"), device=device, threads=1, report=kill)
    again = run_trial(made, store.trial("killed"), device=device, threads=1)
    assert {whole.status, again.status} == {"finished"}, (whole.reason, again.reason)
    one, other = numbers(whole), numbers(again)
    different = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return {
        "encoder": made.config["encoder"]["name"], "precision": whole.environment["precision"],
        "numbers (n)": len(one), "different": len(different), "which": ", ".join(different),
    }  # fmt: skip


def in_sum(journals: Sequence[Sequence[Mapping[str, Any]]]) -> float:
    """Views per second of trials together: of the epochs that ended while all of them trained, after the first."""
    began = max(journal[0]["time"] for journal in journals)
    ended = min(journal[-1]["time"] for journal in journals)
    together = [[line for line in journal[1:] if began <= line["time"] <= ended] for journal in journals]
    if not all(together):
        raise ValueError("the trials did not train at the same time: give them more epochs")
    return sum(statistics.median(line["metrics"]["train.views_per_s"] for line in lines) for lines in together)


def packed(alone: Store, together: Store) -> Row:
    """Trials that share a GPU, held against one that has it."""
    trials = list(together.trials())
    done = [trial for trial in trials if (result := trial.result()) and result.finished]
    one, all_of_them = (in_sum([trial.journal() for trial in store.trials()]) for store in (alone, together))
    return {
        "trials at once (n)": len(trials), "finished": len(done), "one alone, views/s": f"{one:,.0f}",
        "in sum, views/s": f"{all_of_them:,.0f}", "ratio": f"{all_of_them / one:.2f}",
    }  # fmt: skip


def unblocked(trial: TrialConfig, device: str, set_mode: Callable[[str], None]) -> int:
    """Training steps 2 to 5, in each of which a call that waits for the GPU is an error; how many those were."""
    made = resolve(trial)
    training = Training(made, synthetic(32, 8 * made.config["batch_size"]), torch.device(device))
    step, taken = training.step, []

    def watched(*given: Any, **named: Any) -> Any:
        taken.append(1)
        set_mode("error" if len(taken) > 1 else "default")
        try:
            return step(*given, **named)
        finally:
            set_mode("default")

    with mock.patch.object(training, "step", watched):
        time_steps(training, 4)
    return len(taken) - 1


BLOCKED = {
    "simclr": {"method": "simclr"},
    "moco, difficulty": {
        "method": {"name": "moco", "queue_size": 1024},
        "negatives": {"name": "difficulty", "hi": 0.05},
        "k": 512,
    },
    "memory_bank": {"method": "memory_bank", "head": "linear", "k": 128},
    "moco, mixing": {
        "method": {"name": "moco", "queue_size": 1024},
        "negatives": {"name": "mixing", "n": 256, "s": 128, "s_prime": 64, "warmup_epochs": 0},
    },
}
"""Configs whose steps must not wait for the GPU."""


def hardware(device: str) -> str:
    """The GPU's name, and the CUDA of torch and of its driver."""
    told = devices.described(torch.device(device))
    if not told:
        return "no GPU"
    return f"{told['gpu']} (CUDA {told['cuda']}, its driver takes {told['driver_cuda']})"

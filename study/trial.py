"""One trial, whole: data → train → evaluate → result. Plain torch: no ray, no mlflow, so it runs in a notebook too."""

import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from study.encode import evaluate, floor, on_the_way
from study.environment import environment
from study.resolve import Trial
from study.store import Checkpoints, TrialFolder, write_atomically
from study.training import Diverged, Training
from study.trial_figures import draw_figures

Report = Callable[[int, dict[str, float]], None]


def run_trial(
    trial: Trial,
    folder: TrialFolder,
    *,
    cell: dict[str, Any] | None = None,
    cache: Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    report: Report | None = None,
    checkpoints: Checkpoints | None = None,
) -> dict[str, Any]:
    """Run a trial to its end, from its last checkpoint if it has one, and return its result.

    A trial that cannot finish (a loss that is not finite, an error) is recorded as failed with its reason; only a
    kill or an interrupt leaves it open, to be resumed to the same numbers. `threads` of the processor (default: torch's
    own choice) are part of what makes numbers equal. `report` is called after every epoch. A result that the storage
    does not take (a full disk) is returned as a failure; the trial stays open, to be resumed.
    """
    kept = checkpoints or Checkpoints()
    done = folder.result()
    if done is not None:
        return done
    if threads is not None:
        torch.set_num_threads(threads)
    clock = _clock(folder)
    result: dict[str, Any] = {"status": "finished", "reason": None, "metrics": {}, "started": clock()}
    try:
        folder.write_config(described(trial, cell or {}))
        result |= {"started": folder.times()[0]} | _run(trial, folder, cache, device, report, kept, clock)
    except Diverged as error:
        result |= {"status": "failed", "reason": str(error)}
    except Exception as error:
        result |= {"status": "failed", "reason": reason_of(error, trial), "trace": traceback.format_exc()}
    result |= {"ended": clock(), "environment": environment() | result.pop("ran_on", {})}
    try:
        folder.write_result(result, keep=int(kept.after))
    except OSError as error:
        result |= {"status": "failed", "reason": error.strerror or str(error)}
    return result


def described(trial: Trial, cell: dict[str, Any]) -> dict[str, Any]:
    """What its folder says of a trial."""
    return {"config": trial.config, "cell": cell, "seed": trial.config["seed"], "uses_labels": trial.uses_labels}


def _clock(folder: TrialFolder) -> Callable[[], float]:
    """Seconds since 1970, from where the trial's records end: it may be resumed where the clock is behind."""
    behind = max(max(folder.times(), default=0.0) - time.time(), 0.0)
    return lambda: time.time() + behind


def reason_of(error: Exception, trial: Trial) -> str:
    """What a trial failed of, in a line; where memory did not suffice, with what to lower."""
    short = f"{type(error).__name__}: {error}"
    on_cpu = isinstance(error, MemoryError) or "can't allocate memory" in short
    if not on_cpu and not isinstance(error, torch.OutOfMemoryError):
        return short
    more = "on a machine with more memory" if on_cpu else "alone on a GPU: study retry … --set gpus=1"
    said = " ".join(short.split())[:200]
    return f"out of memory at batch_size={trial.config['batch_size']}; lower it, or retry it {more} ({said})"


def _run(
    trial: Trial,
    folder: TrialFolder,
    cache: Path | None,
    device: str | None,
    report: Report | None,
    checkpoints: Checkpoints,
    clock: Callable[[], float],
) -> dict[str, Any]:
    data = trial.data.load(cache)
    training = Training(trial, data, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    metrics = floor(training, cache)
    training.restore(folder)
    while training.epoch < training.epochs:
        epoch = training.train_epoch() | training.geometry() | on_the_way(training, folder)
        folder.append({"epoch": training.epoch, "time": clock(), "metrics": epoch})
        if training.epoch % checkpoints.every == 0 or training.epoch == training.epochs:
            training.save(folder, keep=checkpoints.keep)
        if report is not None:
            report(training.epoch, epoch)
    started = time.perf_counter()
    found = evaluate(training)
    for name, table in found.tables.items():
        folder.write_table(name, table)
    with tempfile.TemporaryDirectory() as drawn:  # figures are drawn into files; the folder may be in an object store
        draw_figures(found.tables, Path(drawn), journal=folder.journal())
        for path in Path(drawn).iterdir():
            write_atomically(folder.artifacts / path.name, path.read_bytes())
    seconds = time.perf_counter() - started
    metrics |= folder.journal()[-1]["metrics"] | found.metrics
    metrics |= {
        "time.train_s": training.seconds,
        "time.evaluate_s": seconds,
        "memory.peak_mib": training.peak_mib,
    }
    metrics |= {f"time.{name}_s": seconds for name, seconds in found.seconds.items()}
    return {
        "metrics": metrics,
        "seconds": training.seconds + seconds,
        "data": {
            "name": data.name,
            "digest": data.digest,
            "train": len(data.train),
            "test": len(data.test),
            "classes": list(data.classes),
            "synsets": list(training.semantics.synsets),
            "class_counts": None if data.test.labels is None else np.bincount(data.test.labels).tolist(),
        },
        "skipped": found.skipped | ({"meaning": trial.meaning.off} if trial.meaning.off else {}),
        "ran_on": {
            "device": str(training.device),
            "precision": training.precision,
            "threads": torch.get_num_threads(),
        },
    }

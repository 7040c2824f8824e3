"""One trial, whole: data → train → evaluate → result. Plain torch: no ray, no mlflow, so it runs in a notebook too."""

import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from study.config import ConfigError
from study.figures.figure import save_trial_figures
from study.machine import devices
from study.machine.environment import environment
from study.storage.store import Checkpoints, TrialFolder, write_atomically
from study.storage.trial_result import TrialResult
from study.trial import checkpoint
from study.trial.encode import evaluate, on_the_way
from study.trial.probes import transfer
from study.trial.probes.floor import floors
from study.trial.probes.pruning import Pruned
from study.trial.probes.quick import Quick
from study.trial.probes.untrained import TABLE as UNTRAINED
from study.trial.probes.untrained import untrained
from study.trial.training import Diverged, Training
from study.trial.trial import Trial

Report = Callable[[int, dict[str, float]], None]


def run_trial(
    trial: Trial,
    folder: TrialFolder,
    *,
    cache: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    report: Report | None = None,
    checkpoints: Checkpoints | None = None,
    ranks: int = 1,
) -> TrialResult:
    """Run a trial to its end, from its last checkpoint if it has one, and return its result.

    A trial that cannot finish (a loss that is not finite, an error) is recorded as failed with its reason; only a
    kill or an interrupt leaves it open, to be resumed to the same numbers. `device`: cpu, cuda or cuda:N; ConfigError
    for another, failed where CUDA cannot be used. `threads` of the processor (default: torch's own choice) are part of
    what makes numbers equal. `report` is called after every epoch; where it raises Pruned, the trial ends so. A result
    that the storage does not take (a full disk) is returned as a failure; the trial stays open, to be resumed.
    `ranks`: see `Training`; this is the first.
    """
    place = devices.named(str(device))
    kept = checkpoints or Checkpoints()
    done = folder.result()
    if done is not None:
        return done
    if threads is not None:
        torch.set_num_threads(threads)
    clock = _clock(folder)
    found: dict[str, Any] = {"status": "failed", "started": clock()}
    training: Training | None = None
    ran_on: dict[str, Any] = {}
    try:
        before = _described_before(folder)
        folder.write_config(described(trial) | before)
        devices.check_usable(place, f"device={device}")
        modes = devices.set_modes(place)
        data = trial.parts.data.load(cache)
        folder.write_config(described(trial) | {"data": _checked(data.digest, before)} | before)
        training = Training(trial, data, place, ranks=ranks)
        ran_on = {"device": str(place), "precision": training.precision, "threads": torch.get_num_threads()}
        ran_on |= devices.described(place) | modes | ({"processes": ranks} if ranks > 1 else {})
        measured = _run(training, folder, cache, report, kept, clock)
        found = {"status": "finished", "started": folder.times()[0]} | measured
    except Pruned as given_up:
        found |= {"status": "pruned", "reason": str(given_up)}
    except (Diverged, ConfigError) as error:
        found["reason"] = str(error)
    except Exception as error:
        reason = reason_of(error, trial, training.part if training else "")
        found |= {"reason": reason, "trace": traceback.format_exc(), "out_of_memory": devices.memory_ran_out(error)}
    result = TrialResult(**found, ended=clock(), environment=environment() | ran_on)
    try:
        folder.write_result(result, keep=int(kept.after))
    except OSError as error:
        return replace(result, status="failed", reason=error.strerror or str(error))
    return result


def _earlier(folder: TrialFolder) -> dict[str, list[dict[str, Any]]]:
    """The tables from before the end that figures are drawn of."""
    wanted = (name for name in folder.tables() if ".histogram.epoch_" in name or name == UNTRAINED)
    return {name: folder.table(name) for name in wanted}


def described(trial: Trial) -> dict[str, Any]:
    """The description of a trial in its folder."""
    told = {"config": trial.config, "cell": trial.cell, "seed": trial.seed, "uses_labels": trial.uses_labels}
    apart = [f"data.{name}" for name in trial.config["data"] if name not in trial.identity["data"]]
    return told | ({"apart": apart} if apart else {}) | ({"code": trial.code} if trial.code else {})


def _described_before(folder: TrialFolder) -> dict[str, Any]:
    """The data that a trial began with, and what counts as these; empty of one that begins now."""
    try:
        content = folder.config()
    except FileNotFoundError:
        return {}
    return {name: content[name] for name in ("data", "same_data") if name in content}


def _checked(digest: str, before: Mapping[str, Any]) -> str:
    """The digest; ConfigError where the trial began with other data than there are on this node."""
    known = {before.get("data"), *before.get("same_data", ())} - {None}
    if known and digest not in known:
        raise ConfigError(
            ["data: they are others here than where this trial began; make them the same, then `study retry`"]
        )
    return digest


def _clock(folder: TrialFolder) -> Callable[[], float]:
    """Seconds since 1970, from where the trial's records end: it may be resumed where the clock is behind."""
    behind = max(max(folder.times(), default=0.0) - time.time(), 0.0)
    return lambda: time.time() + behind


def reason_of(error: Exception, trial: Trial, part: str = "") -> str:
    """The reason of a failure in a line; where memory did not suffice, in which part of its work and what to set."""
    short = f"{type(error).__name__}: {error}"
    on_gpu = devices.memory_ran_out(error)
    if not on_gpu and not isinstance(error, MemoryError) and "can't allocate memory" not in short:
        return short
    more = f"on a {'GPU' if on_gpu else 'machine'} with more memory"
    said = " ".join(short.split())[:200]
    where = f" in {part}" if part else ""
    batch = trial.config["batch_size"]
    return f"out of memory{where} at batch_size={batch}; {_remedy(part, trial)}, or retry it {more} ({said})"


def _remedy(part: str, trial: Trial) -> str:
    """Advice on how a part of the work needs less memory."""
    if part.startswith("evaluating transfer."):
        name = part.removeprefix("evaluating transfer.")
        return f"lower the train_size of {name} in transfer, or leave {name} out of it"
    if part.startswith("evaluating "):
        name = part.removeprefix("evaluating ")
        return f"leave {name} out of evaluations, lower data.test_size or data.train_size"
    if "negatives" in part or "similarit" in part:
        return "lower k, or the method's queue_size"
    precision = ", set precision=auto" if trial.config["precision"] == "float32" else ""
    return f"lower batch_size, take a narrower encoder{precision}"


def _run(
    training: Training,
    folder: TrialFolder,
    cache: Path | None,
    report: Report | None,
    checkpoints: Checkpoints,
    clock: Callable[[], float],
) -> dict[str, Any]:
    trial, data = training.trial, training.data
    metrics = floors(training, cache)
    untrained(training, folder)
    checkpoint.restore(training, folder)
    if training.ranks > 1:
        checkpoint.share(training)
    quick = Quick(training) if trial.config["accuracy_every"] else None
    while training.epoch < training.epochs:
        epoch = training.train_epoch() | training.geometry() | on_the_way(training, folder)
        epoch |= quick(training) if quick else {}
        folder.append({"epoch": training.epoch, "time": clock(), "metrics": epoch})
        if training.epoch % checkpoints.every == 0 or training.epoch == training.epochs:
            checkpoint.save(training, folder, keep=checkpoints.keep)
        if report is not None:
            report(training.epoch, epoch)
    started = time.perf_counter()
    found = evaluate(training)
    found.add(transfer.transfer(training, cache))
    if checkpoints.encoder:
        checkpoint.save_encoder(training, folder)
    for name, table in found.tables.items():
        folder.write_table(name, table)
    with tempfile.TemporaryDirectory() as drawn:  # figures are drawn into files; the folder may be in an object store
        figures = trial.parts.figures
        tables = _earlier(folder) | found.tables
        undrawn = save_trial_figures(figures, tables, Path(drawn), journal=folder.journal())
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
            **data.facts,
            "synsets": list(training.semantics.synsets),
            "class_counts": None if data.test.labels is None else np.bincount(data.test.labels).tolist(),
        }
        | transfer.described(training, cache),
        "skipped": found.skipped
        | {f"figure {name}": why for name, why in undrawn.items()}
        | ({"meaning": trial.parts.meaning.off} if trial.parts.meaning.off else {}),
    }

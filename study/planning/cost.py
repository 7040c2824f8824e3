"""The cost of a trial in time and memory: as observed of finished trials, or as probed with a few real steps."""

import importlib.metadata
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from study.config import ConfigError
from study.data import DataSource
from study.data.cache import remembered
from study.machine.environment import PACKAGES, cores
from study.planning.study_config import StudyConfig
from study.storage.store import Store, TrialFolder

if TYPE_CHECKING:
    import torch

    from study.trial.trial import Trial

PROBE_STEPS = 3
PROBE_EPOCHS = 2
"""The first one has what happens once."""
PROBE_SECONDS = 60.0
"""A kind of trial is probed as a whole where that takes less, as a few steps tell."""
CONTEXT_MIB = 600
"""Memory that CUDA takes on the GPU for each process beside torch's allocator."""
FEATURE_BYTES = 3 * 4
"""Memory that each number of a second data set's features takes: float32, standardised, and as it is worked on."""
HEADROOM = 0.9
"""Of a GPU's memory, to be planned with: fragments and evaluation take the rest."""


@dataclass(frozen=True)
class Estimate:
    """Of one trial; None: not known."""

    seconds: float | None
    mib: float | None
    source: str


def concurrency(study: StudyConfig) -> int:
    """How many trials this machine runs at once."""
    at_once = int(cores() / study.cpus)
    if study.gpus:
        import torch

        there = torch.cuda.device_count()
        at_once = min(at_once, there * int(1 / study.gpus) if study.gpus <= 1 else there // study.ranks)
    return max(at_once, 1)


def packing(mib: float, gpu_mib: float) -> str:
    """How many trials of that peak memory share one GPU, as what to type."""
    fit = int(HEADROOM * gpu_mib / (mib + CONTEXT_MIB))
    if fit < 1:
        return f"a trial does not fit on a GPU of {gpu_mib:,.0f} MiB: lower batch_size"
    share = math.floor(1000 / fit) / 1000
    return f"{fit} fit on a GPU of {gpu_mib:,.0f} MiB: --set gpus={share:g}"


def observed(folders: Iterable[TrialFolder]) -> Estimate:
    """Means over the finished ones of these trials."""
    results = [result for folder in folders if (result := folder.result()) and result.finished]
    if not results:
        return Estimate(None, None, "nothing measured")
    return Estimate(
        statistics.mean(result.duration for result in results),
        max(result.metrics["memory.peak_mib"] for result in results),
        f"from {len(results)} finished trials",
    )


def probed(trials: "list[Trial]", study: StudyConfig) -> Estimate:
    """The mean over distinct kinds of trials (all but temperature, K and seed alike), on the device that they get.

    Two epochs of a kind and its evaluation are run as a whole where that is quick, and a few steps where it is not.
    ConfigError where the device cannot be used.
    """
    import torch

    from study.machine import devices
    from study.machine.memory import give_back

    if study.ranks > 1:
        raise ConfigError([f"--probe times one process, and a trial here has {study.ranks}; plan without it"])
    device = devices.device_of(study.gpus)
    devices.set_modes(device)
    kinds: dict[str, Trial] = {}
    for trial in trials:
        config = trial.config
        key = repr({name: value for name, value in config.items() if name not in ("temperature", "k", "seed")})
        kinds.setdefault(key, trial)
    torch.set_num_threads(study.threads)
    found = []
    for trial in kinds.values():
        give_back()
        by_steps = _by_steps(trial, device)
        as_a_whole = _as_a_whole(trial, study, device) if by_steps.quick else None
        found.append(as_a_whole or by_steps)
    mib = max(of.mib for of in found)
    source = f"probed: {PROBE_STEPS} steps of {len(kinds)} kinds of trial"
    if whole := sum(of.whole for of in found):
        source = f"probed: two epochs and the evaluation of {whole} of {len(kinds)} kinds of trial"
    if device.type == "cuda":
        source += f"; {packing(mib, torch.cuda.get_device_properties(device).total_memory / 2**20)}"
    return Estimate(statistics.mean(of.seconds for of in found), mib, source)


class _Probe(NamedTuple):
    seconds: float
    """of a trial"""
    mib: float
    whole: bool
    quick: bool = True
    """whether it can be probed as a whole"""


def _by_steps(trial: "Trial", device: "torch.device") -> _Probe:
    """A trial by a few steps: the evaluation as its forward passes, a third of a training step each, over second data
    sets too; the memory as that of the steps, with the features of the largest second data set on top."""
    from study.trial.timing import time_steps
    from study.trial.training import Training

    training = Training(trial, trial.parts.data.load(), device)
    per_step = time_steps(training, PROBE_STEPS)
    data = training.data
    forward = (1 + trial.config["evaluation_views"]) * (len(data.train) + len(data.test))
    forward += len(data.validation or ())
    of_transfer = [_examples(source) for source in trial.parts.transfer.values()]
    forward += 2 * sum(of_transfer)  # trained and, for the floor, untrained
    evaluation = forward / (training.views * training.batch_size) * per_step / 3
    epoch = per_step * training.steps
    held = FEATURE_BYTES * cast(int, training.learner.encoder.feature_dim) * max(of_transfer, default=0)
    whole = PROBE_EPOCHS * epoch + evaluation
    return _Probe(epoch * training.epochs + evaluation, training.peak_mib + held / 2**20, False, whole < PROBE_SECONDS)


def _as_a_whole(trial: "Trial", study: StudyConfig, device: "torch.device") -> _Probe | None:
    """A trial by one of two epochs, run to its end: each of its epochs takes as long as the last one. None where it
    fails. What a worker does once, and not for each trial, is left out, as the floor is, which trials share."""
    from matplotlib import figure, font_manager  # noqa: F401 - a second of its own

    from study.trial.run import run_trial

    epochs = trial.config["epochs"]
    short = {"epochs": min(PROBE_EPOCHS, epochs), "accuracy_every": 0, "negatives_every": None}
    with tempfile.TemporaryDirectory(prefix="study-probe-") as place:
        folder = TrialFolder(Path(place))
        result = run_trial(
            replace(trial, config=trial.config | short), folder, device=str(device), threads=study.threads,
            checkpoints=study.kept,
        )  # fmt: skip
        times = folder.times()
    if not result.finished:
        return None
    *_, before, last = times
    return _Probe(epochs * (last - before) + result.ended - last, result.metrics["memory.peak_mib"], True)


def _examples(source: DataSource) -> int:
    shape = source.shape()
    return shape.train + shape.test + shape.validation


NEXT_TO_NOTHING = """
name: start
base:
  data: {name: shapes, train_size: 60, test_size: 30}
  encoder: {name: conv-small, width: 4}
  batch_size: 20
  epochs: 1
  evaluations: [mean_classifier]
"""


def start(*, measure: bool = False) -> float | None:
    """Seconds that a run on this machine takes beyond its trials: imports, Ray and its workers, MLflow, the end.

    Measured by a run of a study of next to nothing, once for each version of what is started; None where that has not
    been done and is not to be, or fails, and of a cluster.
    """
    if os.environ.get("RAY_ADDRESS"):
        return None
    with suppress(_Unknown):
        return float(remembered(start_key(), _run_of_next_to_nothing if measure else _unknown))
    return None


def start_key() -> dict[str, Any]:
    """Decides how long a start takes: versions and cores."""
    return {"start of a run": {name: importlib.metadata.version(name) for name in PACKAGES}, "cores": cores()}


class _Unknown(LookupError):
    pass


def _unknown() -> float:
    raise _Unknown


def _run_of_next_to_nothing() -> float:
    with tempfile.TemporaryDirectory(prefix="study-start-") as place:
        (Path(place) / "study.yaml").write_text(NEXT_TO_NOTHING)
        command = [sys.executable, "-m", "study.cli", "run", "study.yaml", "--storage", place]
        command += ["--tracking-uri", f"sqlite:///{place}/mlflow.db"]
        path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
        began = time.perf_counter()
        done = subprocess.run(command, cwd=place, env=os.environ | {"PYTHONPATH": path}, capture_output=True)
        seconds = time.perf_counter() - began
        results = [result for folder in Store.of("start", place).trials() if (result := folder.result())]
    if done.returncode or not results:
        raise _Unknown
    return seconds - sum(result.ended - result.started for result in results)

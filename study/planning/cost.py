"""The cost of a trial in time and memory: as observed of finished trials, or as probed with a few real steps."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from study.config import ConfigError
from study.data import DataSource
from study.machine.environment import cores
from study.planning.study_config import StudyConfig
from study.storage.store import TrialFolder

if TYPE_CHECKING:
    from study.trial.trial import Trial

PROBE_STEPS = 3
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
    """The mean over distinct kinds of trials (all but temperature, K and seed alike) of a few steps of each.

    They run on the device that the study's trials get; ConfigError where it cannot be used. A trial's time is its
    training steps plus its evaluation: forward passes, a third of a training step each, over second data sets too. Its
    memory is that of the steps, with the features of the largest second data set on top.
    """
    import torch

    from study.machine import devices
    from study.machine.memory import give_back
    from study.trial.timing import time_steps
    from study.trial.training import Training

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
    seconds, mib = [], []
    for trial in kinds.values():
        give_back()
        training = Training(trial, trial.parts.data.load(), device)
        per_step = time_steps(training, PROBE_STEPS)
        data = training.data
        forward = (1 + trial.config["evaluation_views"]) * (len(data.train) + len(data.test))
        forward += len(data.validation or ())
        of_transfer = [_examples(source) for source in trial.parts.transfer.values()]
        forward += 2 * sum(of_transfer)  # trained and, for the floor, untrained
        evaluation = forward / (trial.parts.method.views * training.batch_size) * per_step / 3
        seconds.append(per_step * training.steps * training.epochs + evaluation)
        held = FEATURE_BYTES * cast(int, training.learner.encoder.feature_dim) * max(of_transfer, default=0)
        mib.append(training.peak_mib + held / 2**20)
    source = f"probed: {PROBE_STEPS} steps of {len(kinds)} kinds of trial"
    if device.type == "cuda":
        source += f"; {packing(max(mib), torch.cuda.get_device_properties(device).total_memory / 2**20)}"
    return Estimate(statistics.mean(seconds), max(mib), source)


def _examples(source: DataSource) -> int:
    shape = source.shape()
    return shape.train + shape.test + shape.validation

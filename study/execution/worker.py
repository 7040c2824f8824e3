"""One trial on one of Ray's workers."""

import base64
import gc
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from study.bounds import BOUNDS
from study.execution import job
from study.storage.store import TrialFolder, location
from study.storage.trial_result import TrialResult
from study.trial.trial import Trial

if TYPE_CHECKING:
    from ray import tune

    from study.trial.run import Report


def resources(config: dict[str, Any]) -> "tune.PlacementGroupFactory":
    """CPUs and GPUs of a trial."""
    from ray import tune

    return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])


def directory(trial: Any) -> str:
    """A worker's working directory names the trial that it has."""
    return Path(trial.config["folder"]).name


def work(config: dict[str, Any]) -> dict[str, Any]:
    """One trial on a worker: what it needs came with it, names are not looked up.

    Where a GPU that it shares with others was full, its failure is forgotten (its checkpoints are not), and said as one
    to be tried again alone.
    """
    from ray import cloudpickle

    folder, retry_alone = TrialFolder(location(config["folder"])), False
    result = folder.result()
    if result is None and "trial" not in config:  # over before, see `Proposals.start`, and it has no result
        result = TrialResult.failure("tried again alone on a GPU")
    if result is None:
        job.load_torch()
        from study.machine.memory import give_back, keep_freed
        from study.trial.ranks import run_over_ranks
        from study.trial.run import run_trial

        keep_freed()
        trial = base64.b64decode(config["trial"])
        how: dict[str, Any] = {
            "threads": config["threads"],
            "checkpoints": config["checkpoints"],
            "report": _report(config, folder),
        }
        if config["ranks"] > 1:
            result = run_over_ranks(trial, folder, ranks=config["ranks"], gpus=config["gpus"] > 0, **how)
        else:
            result = run_trial(cloudpickle.loads(trial), folder, device="cuda" if config["gpus"] else "cpu", **how)
        give_back()
        if not gc.get_freeze_count():  # what the first trial imported: to look through it takes 0.3 s per trial
            gc.freeze()
        retry_alone = 0 < config["gpus"] < 1 and result.out_of_memory
        if retry_alone:
            folder.reset()
    stored = folder.result() is not None
    return {"status": result.status, "reason": result.reason, "stored": stored, "retry_alone": retry_alone}


def _report(config: dict[str, Any], folder: TrialFolder) -> "Report":
    """Tell Ray of each epoch; of a cell's first trial in a study that prunes, see whether the cell is given up."""
    from ray import tune

    from study.trial.probes.pruning import Pruning

    def report(epoch: int, metrics: dict[str, float]) -> None:
        tune.report({"epoch": epoch, "loss": metrics["train.loss"]})

    if not config["beside"]:
        return report
    others = tuple(TrialFolder(folder.path.parent / trial) for trial in config["beside"])
    return Pruning(folder, others, config["epochs"], report)


def user_modules(trials: list[Trial]) -> list[str]:
    """The modules outside this project that define components; they travel to the workers by value."""
    users = sorted(_defining(trials) - {"__main__"})
    if users:
        from ray import cloudpickle  # an import of seconds, which a study that is finished does not need

        for name in users:
            cloudpickle.register_pickle_by_value(sys.modules[name])
    return users


def not_found_again(trials: list[Trial]) -> str:
    """The note that a study.yaml of these cannot be run by itself: no import finds a module that it needs."""
    names = sorted(name for name in _defining(trials) if name == "__main__" or "." in _stem(sys.modules[name]))
    if not names:
        return ""
    return (
        f"study.yaml alone will not run again: components are defined in {', '.join(names)}, which no import finds by "
        "that name; define them in a file such as my_parts.py, and import that"
    )


def _stem(module: ModuleType) -> str:
    """`exp.v2` of exp.v2.py, `parts` of mine/parts.py."""
    return Path(getattr(module, "__file__", None) or "").stem


def _defining(trials: list[Trial]) -> set[str]:
    """The modules outside this project that define components, `__main__` included."""
    ours = {"models", "study", "torch", "functools"}
    found = {bound.__module__ for bound in BOUNDS.values() if bound.__module__.split(".")[0] not in ours}
    for trial in trials:
        parts = [
            trial.parts.data,
            *trial.parts.transfer.values(),
            trial.parts.encoder,
            trial.parts.head,
            trial.parts.augmentation,
            trial.parts.method,
            trial.parts.temperature,
        ]
        parts += [trial.parts.optimizer, *trial.parts.evaluations.values(), *trial.parts.figures.values()]
        parts += [trial.parts.contrast.strategy, trial.parts.contrast.objective] if trial.parts.contrast else []
        for part in parts:
            function = getattr(part, "func", part)
            name = getattr(function, "__module__", type(part).__module__)
            if name.split(".")[0] not in ours:
                found.add(name)
    return found

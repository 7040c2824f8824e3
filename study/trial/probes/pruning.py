"""Pruning by the accuracy on the way: a cell whose first seed lags behind the median of those before it is given up.

Never one seed of a cell: the cell's mean would be that of its better seeds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from study.evaluation.knn import QUICK
from study.storage.store import TrialFolder

BY = next(name for name in QUICK if name.endswith(".top1"))
"""The accuracy that decides: on held-out examples, never on the test split."""
LEAST = 5
"""Cells whose first seed must have finished before one is given up."""
SPARED = 0.25
"""Share of the epochs in which none is given up: what warms up, or learns slowly, looks bad first."""


class Pruned(Exception):
    """The trial's cell is given up; the message says what it is behind."""


@dataclass(frozen=True)
class Pruning:
    """Called after every epoch of a cell's first trial: passes on the report, and raises Pruned where it lags."""

    folder: TrialFolder
    others: tuple[TrialFolder, ...]
    """the first trials of all cells"""
    epochs: int
    report: Callable[[int, dict[str, float]], None]

    def __call__(self, epoch: int, metrics: dict[str, float]) -> None:
        self.report(epoch, metrics)
        if BY in metrics and epoch < self.epochs:
            finished = [curve(other) for other in self.others if other.id != self.folder.id and _finished(other)]
            own = curve(self.folder)
            if lags(own, finished, spared=int(SPARED * self.epochs)):
                best = max(own.values())
                raise Pruned(
                    f"pruned at epoch {epoch} of {self.epochs}: {BY} was {best:.2f} at best, less than the median of "
                    f"{len(finished)} cells at that epoch; `study run` without --prune goes on with it"
                )


def lags(own: Mapping[int, float], finished: Iterable[Mapping[int, float]], *, spared: int) -> bool:
    """Whether the best of a curve, epoch → accuracy, is below the median of the finished ones at its last epoch.

    Optuna's MedianPruner, asked about the curves: never up to epoch `spared`, nor before LEAST have finished.
    """
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=LEAST, n_warmup_steps=spared + 1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for known in finished:
        study.add_trial(optuna.trial.create_trial(value=0.0, intermediate_values=dict(known)))
    asked = study.ask()
    for epoch, value in own.items():
        asked.report(value, epoch)
    return bool(asked.should_prune())


def curve(folder: TrialFolder) -> dict[int, float]:
    """A trial's accuracy on the way, by epoch."""
    return {line["epoch"]: line["metrics"][BY] for line in folder.journal() if BY in line["metrics"]}


def _finished(folder: TrialFolder) -> bool:
    result = folder.result()
    return result is not None and result.finished

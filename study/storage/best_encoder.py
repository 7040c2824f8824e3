"""The one encoder that is kept where a study saves the best: that of the best trial so far."""

import math

from study.metric_names import validation_of
from study.storage.planned import planned
from study.storage.store import Store, TrialFolder
from study.storage.trial_result import TrialResult


class BestEncoder:
    """Drops the encoder of each trial that is not the best one by a metric, on held-out examples where it is known.

    `drop_earlier`: also of the study's trials that finished before; else these only show what there is to beat.
    """

    def __init__(self, store: Store, metric: str, direction: str, *, drop_earlier: bool) -> None:
        self._metric, self._sign = metric, 1.0 if direction == "max" else -1.0
        self._best: tuple[float, TrialFolder | None] = -math.inf, None
        of_plan = planned(store)
        for folder in store.trials():
            if of_plan(folder.id) and folder.encoder.exists() and (result := folder.result()):
                self.offer(folder, result, keep=not drop_earlier)

    def offer(self, folder: TrialFolder, result: TrialResult, *, keep: bool = False) -> None:
        """A trial that is over: its encoder stays if it beats those before, and theirs goes; `keep`: both stay."""
        value = self._value(result)
        best, holder = self._best
        if value > best or (holder is None and math.isinf(best)):
            self._best = value, None if keep else folder
            loser = holder
        else:
            loser = folder
        if loser is not None and not keep:
            loser.encoder.unlink(missing_ok=True)

    def _value(self, result: TrialResult) -> float:
        value = result.metrics.get(validation_of(self._metric), result.metrics.get(self._metric))
        return -math.inf if value is None or math.isnan(value) else self._sign * value

"""Cells by search: a sampler of Optuna's proposes each from what the finished ones gave."""

import hashlib
import json
import statistics
from collections import deque

from models.registry import did_you_mean
from study.config import ConfigError
from study.metric_names import validation_of
from study.planning.kept import as_stored, of_study
from study.planning.plan import resolve_cells
from study.planning.search import OptunaSpace, new_study
from study.planning.study_config import StudyConfig
from study.space import Cell, to_plain
from study.storage.registers import create
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.trial import Trial

TRIES = 50
"""Proposals in a row that may fail to be a new valid cell before the space counts as exhausted."""


class Searched:
    """Cells that a sampler of Optuna's proposes; a cell's value is the mean over its seeds.

    Goes on from the cells in the store towards the study's number of cells, which all sessions that run it share: a
    proposal takes the next place of a list in the store, or adopts what another session proposed there. A cell that
    failed under a seed counts as failed; one that the rest of the config does not allow is passed over.
    """

    def __init__(self, study: StudyConfig, store: Store) -> None:
        self._study, self._store = study, store
        self._optuna = new_study(study.sampler, study.metrics)
        self._space = OptunaSpace(study.spaces)
        self._queue: deque[Trial] = deque()
        self._open: dict[str, tuple[int, list[Trial]]] = {}  # cell → Optuna's number, its trials
        shape = json.dumps([study.base.plain(), to_plain(study.space)], sort_keys=True)
        self._list = store.path / "cells" / hashlib.sha256(shape.encode()).hexdigest()[:8]
        self._known: set[str] = set()  # cells, one for each place of the list
        self._adopt_listed()
        self._list_found()

    def next(self) -> Trial | None:
        tries = 0
        while not self._queue and len(self._known) < (self._study.cells or 0) and tries < TRIES:
            tries += not (self._adopt_listed() or self._propose())
        return self._queue.popleft() if self._queue else None

    def tell(self, trial: Trial, result: TrialResult) -> None:
        key = key_of(trial.cell)
        if key not in self._open:
            return
        number, trials = self._open[key]
        values = self._values(trials)
        if values is None:
            return
        del self._open[key]
        if values == "failed":
            import optuna

            self._optuna.tell(number, state=optuna.trial.TrialState.FAIL)
        else:
            self._optuna.tell(number, values)

    def _adopt_listed(self) -> bool:
        """Take in what the list holds beyond what is known; whether there was something."""
        before = len(self._known)
        while True:
            try:
                cell = json.loads((self._list / str(len(self._known))).read_text())
            except FileNotFoundError:
                return len(self._known) > before
            self._adopt(cell)

    def _list_found(self) -> None:
        """List the cells that trials of this study in the store have and the list has not: of other ranges, or run one
        by one."""
        cells = {key_of(trial.cell): trial.cell for trial in of_study(self._study, self._store, [])}
        for key, cell in cells.items():
            while key not in self._known and not create(self._list / str(len(self._known)), json.dumps(cell)):
                self._adopt_listed()
            if key not in self._known:
                self._adopt(cell)

    def _adopt(self, cell: Cell) -> None:
        """Give a cell to Optuna: with its values, or to be told them once the trials that it lacks have run."""
        import optuna

        trials = self._trials(cell)
        values = self._values(trials)
        if values is None:
            self._optuna.enqueue_trial(self._space.params(cell))
            self._open_cell(cell, trials, self._space.ask(self._optuna)[0].number)
            return
        self._known.add(key_of(cell))
        failed = values == "failed"
        self._optuna.add_trial(
            optuna.trial.create_trial(
                params=self._space.params(cell),
                distributions=self._space.distributions(cell),
                values=None if failed else values,
                state=optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE,
            )
        )

    def _propose(self) -> bool:
        """Ask for a cell, list it and queue its trials; False where it is no valid new cell, or its place was taken."""
        import optuna

        asked, cell = self._space.ask(self._optuna)
        try:
            trials = self._trials(cell)
        except ConfigError:
            self._optuna.tell(asked, state=optuna.trial.TrialState.FAIL)
            return False
        values = self._values(trials)
        place = self._list / str(len(self._known))
        if values is not None or key_of(cell) in self._known or not create(place, json.dumps(cell)):
            known = values if isinstance(values, list) else None
            self._optuna.tell(asked, known, state=None if known else optuna.trial.TrialState.FAIL)
            return False
        self._open_cell(cell, trials, asked.number)
        return True

    def _open_cell(self, cell: Cell, trials: list[Trial], number: int) -> None:
        self._known.add(key_of(cell))
        self._open[key_of(cell)] = (number, trials)
        self._queue.extend(p for p in trials if self._store.trial(p.id).result() is None)

    def _trials(self, cell: Cell) -> list[Trial]:
        (trial,) = resolve_cells(self._study, [cell])
        return as_stored(self._store, [trial.under(seed) for seed in self._study.seeds])

    def _values(self, trials: list[Trial]) -> "list[float] | str | None":
        """The means over the seeds on held-out examples; "failed" where a seed failed; None while one is missing."""
        results = [self._store.trial(trial.id).result() for trial in trials]
        if any(result is not None and not result.finished for result in results):
            return "failed"
        finished = [result.metrics for result in results if result is not None]
        if len(finished) < len(trials):
            return None
        chosen_by = [validation_of(metric) for metric in self._study.metrics]
        missing = [metric for metric in chosen_by if metric not in finished[0]]
        if missing:
            known = sorted(finished[0])
            raise ConfigError([f"metrics.{m}: no trial logs it{did_you_mean(m, known)}" for m in missing])
        return [statistics.mean(metrics[metric] for metrics in finished) for metric in chosen_by]


def key_of(cell: Cell) -> str:
    """A cell as a key."""
    return json.dumps(cell, sort_keys=True)

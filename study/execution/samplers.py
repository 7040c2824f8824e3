"""Which trial of a study runs next: a fixed list, or what Optuna's TPE proposes from the finished ones."""

import hashlib
import json
import statistics
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from models.registry import did_you_mean
from study.claims import CLAIMS, Finding, findings
from study.claims.allocation import Addition, Open, next_seed
from study.config import ConfigError
from study.metric_names import validation_of
from study.planning.kept import as_stored, of_study
from study.planning.plan import resolve_cells
from study.planning.study_config import StudyConfig
from study.planning.until_decided import further, ladder
from study.results import Results
from study.space import Cell, Dimension, Grid, LogUniform, RandInt, to_plain
from study.storage.registers import create
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.trial import Trial

if TYPE_CHECKING:
    import optuna

TRIES = 50
"""Proposals in a row that may fail to be a new valid cell before the space counts as exhausted."""


@dataclass(frozen=True)
class Wait:
    """Ask again: what is under way must come to its end first."""

    why: str = ""


class Sampler(Protocol):
    """Gives trials one by one and hears of their results."""

    def next(self) -> Trial | Wait | None:
        """The next trial to run; Wait, where results of those that were given must come first; None where there is none
        left."""

    def tell(self, trial: Trial, result: TrialResult) -> None:
        """A trial's result, finished or failed."""


def sampler_of(
    study: StudyConfig, trials: list[Trial], store: Store, say: Callable[[str, int], None] = lambda text, more: None
) -> Sampler:
    """The study's sampler, over what the store has not finished yet of its known trials. say: is told in words
    what is added to them and why, and how many trials that is."""
    if study.until_decided:
        return UntilDecided(study, trials, store, say)
    return TPE(study, store) if study.sampler == "tpe" else Listed(trials, store)


class Listed:
    """The trials of a grid or random study that have no result, interrupted ones first."""

    def __init__(self, trials: list[Trial], store: Store) -> None:
        status = {trial.id: store.trial(trial.id).status() for trial in trials}
        left = [trial for trial in trials if status[trial.id] in ("started", "pending")]
        self._left = deque(sorted(left, key=lambda trial: status[trial.id] != "started"))

    def next(self) -> Trial | None:
        return self._left.popleft() if self._left else None

    def tell(self, trial: Trial, result: TrialResult) -> None:
        """A list does not depend on results."""


class UntilDecided:
    """The study's own trials; once they have their results, seed by seed those of the cells that open claims need.

    What comes next follows from the store alone (`study.claims.allocation`), so that sessions that share it choose
    alike, and one that goes on does so where the last one was.
    """

    def __init__(self, study: StudyConfig, trials: list[Trial], store: Store, say: Callable[[str, int], None]) -> None:
        self._study, self._store, self._say = study, store, say
        known = of_study(study, store, trials)
        self._left, self._begun = Listed(known, store), deque[Trial]()
        self._first = {trial.id for trial in as_stored(store, trials)}
        self._under_way: set[str] = set()
        cells: dict[str, int] = {}
        self._places: dict[str, tuple[int, int]] = {}
        """trial → its cell, by number, and seed"""
        self._trials: dict[tuple[int, int], Trial] = {}
        for trial in as_stored(store, [*trials, *further(study, trials)]):
            place = cells.setdefault(_key(trial.cell), len(cells)), trial.seed
            self._places[trial.id], self._trials[place] = place, trial
        self._dry = False  # nothing is to be added until a result comes

    def next(self) -> Trial | Wait | None:
        trial = self._left.next() or (self._begun.popleft() if self._begun else None)
        if trial is None and not self._dry and not self._under_way & self._first:
            self._dry = not self._add()
            trial = self._begun.popleft() if self._begun else None
        if trial is None:
            return Wait() if self._under_way else None
        self._under_way.add(trial.id)
        return trial

    def tell(self, trial: Trial, result: TrialResult) -> None:
        self._under_way.discard(trial.id)
        self._dry = False

    def _add(self) -> bool:
        """Take up what a session left unfinished, or else add a seed; whether there was something."""
        results = Results.load(self._store)
        begun = [t for t in results.frame.query("status == 'started'")["trial_id"] if t not in self._under_way]
        if taken := [self._trials[self._places[t]] for t in begun if t in self._places]:
            self._begun.extend(taken)
            return True
        found = [one for one in findings(results) if one.open]
        addition = self._choose(found, results)
        if addition is None:
            return False
        self._begun.extend(self._trials[cell, addition.seed] for cell in addition.cells)
        self._say(_why(addition, found), len(addition.cells))
        return True

    def _choose(self, found: list[Finding], results: Results) -> Addition | None:
        rows = results.frame[results.frame["trial_id"].isin(list(self._places))]
        places = [self._places[trial] for trial in rows["trial_id"]]
        over = rows["status"].isin(["finished", "failed"])
        have, given, seconds = defaultdict(set), defaultdict(set), defaultdict(list)
        for (cell, seed), done, took in zip(places, over, rows["seconds"], strict=True):
            given[cell].add(seed)
            if done:
                have[cell].add(seed)
                seconds[cell].append(took)
        for trial in self._under_way:
            cell, seed = self._places[trial]
            given[cell].add(seed)
        return next_seed(
            [self._open(one) for one in found],
            ladder(self._study),
            given=given,
            over=have,
            seconds={cell: statistics.mean(of_cell) for cell, of_cell in seconds.items()},
        )

    def _open(self, one: Finding) -> Open:
        cells = frozenset(self._places[trial][0] for trial in one.trials if trial in self._places)
        return Open(one.name, cells, max(1, one.more_seeds or CLAIMS[one.name]().seeds - one.seeds))


def _why(addition: Addition, found: list[Finding]) -> str:
    """In words: what is added, for which claims, and how they stand."""
    first = next(one for one in found if one.name == addition.claims[0])
    also = f" and {', '.join(addition.claims[1:])}" if len(addition.claims) > 1 else ""
    many = f"{len(addition.cells)} cell{'s' if len(addition.cells) > 1 else ''}"
    stands = f"{first.interval}; " if first.interval else ""
    return (
        f"seed {addition.seed} of {many} for {first.name}{also} ({stands}missing: {first.missing}); open: {len(found)} "
        f"claim{'s' if len(found) > 1 else ''}"
    )


class TPE:
    """Optuna's tree-structured Parzen estimator; a cell's value is the mean over its seeds.

    Goes on from the cells in the store towards the study's number of cells, which all sessions that run it share: a
    proposal takes the next place of a list in the store, or adopts what another session proposed there. A cell that
    failed under a seed counts as failed; one that the rest of the config does not allow is passed over.
    """

    def __init__(self, study: StudyConfig, store: Store) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study, self._store = study, store
        directions = ["maximize" if way == "max" else "minimize" for way in study.metrics.values()]
        # Cells that run count as bad ones, so that what is proposed meanwhile lies elsewhere: Optuna's default from 5
        sampler = optuna.samplers.TPESampler(seed=0, constant_liar=True)
        self._optuna = optuna.create_study(directions=directions, sampler=sampler)
        self._space = {path: _distribution(dimension) for path, dimension in study.spaces[0].items()}
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
        key = _key(trial.cell)
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
        cells = {_key(trial.cell): trial.cell for trial in of_study(self._study, self._store, [])}
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
            self._optuna.enqueue_trial(self._params(cell))
            self._open_cell(cell, trials, self._optuna.ask(self._space).number)
            return
        self._known.add(_key(cell))
        failed = values == "failed"
        self._optuna.add_trial(
            optuna.trial.create_trial(
                params=self._params(cell),
                distributions=self._space,
                values=None if failed else values,
                state=optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE,
            )
        )

    def _propose(self) -> bool:
        """Ask for a cell, list it and queue its trials; False where it is no valid new cell, or its place was taken."""
        import optuna

        asked = self._optuna.ask(self._space)
        cell = {path: json.loads(v) if self._listed(path) else v for path, v in asked.params.items()}
        try:
            trials = self._trials(cell)
        except ConfigError:
            self._optuna.tell(asked, state=optuna.trial.TrialState.FAIL)
            return False
        values = self._values(trials)
        place = self._list / str(len(self._known))
        if values is not None or _key(cell) in self._known or not create(place, json.dumps(cell)):
            known = values if isinstance(values, list) else None
            self._optuna.tell(asked, known, state=None if known else optuna.trial.TrialState.FAIL)
            return False
        self._open_cell(cell, trials, asked.number)
        return True

    def _open_cell(self, cell: Cell, trials: list[Trial], number: int) -> None:
        self._known.add(_key(cell))
        self._open[_key(cell)] = (number, trials)
        self._queue.extend(p for p in trials if self._store.trial(p.id).result() is None)

    def _params(self, cell: Cell) -> dict[str, Any]:
        """As Optuna has them."""
        return {path: json.dumps(v) if self._listed(path) else v for path, v in cell.items() if path in self._space}

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

    def _listed(self, path: str) -> bool:
        return isinstance(self._study.spaces[0][path], Grid)


def _key(cell: Cell) -> str:
    return json.dumps(cell, sort_keys=True)


def _distribution(dimension: Dimension) -> "optuna.distributions.BaseDistribution":
    """Optuna's own; values of a list as JSON, since Optuna takes no mappings."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Grid):
        return CategoricalDistribution([json.dumps(value) for value in dimension.values])
    if isinstance(dimension, RandInt):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=isinstance(dimension, LogUniform))

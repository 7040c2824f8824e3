"""Which trial of a study runs next: a fixed list, or what a search proposes from the finished ones."""

import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from study.claims import CLAIMS, Finding, findings
from study.claims.allocation import Addition, Open, next_seed
from study.execution.search import Searched, key_of
from study.planning.kept import as_stored, of_study
from study.planning.study_config import StudyConfig
from study.planning.until_decided import further, ladder
from study.results import Results
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.run import described
from study.trial.trial import Trial


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
    if study.prune:
        return FirstSeeds(study, trials, store)
    return Searched(study, store) if study.searches else Listed(trials, store)


class Listed:
    """The trials of a grid or random study that have no result. Pruned ones go on.

    Interrupted ones first; then seed by seed, so that what a budget or a stop leaves is whole pairs of cells, and a
    machine whose speed changes does so for all cells alike.
    """

    def __init__(self, trials: list[Trial], store: Store) -> None:
        status = {trial.id: store.trial(trial.id).status() for trial in trials}
        left = [trial for trial in trials if status[trial.id] in ("started", "pending", "pruned")]
        for trial in left:
            if status[trial.id] == "pruned":
                store.trial(trial.id).reset()
        places = {seed: place for place, seed in enumerate(dict.fromkeys(trial.seed for trial in trials))}
        self._left = deque(sorted(left, key=lambda trial: (status[trial.id] != "started", places[trial.seed])))

    def next(self) -> Trial | None:
        return self._left.popleft() if self._left else None

    def tell(self, trial: Trial, result: TrialResult) -> None:
        """A list does not depend on results."""


class FirstSeeds:
    """Every cell's first seed; the others of a cell once that is over, unless it was pruned: then they are so too.

    So each cell has all of its seeds or none that counts.
    """

    def __init__(self, study: StudyConfig, trials: list[Trial], store: Store) -> None:
        self._store, self._left = store, deque[Trial]()
        first = {key_of(trial.cell): trial for trial in trials if trial.seed == study.seeds[0]}
        self._rest = {
            trial.id: [other for other in trials if key_of(other.cell) == cell and other is not trial]
            for cell, trial in first.items()
        }
        """the first trial of each cell that is not over → the cell's others"""
        for trial in first.values():
            result = store.trial(trial.id).result()
            if result is None:
                self._left.append(trial)
            else:
                self.tell(trial, result)

    def next(self) -> Trial | Wait | None:
        if self._left:
            return self._left.popleft()
        return Wait() if self._rest else None

    def tell(self, trial: Trial, result: TrialResult) -> None:
        rest = [other for other in self._rest.pop(trial.id, []) if self._store.trial(other.id).result() is None]
        if result.status != "pruned":
            self._left.extend(rest)
            return
        for other in rest:
            folder, now = self._store.trial(other.id), time.time()
            folder.write_config(described(other))
            reason = f"its cell was given up: {result.reason}"
            folder.write_result(TrialResult(status="pruned", reason=reason, started=now, ended=now))


def prunable(study: StudyConfig, trials: list[Trial], store: Store) -> set[str]:
    """The first trials of cells that can be given up: no other seed has a result, which would go on counting."""
    rest = (trial for trial in trials if trial.seed != study.seeds[0])
    over = {key_of(trial.cell) for trial in rest if store.trial(trial.id).result() is not None}
    return {trial.id for trial in trials if trial.seed == study.seeds[0] and key_of(trial.cell) not in over}


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
            place = cells.setdefault(key_of(trial.cell), len(cells)), trial.seed
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
        f"seed {addition.seed} of {many} for {first.name}{also} ({stands}missing: {first.missing}); open: "
        f"{', '.join(one.name for one in found)}"
    )

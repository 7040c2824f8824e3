"""The trials of a study and their cost: every cell is checked before anything starts."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from models.registry import did_you_mean
from study.config import ConfigError
from study.metric_names import WITHOUT_EVALUATION, validation_of
from study.planning import notebook
from study.planning.data import check_places
from study.planning.study_config import PRIMARY, StudyConfig
from study.space import Cell, Grid
from study.storage.store import Store

if TYPE_CHECKING:
    from study.trial.trial import Trial


@dataclass(frozen=True)
class Plan:
    """Cells × seeds = trials, of which some are done; time and memory where they were measured."""

    study: str
    sampler: str
    cells: int
    seeds: int
    trials: int
    done: int
    failed: int
    started: int
    """running, or interrupted and to be resumed"""
    pending: int
    """never started"""
    concurrent: int
    """trials that this machine's processors (or GPUs) take at once"""
    seconds_per_trial: float | None
    """of one trial: of the finished ones, or as probed"""
    hours: float | None
    """for all that is not done, at that concurrency, the start included where it is known"""
    mib_per_trial: float | None
    """memory of one trial: of the finished ones, or as probed"""
    measured: str
    """where the estimates come from"""
    notes: tuple[str, ...] = ()
    """what is to be known of trials that can run: of which classes a band of meaning leaves nothing, say"""
    added: int = 0
    """of the trials, those of seeds that were added until claims are decided"""
    until_decided: bool = False
    """whether seeds are added to these until claims are decided"""
    pruned: int = 0
    """of cells that a study that prunes has given up; without that option they are among the pending"""
    start_seconds: float | None = None
    """of a run beyond its trials, on this machine"""
    numbers: int = 0
    """different values of the numeric dimension that has the most of them"""

    @property
    def over(self) -> int:
        """Trials that have their result."""
        return self.done + self.failed + self.pruned

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        more = f" + {self.added} of added seeds" if self.added else ""
        size = f"{self.cells} cells × {self.seeds} seeds{more} = {self.trials} trials ({self.sampler})"
        states = f"{self.done} done, {self.failed} failed, {self.started} started, {self.pending} pending"
        states += f", {self.pruned} pruned" if self.pruned else ""
        told = [size, states, self._cost(), self._power(), *self.notes]
        return f"{self.study}: " + "\n  ".join(filter(None, told))

    def _repr_html_(self) -> str:
        names = ("cells", "seeds", "trials", "sampler", "done", "failed", "started", "pending")
        rows = {name: getattr(self, name) for name in names}
        return notebook.table(self.study, rows, [self._cost(), self._power(), *self.notes])

    def _power(self) -> str:
        """The differences that so many seeds will find."""
        from study.analysis.paired import detectable_by

        if self.cells < 2:
            return ""
        if self.seeds < 2:
            return "1 seed leaves the noise unknown: no two cells can be told apart; take 2 seeds or more"
        cells, halves, ends = detectable_by(self.cells, self.seeds)
        found = f"{cells:.1f} σ between two cells"
        found += f", of {halves:.1f} σ between two halves of them" if self.cells > 2 else ""
        found += f", of {ends:.1f} σ from end to end of four values" if self.numbers > 2 else ""
        spread = "(σ: a cell's spread over seeds)"
        return f"{self.seeds} seeds find, in 80 % of studies, a difference of {found} {spread}"

    def _cost(self) -> str:
        if self.over == self.trials:
            return ""
        if self.hours is None or self.seconds_per_trial is None:
            return "time and memory unknown: no trial is finished yet; `study plan --probe` times some"
        memory = "" if self.mib_per_trial is None else f", {self.mib_per_trial:,.0f} MiB a trial"
        start = f"{self.start_seconds:,.0f} s to start" if self.start_seconds is not None else "start not counted"
        if self.start_seconds is None and not self.measured.startswith("probed"):
            start += " (`study plan --probe` measures it)"
        return (
            f"about {_duration(self.hours)} for what is left: {start}, {self.seconds_per_trial:,.0f} s a trial, "
            f"{self.concurrent} at once{memory} ({self.measured})"
        )


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 2 else f"{hours * 3600:.0f} s"


def _numbers(study: StudyConfig) -> int:
    """Different values of the numeric dimension that has the most of them; a range's are as many as the cells."""
    counts = [
        len({v for v in d.values if isinstance(v, int | float) and not isinstance(v, bool)})
        if isinstance(d, Grid)
        else study.cells or 0
        for space in study.spaces
        for d in space.values()
    ]
    return max(counts, default=0)


def make_plan(study: StudyConfig, store: Store, trials: "list[Trial] | None" = None, *, probe: bool = False) -> Plan:
    """Count and estimate what is left of these trials; by default `check_study`, which refuses what cannot run."""
    from study.planning import cost, data, kept, until_decided

    trials = check_study(study) if trials is None else trials
    of_it = kept.of_study(study, store, trials)
    number = len(study.seeds) * (study.cells or 0) if study.searches else len(of_it)
    added = 0 if study.searches else len(of_it) - len(trials)
    folders = [store.trial(trial.id) for trial in of_it]
    statuses = [folder.status() for folder in folders]
    count = {name: statuses.count(name) for name in ("finished", "failed", "started")}
    pruned = statuses.count("pruned") if study.prune else 0
    left = max(number - count["finished"] - count["failed"] - pruned, 0)
    concurrent = cost.concurrency(study)
    estimate = cost.probed(trials, study) if probe else cost.observed(folders)
    beside = len(kept.others(store, of_it))
    rounds = -(-left // concurrent)
    start = cost.start(measure=probe) if left and estimate.seconds is not None else None
    return Plan(
        study=study.name,
        sampler=study.sampler,
        cells=(number - added) // len(study.seeds),
        seeds=len(study.seeds),
        trials=number,
        done=count["finished"],
        failed=count["failed"],
        started=count["started"],
        pending=left - min(count["started"], left),
        concurrent=concurrent,
        seconds_per_trial=estimate.seconds,
        hours=None if estimate.seconds is None else ((start or 0) + rounds * estimate.seconds) / 3600,
        mib_per_trial=estimate.mib,
        measured=estimate.source,
        notes=(
            *data.lines(trials),
            *until_decided.notes(study, trials, estimate.seconds, concurrent),
            *dict.fromkeys(note for trial in trials for note in trial.notes),
            *_beside(beside, study.name),
        ),
        added=added,
        until_decided=study.until_decided,
        pruned=pruned,
        start_seconds=start,
        numbers=_numbers(study),
    )


def _beside(number: int, study: str) -> tuple[str, ...]:
    if not number:
        return ()
    return (f"{number} trials of other definitions of {study} are in the storage too, and do not count",)


def check_here(study: StudyConfig, trials: "list[Trial]") -> None:
    """Refuse, with ConfigError, a study whose trials are to run on this machine and need what it has not."""
    from study.data.cache import check_cache
    from study.machine.environment import cores

    if study.cpus > cores():
        raise ConfigError(
            [f"cpus={study.cpus:g} a trial is more than the {cores()} cores that may be used here; lower cpus, or run "
             "it on a cluster: --address (to plan it, set RAY_ADDRESS)"]
        )  # fmt: skip
    if study.gpus > 1 and study.gpus > (visible := _gpus()):
        raise ConfigError(
            [f"gpus={study.gpus:g} a trial is more than the {visible} that are visible here; lower gpus, or run it on "
             "a cluster: --address (to plan it, set RAY_ADDRESS)"]
        )  # fmt: skip
    try:
        check_cache()
    except OSError as error:
        raise ConfigError([str(error)]) from None
    if not study.gpus:
        _check_precisions(trials)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _check_precisions(trials: "list[Trial]") -> None:
    """Refuse number formats that this machine's CPU would only emulate."""
    from models.precision import choose_precision

    for name in dict.fromkeys(trial.config["precision"] for trial in trials):
        try:
            choose_precision(name, "cpu")
        except ValueError as error:
            raise ConfigError([str(error)]) from None


def check_study(study: StudyConfig) -> "list[Trial]":
    """The trials of a study: all of a grid or random one, or those that stand for a tpe one's space."""
    check_places(study)
    from study.planning.beside import check_prunable
    from study.planning.until_decided import check_decidable

    trials = trials_of(study) if not study.searches else resolve_cells(study, list(_corners(study)))
    _check_metrics(study, trials)
    check_decidable(study, trials)
    check_prunable(study, trials)
    _check_ranks(study.ranks, trials)
    if not study.gpus and any(trial.config["precision"] == "float16" for trial in trials):
        raise ConfigError(["precision: float16 is for GPUs, and gpus=0 is the CPU; set gpus=1, or precision=auto"])
    return trials


def _check_ranks(ranks: int, trials: "list[Trial]") -> None:
    """Refuse, with ConfigError, trials whose steps so many processes cannot share."""
    if ranks < 2:
        return
    problems = []
    for trial in trials:
        if (size := trial.config["batch_size"]) % ranks:
            problems.append(
                f"batch_size: {size} does not part into equal shares of {ranks} processes; choose a multiple of {ranks}"
            )
        try:
            trial.parts.method.check_ranks(ranks)
        except ValueError as error:
            problems.append(f"method: {error}")
    if problems:
        raise ConfigError(problems)


def trials_of(study: StudyConfig) -> "list[Trial]":
    """Every known cell under every seed, resolved; ConfigError with the problems of all cells at once."""
    return [trial.under(seed) for trial in resolve_cells(study, study.known_cells()) for seed in study.seeds]


def _check_metrics(study: StudyConfig, trials: "list[Trial]") -> None:
    """Refuse, with ConfigError, a metric that no trial will log. The default one may be missing, but for tpe."""
    if not study.searches and study.metrics == PRIMARY:
        return
    known = sorted(set().union(*(trial.reports for trial in trials)))
    unknown = [m for m in study.metrics if m not in known and not m.startswith(WITHOUT_EVALUATION)]
    if unknown:
        raise ConfigError(
            f"metrics.{m}: no evaluation of this study reports it{did_you_mean(m, known)}; docs/metrics.md has all"
            for m in unknown
        )
    if study.searches:
        _check_choice(study, trials, known)
        _check_search(study)


def _check_search(study: StudyConfig) -> None:
    from study.planning.search import check_search

    if study.sampler == "tpe":  # which can do all that a space can be
        return
    check_search(study.sampler, study.spaces, study.metrics)


def _check_choice(study: StudyConfig, trials: "list[Trial]", known: list[str]) -> None:
    """Refuse, with ConfigError, a search that would choose its cells on the test split."""
    on_test = [m for m in study.metrics if m in known and validation_of(m) == m and ".validation." not in m]
    if on_test:
        raise ConfigError(
            f"metrics.{m}: it is measured on the test split, on which nothing is chosen; search by an accuracy such as "
            "linear.features.top1, which has held-out examples, or by a metric of the training such as train.loss"
            for m in on_test
        )
    chooses = any(validation_of(m) != m for m in study.metrics)
    if chooses and not all(trial.parts.data.shape().validation for trial in trials):
        raise ConfigError(["data.validation_size: a search chooses on held-out examples, and there are none; raise it"])


def _corners(study: StudyConfig) -> Iterator[Cell]:
    """Cells that reach every value of each list and both ends of each range, one dimension at a time."""
    for space in study.spaces:
        ends = {p: list(d.values) if isinstance(d, Grid) else [d.low, d.high] for p, d in space.items()}
        first: Cell = {path: values[0] for path, values in ends.items()}
        yield first
        for path, values in ends.items():
            yield from ({**first, path: value} for value in values[1:])


def resolve_cells(study: StudyConfig, cells: list[Cell]) -> "list[Trial]":
    """The trial of each cell; ConfigError with the problems of all cells, each said once.

    Cells that are the same trial (k left out, and k = the pool's size) are refused in a grid and dropped otherwise.
    """
    from study.planning.resolve import Resolver

    resolver, problems = Resolver(), []
    trials: dict[str, Trial] = {}
    for cell in cells:
        try:
            trial = resolver.resolve(study.config(cell))
        except ConfigError as error:
            problems += error.problems
            continue
        twin = trials.get(trial.id)
        if twin is not None and study.sampler == "grid":
            problems.append(f"space: {json.dumps(twin.cell)} and {json.dumps(cell)} are the same trial; drop one")
        trials.setdefault(trial.id, replace(trial, cell=cell))
    if problems:
        raise ConfigError(problems)
    return list(trials.values())

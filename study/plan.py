"""What a study would run, and what it would cost: every cell is checked before anything starts."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from models.registry import did_you_mean
from study.config import ConfigError
from study.space import Cell, Grid
from study.store import Store

if TYPE_CHECKING:
    from study.resolve import Trial
    from study.study import Point, Study


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
    """at work, or interrupted and to be resumed"""
    pending: int
    """never started"""
    concurrent: int
    """trials that this machine's processors (or GPUs) take at once"""
    seconds_per_trial: float | None
    """of one trial: of the finished ones, or as probed"""
    hours: float | None
    """for all that is not done, at that concurrency"""
    mib_per_trial: float | None
    """memory of one trial: of the finished ones, or as probed"""
    measured: str
    """where the estimates come from"""
    notes: tuple[str, ...] = ()
    """what is to be known of trials that can run: of which classes a band of meaning leaves nothing, say"""

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        size = f"{self.cells} cells × {self.seeds} seeds = {self.trials} trials ({self.sampler})"
        states = f"{self.done} done, {self.failed} failed, {self.started} started, {self.pending} pending"
        notes = "".join(f"\n  {note}" for note in self.notes)
        return f"{self.study}: {size}\n  {states}\n  {self._cost()}{notes}"

    def _cost(self) -> str:
        if self.hours is None or self.seconds_per_trial is None:
            return "time and memory unknown: no trial is finished yet; `study plan --probe` times a few steps"
        memory = "" if self.mib_per_trial is None else f", {self.mib_per_trial:,.0f} MiB a trial"
        return (
            f"about {_duration(self.hours)} for what is left: {self.seconds_per_trial:,.0f} s a trial, "
            f"{self.concurrent} at once{memory} ({self.measured})"
        )


def _duration(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"


def make_plan(study: "Study", store: Store, *, probe: bool = False) -> Plan:
    """Check every cell (ConfigError with all problems at once), and count and estimate what is left."""
    from study import cost

    points = check(study)
    if study.sampler == "tpe":
        trials = len(study.seeds) * (study.cells or 0)
        statuses = [folder.status() for folder in store.trials()]
    else:
        trials = len(points)
        statuses = [store.trial(point.trial.id).status() for point in points]
    count = {name: statuses.count(name) for name in ("finished", "failed", "started")}
    left = max(trials - count["finished"] - count["failed"], 0)
    concurrent = cost.concurrency(study)
    estimate = cost.probed(points, study) if probe else cost.observed(store)
    rounds = -(-left // concurrent)
    return Plan(
        study=study.name,
        sampler=study.sampler,
        cells=trials // len(study.seeds),
        seeds=len(study.seeds),
        trials=trials,
        done=count["finished"],
        failed=count["failed"],
        started=count["started"],
        pending=left - min(count["started"], left),
        concurrent=concurrent,
        seconds_per_trial=estimate.seconds,
        hours=None if estimate.seconds is None else rounds * estimate.seconds / 3600,
        mib_per_trial=estimate.mib,
        measured=estimate.source,
        notes=tuple(dict.fromkeys(note for point in points for note in point.trial.notes)),
    )


def check_cores(study: "Study") -> None:
    """Refuse, with ConfigError, a study whose trials are to run on this machine and need more than it has."""
    from study.environment import cores

    if study.cpus > cores():
        raise ConfigError(
            [f"cpus={study.cpus:g} a trial is more than the {cores()} cores that may be used here; lower cpus, or run "
             "it on a cluster: --address (to plan it, set RAY_ADDRESS)"]
        )  # fmt: skip


def check(study: "Study") -> "list[Point]":
    """The points of a study: all of a grid or random one, or those that stand for a tpe one's space."""
    from study.study import Point

    if study.sampler != "tpe":
        points = study.points()
    else:
        points = [Point(cell, trial) for cell, trial in resolve_cells(study, list(_corners(study)))]
    _check_metrics(study, points)
    return points


def _check_metrics(study: "Study", points: "list[Point]") -> None:
    """Refuse, with ConfigError, a metric that no trial will log. The default one may be missing, but for tpe."""
    from study.study import PRIMARY

    if study.sampler != "tpe" and study.metrics == PRIMARY:
        return
    known = sorted({name for point in points for of in point.trial.evaluations.values() for name in of.reports})
    unknown = [m for m in study.metrics if m not in known and m.split(".")[0] not in ("train", "time", "memory")]
    if unknown:
        raise ConfigError(
            f"metrics.{m}: no evaluation of this study reports it{did_you_mean(m, known)}; docs/metrics.md has all"
            for m in unknown
        )


def _corners(study: "Study") -> Iterator[Cell]:
    """Cells that reach every value of each list and both ends of each range, one dimension at a time."""
    ends = {p: list(d.values) if isinstance(d, Grid) else [d.low, d.high] for p, d in study.spaces[0].items()}
    first: Cell = {path: values[0] for path, values in ends.items()}
    yield first
    for path, values in ends.items():
        yield from ({**first, path: value} for value in values[1:])


def resolve_cells(study: "Study", cells: list[Cell]) -> "list[tuple[Cell, Trial]]":
    """The trial of each cell; ConfigError with the problems of all cells, each said once.

    Cells that are the same trial (k left out, and k = the pool's size) are refused in a grid and dropped otherwise.
    """
    from study.resolve import Resolver

    resolver, problems = Resolver(), []
    trials: dict[str, tuple[Cell, Trial]] = {}
    for cell in cells:
        try:
            trial = resolver.resolve(study.config(cell))
        except ConfigError as error:
            problems += error.problems
            continue
        twin = trials.get(trial.id)
        if twin is not None and study.sampler == "grid":
            problems.append(f"space: {json.dumps(twin[0])} and {json.dumps(cell)} are the same trial; drop one")
        trials.setdefault(trial.id, (cell, trial))
    if problems:
        raise ConfigError(problems)
    return list(trials.values())

"""A run's store and MLflow database against those of the undisturbed run; and the row that says so."""

import json
import os
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from study.storage.store import Store, TrialFolder

CLOCKED = ("train.views_per_s", "time.", "memory.", "time/", "memory/")
"""Metrics that a clock or the machine's state decides, here and in MLflow: they must be there, not be equal."""
STUDY = "faults"
Point = tuple[str, int]
"""A metric's name and its step."""


@dataclass(frozen=True)
class Evidence:
    """The store and the MLflow database of a run of the study."""

    runs: Path
    database: Path | None = None
    """of MLflow's; the storage's own where none is given"""

    @cached_property
    def trials(self) -> dict[str, TrialFolder]:
        return {trial.id: trial for trial in Store.of(STUDY, self.runs).trials()}

    @cached_property
    def logged(self) -> dict[str, Counter[tuple[str, int, float, int]]]:
        """Per trial id (name, step, value, time) of each point, counted; read from MLflow's tables themselves."""
        found: dict[str, Counter[tuple[str, int, float, int]]] = {}
        for trial, *point in self._query(
            "SELECT t.value, m.key, m.step, m.value, m.timestamp FROM metrics m JOIN tags t "
            "ON t.run_uuid = m.run_uuid AND t.key = 'trial_id' ORDER BY m.step"
        ):
            found.setdefault(trial, Counter())[tuple(point)] += 1
        return found

    @cached_property
    def mlflow_runs(self) -> dict[str, list[tuple[str, int, int]]]:
        """Per trial id (status, start, end in ms) of every run that bears it."""
        found: dict[str, list[tuple[str, int, int]]] = {}
        for trial, *run in self._query(
            "SELECT t.value, r.status, r.start_time, r.end_time FROM runs r JOIN tags t "
            "ON t.run_uuid = r.run_uuid AND t.key = 'trial_id'"
        ):
            found.setdefault(trial, []).append(tuple(run))
        return found

    def values(self, trial: str) -> dict[Point, set[float]]:
        """MLflow's values under each name and step: one, if all is well."""
        found: dict[Point, set[float]] = {}
        for name, step, value, _ in self.logged.get(trial, ()):
            found.setdefault((name, step), set()).add(value)
        return found

    def _query(self, query: str) -> list[tuple]:
        with closing(sqlite3.connect(self.database or self.runs / "mlflow.db")) as connection:
            return connection.execute(query).fetchall()


@dataclass(frozen=True)
class Row:
    """A line of the table in docs/reliability.md."""

    fault: str
    caused: int
    trials: int
    finished: int
    failed: int
    lost: int
    doubled: int
    seconds_lost: float | None
    note: str = ""

    def write(self) -> "Row":
        """Keep it where `make test-faults` collects the rows."""
        folder = os.environ.get("FAULTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            path = Path(folder) / f"{self.fault.replace(' ', '-')}.json"
            path.write_text(json.dumps(asdict(self), indent=1))
        return self


def lost(run: Evidence, reference: Evidence) -> list[str]:
    """The metrics that MLflow lacks, or has with another value than the reference."""
    missing = []
    for trial, folder in reference.trials.items():
        want, have = reference.values(trial), run.values(trial)
        failed = run.trials[trial].status() == "failed" if trial in run.trials else False
        last = max((line["epoch"] for line in folder.journal()), default=0)
        if failed:  # it cannot have more than the epochs that it trained
            last = max((line["epoch"] for line in run.trials[trial].journal()), default=0)
        for (name, step), value in want.items():
            if failed and (step == 0 or step > last):
                continue
            if (name, step) not in have or (not name.startswith(CLOCKED) and have[name, step] != value):
                missing.append(f"{trial} {name}@{step}: {have.get((name, step))} for {value}")
    return missing


def doubled(run: Evidence, reference: Evidence) -> list[str]:
    """Trials that ran under a second name, have a second MLflow run, or an epoch twice."""
    found = [f"{trial}: not in the plan" for trial in run.trials if trial not in reference.trials]
    found += [f"{trial}: {len(runs)} MLflow runs" for trial, runs in run.mlflow_runs.items() if len(runs) > 1]
    for trial, folder in run.trials.items():
        epochs = [line["epoch"] for line in folder.journal()]
        if epochs != sorted(set(epochs)):
            found.append(f"{trial}: epochs {epochs}")
    for trial, points in run.logged.items():
        twice = Counter((name, step) for name, step, _, _ in points.elements())
        found += [f"{trial}: {name}@{step} {n} times" for (name, step), n in twice.items() if n > 1]
    return found


def unequal(run: Evidence, reference: Evidence) -> list[str]:
    """Numbers of finished trials in the store that are not the reference's."""
    found = []
    for trial, folder in run.trials.items():
        result = folder.result()
        if result is None or result.status != "finished" or trial not in reference.trials:
            continue
        want = reference.trials[trial].result()
        assert want is not None
        names = want.metrics.keys() | result.metrics.keys()
        found += [
            f"{trial} {name}: {result.metrics.get(name)} for {want.metrics.get(name)}"
            for name in names
            if not name.startswith(CLOCKED) and result.metrics.get(name) != want.metrics.get(name)
        ]
        if [_numbers(line) for line in folder.journal()] != [
            _numbers(line) for line in reference.trials[trial].journal()
        ]:
            found.append(f"{trial}: another journal")
    return found


def _numbers(line: dict) -> dict[str, float]:
    numbers = {name: value for name, value in line["metrics"].items() if not name.startswith(CLOCKED)}
    return {"epoch": line["epoch"], **numbers}


def judge(
    fault: str,
    caused: int,
    runs: list[Evidence],
    reference: Evidence,
    *,
    seconds_lost: float | None,
    note: str = "",
) -> Row:
    """Write the row of a fault, then hold it to what is required of every one. `seconds_lost`: for each injection."""
    results = [trial.result() for run in runs for trial in run.trials.values()]
    states = [result.status if result else "open" for result in results]
    missing = [what for run in runs for what in lost(run, reference)]
    twice = [what for run in runs for what in doubled(run, reference)]
    row = Row(
        fault=fault,
        caused=caused,
        trials=len(reference.trials) * len(runs),
        finished=states.count("finished"),
        failed=states.count("failed"),
        lost=len(missing),
        doubled=len(twice),
        seconds_lost=None if seconds_lost is None else round(seconds_lost, 1),
        note=note,
    ).write()
    assert not missing, missing[:5]
    assert not twice, twice[:5]
    assert row.finished + row.failed == row.trials, states
    assert all(result.reason for result in results if result and result.status == "failed")
    different = [what for run in runs for what in unequal(run, reference)]
    assert not different, different[:5]
    for run in runs:
        shown = {trial: [status for status, *_ in of_trial] for trial, of_trial in run.mlflow_runs.items()}
        assert shown == {name: [trial.status().upper()] for name, trial in run.trials.items()}
    return row

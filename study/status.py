"""The state of each trial of a study: from its folder, or from MLflow where the folder is elsewhere."""

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from study.config import ConfigError
from study.planning.kept import as_begun, of_study, others, settle
from study.planning.plan import Plan, check_study
from study.planning.study_config import StudyConfig
from study.results import cell_label
from study.storage.planned import planned
from study.storage.store import Store, TrialFolder, default_storage, read_json


@dataclass(frozen=True)
class TrialStatus:
    """One trial's line."""

    trial_id: str
    label: str
    seed: int
    status: str
    epoch: int
    epochs: int
    reason: str | None

    def __str__(self) -> str:
        reason = f"  {self.reason}" if self.reason else ""
        epoch = f"{self.epoch}/{self.epochs}"
        return f"  {self.trial_id}  {self.status:<9} {epoch:>9}  {self.label} seed={self.seed}{reason}"


@dataclass(frozen=True)
class Status:
    """All trials of a study."""

    study: str
    trials: list[TrialStatus]
    unseen: int = 0
    """planned trials of which MLflow knows nothing yet"""
    others: list[TrialStatus] = field(default_factory=list)
    """trials of other definitions of the study (other values, seeds, a changed base) in its storage"""

    def plain(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "counts": self.counts()}

    def counts(self) -> dict[str, int]:
        """Trials in each state."""
        states = [trial.status for trial in self.trials]
        counts = {state: states.count(state) for state in ("finished", "started", "failed", "pending")}
        counts |= {"pruned": states.count("pruned")} if "pruned" in states else {}
        return counts | {"pending": counts["pending"] + self.unseen}

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts().items())
        beside = [f"of other definitions of {self.study}, which do not count:"] if self.others else []
        return "\n".join([f"{self.study}: {counts}", *map(str, self.trials), *beside, *map(str, self.others)])


def tracked_status(name: str, tracking_uri: str | None = None, storage: Path | str | None = None) -> Status:
    """The trials that MLflow has, from anywhere that reaches it."""
    from study.tracking.queries import states

    planned, found = states(name, tracking_uri, Path(storage) if storage else default_storage())
    lines = sorted((TrialStatus(**state) for state in found), key=lambda line: (line.status, line.label, line.seed))
    return Status(name, lines, max(planned - len(lines), 0))


def status(study: StudyConfig, storage: Path | str | None = None) -> Status:
    """The trials of a study, of a tpe one those that it has proposed, and apart from them what else its folder holds.

    Raises ConfigError where their code or data have changed since.
    """
    store = Store.of(study.name, storage)
    study = as_begun(study, store)
    trials = check_study(study)
    trials = settle(study, store, trials)
    of_it = of_study(study, store, trials)
    lines = [_line(store, trial.id, trial.cell, trial.config) for trial in of_it]
    return Status(study.name, lines, others=[_stored_line(store, folder) for folder in others(store, of_it)])


def stored_status(name: str, storage: Path | str | None = None) -> Status:
    """The stored part of a study whose components are not here: the trials that started, as it ran last."""
    store = Store.of(name, storage)
    of_plan = planned(store)
    lines: dict[bool, list[TrialStatus]] = {True: [], False: []}
    for folder in store.trials():
        lines[of_plan(folder.id)].append(_stored_line(store, folder))
    return Status(name, lines[True], others=lines[False])


def stored_plan(name: str, storage: Path | str | None = None) -> Plan:
    """The plan of the study as it ran last, with the states of now: of one whose components are not here."""
    store = Store.of(name, storage)
    content = read_json(store.path / "plan.json")
    if content is None:
        raise ConfigError([f"no plan of {name} is stored in {store.path.parent}; give its --storage"])
    of_plan = planned(store)
    counts = Counter(folder.status() for folder in store.trials() if of_plan(folder.id))
    states = {"done": counts["finished"], "failed": counts["failed"], "started": counts["started"]}
    known = {one.name: content[one.name] for one in fields(Plan) if one.name in content}
    known |= states | {"pending": max(content["trials"] - sum(states.values()), 0), "hours": None}
    return Plan(**known | {"notes": tuple(content.get("notes", ()))})


def _stored_line(store: Store, folder: TrialFolder) -> TrialStatus:
    content = folder.config()
    return _line(store, folder.id, content["cell"], content["config"])


def _line(store: Store, trial_id: str, cell: dict[str, Any], config: dict[str, Any]) -> TrialStatus:
    folder = store.trial(trial_id)
    journal, result = folder.journal(), folder.result()
    return TrialStatus(
        trial_id=trial_id,
        label=cell_label(cell),
        seed=config["seed"],
        status=folder.status(),
        epoch=journal[-1]["epoch"] if journal else 0,
        epochs=config["epochs"],
        reason=result.reason if result else None,
    )

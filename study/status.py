"""The state of each trial of a study: from its folder, or from MLflow where the folder is elsewhere."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from study.planning.plan import check
from study.planning.study_config import StudyConfig
from study.results import cell_label
from study.storage.store import Store, default_storage


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


@dataclass(frozen=True)
class Status:
    """All trials of a study."""

    study: str
    trials: list[TrialStatus]
    unseen: int = 0
    """planned trials of which MLflow knows nothing yet"""

    def plain(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "counts": self.counts()}

    def counts(self) -> dict[str, int]:
        """Trials in each state."""
        states = [trial.status for trial in self.trials]
        counts = {state: states.count(state) for state in ("finished", "started", "failed", "pending")}
        return counts | {"pending": counts["pending"] + self.unseen}

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts().items())
        lines = [f"{self.study}: {counts}"]
        for trial in self.trials:
            reason = f"  {trial.reason}" if trial.reason else ""
            epoch = f"{trial.epoch}/{trial.epochs}"
            lines.append(f"  {trial.trial_id}  {trial.status:<9} {epoch:>9}  {trial.label} seed={trial.seed}{reason}")
        return "\n".join(lines)


def tracked_status(name: str, tracking_uri: str | None = None, storage: Path | str | None = None) -> Status:
    """The trials that MLflow has, from anywhere that reaches it."""
    from study.tracking.queries import states

    planned, found = states(name, tracking_uri, Path(storage) if storage else default_storage())
    lines = sorted((TrialStatus(**state) for state in found), key=lambda line: (line.status, line.label, line.seed))
    return Status(name, lines, max(planned - len(lines), 0))


def status(study: StudyConfig, storage: Path | str | None = None) -> Status:
    """The planned trials of a grid or random study, and whatever else its folder holds."""
    store = Store.of(study.name, storage)
    planned = {} if study.sampler == "tpe" else {trial.id: trial for trial in check(study)}
    lines = [_line(store, trial.id, trial.cell, trial.config) for trial in planned.values()]
    for folder in store.trials():
        if folder.id not in planned:
            content = folder.config()
            lines.append(_line(store, folder.id, content["cell"], content["config"]))
    return Status(study.name, lines)


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

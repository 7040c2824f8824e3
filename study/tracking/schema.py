"""The parts of a trial that go to a tracking server, their names there, and a record of those sent. Pure Python.

What varies in the study (the cell, the seed) becomes a run's params, what does not becomes its tags. Beside a trial's
files, `tracked.json` keeps how much was sent: {id of the study's parent run: {"run", "lines", "status", …}}.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from study.results import cell_label, flat, label, value_at
from study.storage.store import TrialFolder, read_json, write_atomically
from study.storage.trial_result import TrialResult
from study.tracking.uri import without_secrets

PARAM_LENGTH = 500  # characters that every MLflow server and database takes
TAG_LENGTH = 5000
METRICS_A_BATCH = 1000  # MLflow's own limit


@dataclass
class Sent:
    """Progress of sending one trial."""

    run: str
    lines: int = 0
    """of the journal"""
    status: str = ""
    """of the run; empty: its params are not sent yet"""
    ended: float | None = None
    """the time of the result that was sent; a retried trial has a later one"""
    uploaded: float | None = None
    """the same of the artifacts"""
    stamp: list[int] | None = None
    """of the files when all of them was sent"""
    elsewhere: bool = False
    """a session with another storage has sent all of it: nothing of this one's is"""


@dataclass(frozen=True)
class Ledger:
    """Record of what was sent under one parent run: a new database has another parent, so it gets everything."""

    parent: str

    def read(self, trial: TrialFolder) -> Sent | None:
        entry = _entries(trial).get(self.parent)
        return None if entry is None else Sent(**entry)

    def write(self, trial: TrialFolder, sent: Sent | None) -> None:
        """Remember it; None forgets it."""
        entries = _entries(trial) | {self.parent: asdict(sent) if sent else None}
        write_atomically(trial.path / "tracked.json", json.dumps({p: e for p, e in entries.items() if e}))


def _entries(trial: TrialFolder) -> dict[str, Any]:
    return read_json(trial.path / "tracked.json") or {}


def stamp(trial: TrialFolder) -> list[int]:
    """Changes whenever there may be something to send: the journal's size, the time of the result in microseconds."""
    size = changed = -1
    with suppress(FileNotFoundError):
        size = (trial.path / "journal.jsonl").stat().st_size
    with suppress(FileNotFoundError):
        changed = int((trial.path / "result.json").stat().st_mtime * 1e6)
    return [size, changed]


def run_name(content: Mapping[str, Any]) -> str:
    """`k=64, temperature=0.1, seed=0`."""
    seed = f"seed={content['seed']}"
    return f"{without_secrets(cell_label(content['cell']))}, {seed}" if content["cell"] else seed


def params(content: Mapping[str, Any]) -> dict[str, str]:
    """The parameters that vary: the cell's values, with a component's parameters (negatives.hi), and the seed."""
    found: dict[str, Any] = {}
    for path, value in content["cell"].items():
        found[path] = label(value)
        resolved = value_at(content["config"], path)
        if isinstance(resolved, dict):
            found |= {name: v for name, v in flat(resolved, path) if name != f"{path}.name"}
    found["seed"] = content["seed"]
    return {name: cut(value, PARAM_LENGTH) for name, value in found.items()}


def fixed(content: Mapping[str, Any]) -> dict[str, str]:
    """The parameters that do not vary: the rest of the config."""
    varying = (*content["cell"], "seed")
    return {
        name: cut(value, TAG_LENGTH)
        for name, value in flat(content["config"])
        if not any(name == path or name.startswith(f"{path}.") for path in varying)
    }


def outcome(result: TrialResult, *, again: bool) -> dict[str, str]:
    """A result's tags: status, reason (an empty one takes back that of an attempt before), what it was measured on."""
    where, found = result.environment, {"status": str(result.status)}
    if result.reason or again:
        found["reason"] = result.reason or ""
    found |= {f"environment.{name}": value for name, value in where.items()}
    if where.get("git_commit"):
        found["mlflow.source.git.commit"] = where["git_commit"]
    return {name: cut(value, TAG_LENGTH) for name, value in found.items()}


def final(metrics: Mapping[str, float], journal: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    """Step → the result's metrics that the journal's last line lacks: what it logs on the way, at the last epoch."""
    last: dict[str, Any] = journal[-1] if journal else {"epoch": 0, "metrics": {}}
    stepwise = {name for line in journal for name in line["metrics"]}
    found: dict[int, dict[str, float]] = {0: {}, last["epoch"]: {}}
    for name, value in metrics.items():
        if name not in last["metrics"]:
            found[last["epoch"] if name in stepwise else 0][name] = value
    return found


def tables(trial: TrialFolder) -> tuple[str, str]:
    """The tag by which MLflow knows which of a run's artifacts are tables, as its `log_table` sets it."""
    return "mlflow.loggedArtifacts", json.dumps([{"path": f"{t}.json", "type": "table"} for t in trial.tables()])


def cut(value: Any, length: int) -> str:
    """As text of at most that length, without secrets; what is not a plain value as JSON."""
    text = without_secrets(value if isinstance(value, str) else json.dumps(value))
    return text if len(text) <= length else text[: length - 1] + "…"

"""The parts of a trial that go to a tracking server, their names there, and a record of those sent. Pure Python.

The config becomes a run's params, what varies in the study (the cell, the seed) first. Beside a trial's files,
`tracked.json` keeps how much was sent: {id of the study's parent run: {"run", "lines", "status", …}}.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from study.results import cell_label, flat, label
from study.storage.store import TrialFolder, read_json, write_atomically
from study.storage.trial_result import TrialResult
from study.tracking.uri import without_secrets

LENGTH = 5000  # characters of a param or tag that MLflow takes
METRICS_A_BATCH, PARAMS_A_BATCH = 850, 100  # MLflow's own limits: 1,000 of all kinds, 100 params


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
    """The cell's values in a word and the seed, then the whole config by its paths (negatives.hi)."""
    found = {path: label(value) for path, value in content["cell"].items()} | {"seed": content["seed"]}
    found |= {path: value for path, value in flat(content["config"]) if path not in found}
    return {name: cut(value) for name, value in found.items()}


def outcome(result: TrialResult, *, again: bool) -> dict[str, str]:
    """A result's tags: status, reason (an empty one takes back that of an attempt before), what it was measured on."""
    where, found = result.environment, {"status": str(result.status)}
    if result.reason or again:
        found["reason"] = result.reason or ""
    found |= {f"environment.{name}": value for name, value in where.items()}
    if where.get("git_commit"):
        found["mlflow.source.git.commit"] = where["git_commit"]
    return {name: cut(value) for name, value in found.items()}


def tables(files: Iterable[str]) -> tuple[str, str]:
    """The tag by which MLflow knows which of a run's artifacts are tables, as its `log_table` sets it."""
    return "mlflow.loggedArtifacts", json.dumps([{"path": file, "type": "table"} for file in files])


def cut(value: Any) -> str:
    """As text that MLflow takes, without secrets; what is not a plain value as JSON."""
    text = without_secrets(value if isinstance(value, str) else json.dumps(value))
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"

"""What a study has computed so far, on disk: a folder a study, in it a folder a trial. Files are the only truth.

    <storage>/<study>/study.yaml                    the resolved study that ran last
    <storage>/<study>/<trial id>/config.json        the resolved config, the cell and the seed
    <storage>/<study>/<trial id>/journal.jsonl      a line an epoch: {"epoch", "time", "metrics"}
    <storage>/<study>/<trial id>/checkpoint.pt      the state after the last completed epoch
    <storage>/<study>/<trial id>/result.json        {"status", "reason", "metrics", "seconds", "environment", …}
    <storage>/<study>/<trial id>/artifacts/         figures, and tables as MLflow's: {"columns": […], "data": [[…], …]}
    <storage>/<study>/<trial id>/tracked.json       what of it MLflow has

The journal is written by the trial and read by whoever tracks it, so that a tracking server that is away costs nothing.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STORAGE_VARIABLE = "STUDY_STORAGE"


def default_storage() -> Path:
    """$STUDY_STORAGE, else ./runs; absolute, because trials run in another working directory."""
    return Path(os.environ.get(STORAGE_VARIABLE, "runs")).absolute()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write all of it or nothing: a reader never sees half a file, whenever the writer is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, path)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class TrialFolder:
    """One trial's files."""

    path: Path

    @property
    def id(self) -> str:
        """The trial id: the folder's name."""
        return self.path.name

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    def tables(self) -> list[str]:
        """The names of its tables."""
        return sorted(path.stem for path in self.artifacts.glob("*.json"))

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of one table; none where there is no such table. What is not a finite number is None."""
        try:
            content = json.loads((self.artifacts / f"{name}.json").read_text())
        except FileNotFoundError:
            return []
        return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]

    def write_table(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Write rows, each column → cell; JSON has no word for infinities and NaN, so they become null."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        data = [[_finite(row.get(column)) for column in columns] for row in rows]
        write_atomically(self.artifacts / f"{name}.json", json.dumps({"columns": columns, "data": data}))

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    def config(self) -> dict[str, Any]:
        """{"config": resolved config, "cell": what varies, "seed": int, "uses_labels": bool}."""
        return json.loads((self.path / "config.json").read_text())

    def write_config(self, content: dict[str, Any]) -> None:
        write_atomically(self.path / "config.json", json.dumps(content, indent=1))

    def journal(self) -> list[dict[str, Any]]:
        """The complete lines; a line that a kill cut short does not count."""
        try:
            text = (self.path / "journal.jsonl").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def append(self, line: dict[str, Any]) -> None:
        """Add an epoch's line, unless the journal has that epoch: an epoch that is redone counts once."""
        known = self.journal()
        if any(old["epoch"] == line["epoch"] for old in known):
            return
        lines = [*known, line] if self._cut_short() else [line]
        mode = "w" if self._cut_short() else "a"
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "journal.jsonl").open(mode) as file:
            file.write("".join(json.dumps(entry) + "\n" for entry in lines))
            file.flush()
            os.fsync(file.fileno())

    def _cut_short(self) -> bool:
        path = self.path / "journal.jsonl"
        return path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")

    def result(self) -> dict[str, Any] | None:
        """The result, or None while there is none."""
        try:
            return json.loads((self.path / "result.json").read_text())
        except FileNotFoundError:
            return None

    def write_result(self, result: dict[str, Any]) -> None:
        """Final: the trial is over. Its checkpoint is no longer needed."""
        write_atomically(self.path / "result.json", json.dumps(result, indent=1))
        self.checkpoint.unlink(missing_ok=True)

    def reset(self) -> None:
        """Forget a failure, so that the trial is pending again; journal and checkpoint stay."""
        (self.path / "result.json").unlink(missing_ok=True)

    def status(self) -> str:
        """finished, failed, started (a journal or checkpoint, no result yet), or pending."""
        result = self.result()
        if result is not None:
            return str(result["status"])
        return "started" if self.checkpoint.exists() or self.journal() else "pending"


@dataclass(frozen=True)
class Store:
    """One study's folder."""

    path: Path

    @classmethod
    def of(cls, study: str, storage: Path | str | None = None) -> "Store":
        return cls((Path(storage).absolute() if storage else default_storage()) / study)

    def trial(self, trial_id: str) -> TrialFolder:
        return TrialFolder(self.path / trial_id)

    def trials(self) -> Iterator[TrialFolder]:
        """Every trial that ever started, in the order of its id."""
        if self.path.exists():
            for path in sorted(self.path.iterdir()):
                if (path / "config.json").exists():
                    yield TrialFolder(path)

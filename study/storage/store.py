"""The results of a study on disk: one folder per study, in it one per trial. The files are the source of truth.

    <storage>/<study>/study.yaml                    the resolved study that ran last
    <storage>/<study>/planned.json                  which trials are of it: see `study.storage.planned`
    <storage>/<study>/aside/                        trials that were set aside, as they were: nothing reads them
    <storage>/<study>/claims/, sessions/            who runs what: see `study.storage.claims`
    <storage>/<study>/<trial id>/config.json        its resolved config, cell and seed, when it started …
    <storage>/<study>/<trial id>/journal.jsonl      one line per epoch: {"epoch", "time", "metrics"}
    <storage>/<study>/<trial id>/checkpoints/       the states after the last completed epochs
    <storage>/<study>/<trial id>/result.json        {"status", "reason", "metrics", …}: see `study.storage.trial_result`
    <storage>/<study>/<trial id>/encoder.pt         its trained encoder and head, where they are saved
    <storage>/<study>/<trial id>/artifacts/         figures, and tables as MLflow's: {"columns": […], "data": [[…], …]}
    <storage>/<study>/<trial id>/tracked.json       what of it MLflow has

The storage is a folder (local, or shared as NFS is) or a URI of an object store (s3://bucket/prefix), where a file is
put as a whole or not at all. The journal is written by the trial and read by whoever tracks it, so that a tracking
server that is unreachable costs nothing.
"""

import errno
import itertools
import json
import logging
import math
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from study.config import ConfigError
from study.storage.trial_result import TrialResult

STORAGE_VARIABLE = "STUDY_STORAGE"
_ID = re.compile("^([0-9a-f]{0,12})")
log = logging.getLogger(__name__)


class DiskFull(OSError):
    """There is no space left for a file of the store; the message says where, and what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


def location(storage: Path | str) -> Path:
    """A folder, absolute because trials run in another working directory; or a URI, as a path of the same methods."""
    text = str(storage)
    if "://" not in text:
        folder = Path(text).expanduser().absolute()
        if not (nearest := _nearest(folder)).is_dir():
            raise ConfigError([f"storage: {nearest} is a file, not a folder; give another --storage"])
        return folder
    if not urlsplit(text).netloc:
        raise ConfigError([f"storage: {text} names no bucket; write a folder, or s3://BUCKET/PREFIX"])
    from upath import UPath

    try:
        return cast(Path, UPath(text, use_listings_cache=False))  # other processes write here too
    except ValueError:
        raise ConfigError(
            [f"storage: unknown scheme {urlsplit(text).scheme!r} in {text}; write a folder, or s3://BUCKET/PREFIX"]
        ) from None


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that there is."""
    return next((path for path in (folder, *folder.parents) if path.exists()), folder)


def default_storage() -> Path:
    """$STUDY_STORAGE, else ./runs."""
    return location(os.environ.get(STORAGE_VARIABLE, "runs"))


def is_local(path: Path) -> bool:
    """Whether it is on a mounted filesystem, not in an object store."""
    return isinstance(path, Path)


def check_writable(folder: Path) -> None:
    """Raise ConfigError unless a file can be written and taken away again in the folder, or, where that is to be made,
    in the one above it: nothing is left behind."""
    try:
        probe = (_nearest(folder) if is_local(folder) else folder) / f".probe-{uuid.uuid4().hex[:8]}"
        write_atomically(probe, "x")
        probe.unlink()
    except ImportError as error:
        scheme = urlsplit(str(folder)).scheme
        raise ConfigError(
            [f"storage: {scheme}:// needs a package that is not installed ({error}); for s3: pip install s3fs"]
        ) from None
    except Exception as error:  # each object store has its own
        raise _refusal(folder, "written to", error) from None


def exists(path: Path) -> bool:
    """Whether it is in the storage; ConfigError where that cannot be read."""
    try:
        return path.exists()
    except Exception as error:
        raise _refusal(path, "read", error) from None


def _refusal(path: Path, done: str, error: Exception) -> ConfigError:
    why = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    hint = "give another --storage" if is_local(path) else "check bucket, credentials and AWS_ENDPOINT_URL"
    return ConfigError([f"storage: {path} cannot be {done} ({why}); {hint}"])


def write_atomically(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Write all of it or nothing: a reader never sees half a file, whenever the writer is killed.

    `durable`: not even when the machine is. Raises DiskFull.
    """
    data = content.encode() if isinstance(content, str) else content
    if not is_local(path):
        path.write_bytes(data)
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        write_plainly(temporary, data, durable)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise explained(error, path, len(data)) from None


def write_plainly(path: Path, data: bytes, durable: bool) -> None:
    """Write a file, and its folder where there is none."""
    try:
        file = path.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    with file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def explained(error: OSError, path: Path, size: int) -> OSError:
    """The error; DiskFull, which says where and what to do, where that is it."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return DiskFull(
        error.errno,
        f"no space is left for the {size / 2**20:.1f} MiB of {path.name} in {path.parent}; free some, then `study run` "
        "again, or `study retry` where a trial failed: it goes on from its last checkpoint",
    )


@dataclass(frozen=True)
class Checkpoints:
    """When a trial writes its state, and what is kept of it; no part of the trial's identity."""

    every: int = 1
    """epochs between two checkpoints; the last epoch has one"""
    keep: int = 2
    """the last and the one before, should the last be unreadable"""
    after: bool = False
    """whether a finished trial keeps its last checkpoint"""
    encoder: bool = False
    """whether a finished trial leaves its trained encoder"""


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    """Content of a file of a trial; None where it is not there, or set aside because it is no whole JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        _set_aside(path)
        return None


def _set_aside(path: Path) -> None:
    """Rename what cannot be read, and say so; in a storage that takes no change it stays, and is said."""
    with suppress(OSError):
        path.rename(path.with_name(f"{path.name}.unreadable"))
    _say(f"{path} cannot be read (empty, or cut short): set aside; `study run` makes it anew")


@cache
def _say(line: str) -> None:
    """Once a process."""
    log.warning(line)


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

    def config(self) -> dict[str, Any]:
        """{"id": trial id, "config": resolved config, "cell": what varies, "seed": int, "uses_labels": bool, "started":
        seconds; where there is something to tell, "apart": paths of the config that change no number, "code": see
        `Trial.code`, "data": their digest, "same_data": digests that count as theirs}. FileNotFoundError where there is
        none, or none that can be read."""
        content = read_json(self.path / "config.json")
        if not isinstance(content, dict):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path / "config.json"))
        return content

    def write_config(self, content: dict[str, Any]) -> None:
        """Describe the trial; it started when that was first done."""
        told = {"id": self.id, **content, "started": next(iter(self.times()), time.time())}
        write_atomically(self.path / "config.json", json.dumps(told, indent=1))

    def times(self) -> list[float]:
        """When it started and each of its epochs ended, in seconds since 1970; none before it starts."""
        try:
            return [self.config()["started"], *(line["time"] for line in self.journal())]
        except FileNotFoundError:
            return []

    # The journal

    def journal(self) -> list[dict[str, Any]]:
        """The complete lines; one that cannot be read, as a kill or a full disk has cut it short, does not count."""
        try:
            text = (self.path / "journal.jsonl").read_text()
        except FileNotFoundError:
            return []
        lines = []
        for line in text.split("\n")[:-1]:
            with suppress(ValueError):  # a machine that went down has left it
                lines.append(json.loads(line))
        return lines

    def append(self, line: dict[str, Any]) -> None:
        """Add an epoch's line, unless the journal has that epoch: an epoch that is redone counts once."""
        known = self.journal()
        if any(old["epoch"] == line["epoch"] for old in known):
            return
        path = self.path / "journal.jsonl"
        if not is_local(path) or not self._is_whole(known):
            write_atomically(path, "".join(json.dumps(entry) + "\n" for entry in [*known, line]), durable=True)
            return
        self.path.mkdir(parents=True, exist_ok=True)
        added = json.dumps(line) + "\n"
        try:
            with path.open("a") as file:
                file.write(added)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise explained(error, path, len(added)) from None

    def _is_whole(self, known: list[dict[str, Any]]) -> bool:
        """Whether the journal holds those lines and nothing else."""
        path = self.path / "journal.jsonl"
        text = path.read_bytes() if path.exists() else b""
        lost = text.count(b"\n") - len(known)
        if lost:
            _say(f"{path}: lines that cannot be read are left out: {lost}")
        return not lost and (not text or text.endswith(b"\n"))

    @property
    def encoder(self) -> Path:
        """Its trained encoder, where that is saved: see `study.results.encoder`."""
        return self.path / "encoder.pt"

    # Checkpoints

    def checkpoints(self) -> list[Path]:
        """The newest first."""
        folder = self.path / "checkpoints"
        return sorted(folder.glob("*.pt"), key=lambda path: path.name, reverse=True) if folder.exists() else []

    def save_checkpoint(self, epoch: int, state: bytes, *, keep: int) -> None:
        """Write the state after an epoch, then drop all but the last `keep`."""
        write_atomically(self.path / "checkpoints" / f"{epoch:06}.pt", state, durable=True)
        self._drop_checkpoints(keep)

    def _drop_checkpoints(self, keep: int) -> None:
        for path in self.checkpoints()[keep:]:
            path.unlink(missing_ok=True)

    # The result

    def result(self) -> TrialResult | None:
        """The result, or None while there is none."""
        content = read_json(self.path / "result.json")
        try:
            return None if content is None else TrialResult.from_plain(content)
        except TypeError:  # JSON, and no result
            _set_aside(self.path / "result.json")
            return None

    def write_result(self, result: TrialResult, *, keep: int = 0) -> None:
        """The trial is over. Where it finished, all but the last `keep` of its checkpoints are dropped; where it failed
        or was pruned they stay, for it may go on."""
        write_atomically(self.path / "result.json", json.dumps(result.plain(), indent=1), durable=True)
        if result.finished:
            self._drop_checkpoints(keep)

    def reset(self) -> None:
        """Forget that it failed or was pruned, so that it is pending again; journal and checkpoints stay."""
        (self.path / "result.json").unlink(missing_ok=True)

    def status(self) -> str:
        """finished, failed, pruned, started (a journal or checkpoint, no result: it runs or stopped), or pending."""
        result = self.result()
        if result is not None:
            return result.status
        return "started" if self.journal() or self.checkpoints() else "pending"


@dataclass(frozen=True)
class Store:
    """One study's folder."""

    path: Path

    @classmethod
    def of(cls, study: str, storage: Path | str | None = None) -> "Store":
        return cls((location(storage) if storage else default_storage()) / study)

    def trial(self, trial_id: str) -> TrialFolder:
        return TrialFolder(self.path / trial_id)

    def trials(self) -> Iterator[TrialFolder]:
        """Every trial that ever started, in the order of its id. A folder that bears another name than the trial in it,
        a copy, is none: it is left where it is, and named."""
        if self.path.exists():
            for path in sorted(self.path.iterdir(), key=lambda path: path.name):
                folder = TrialFolder(path)
                try:
                    trial = folder.config().get("id") or _ID.split(path.name)[1]
                except (FileNotFoundError, NotADirectoryError):
                    continue
                if trial == path.name:
                    yield folder
                else:
                    _say(f"{path} is a copy of trial {trial}: left out; remove it")

    def set_aside(self, folder: TrialFolder) -> Path:
        """Take a trial out of the study, its files as they are, and return where they are now."""
        aside = self.path / "aside"
        aside.mkdir(parents=True, exist_ok=True)
        places = (aside / f"{folder.id}.{number}" for number in itertools.count())
        place: Any = next(place for place in places if not place.exists())
        if is_local(folder.path):
            folder.path.rename(place)
        else:
            place.fs.mv(str(folder.path), str(place), recursive=True)
        return place

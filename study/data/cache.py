"""A node-local store of decoded arrays: built once by whichever process comes first, memory-mapped by all."""

import errno
import hashlib
import json
import logging
import mmap
import os
import shutil
import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from study.storage.code import digest_of, is_theirs
from study.storage.store import write_atomically

Arrays = dict[str, np.ndarray]
Meta = dict[str, Any]

_MANIFEST = "entry.json"
_log = logging.getLogger(__name__)


def cache_root() -> Path:
    """The node-local cache: $STUDY_CACHE, else ~/.cache/negatives-study."""
    return Path(os.environ.get("STUDY_CACHE") or "~/.cache/negatives-study").expanduser().absolute()


def data_home() -> Path:
    """Where data sets are looked for and downloaded to when no root is given: $STUDY_DATA, else in the cache."""
    home = os.environ.get("STUDY_DATA")
    return Path(home).expanduser().absolute() if home else cache_root() / "downloads"


def check_cache(folder: Path | None = None) -> None:
    """Make the cache's folder; OSError with the variable to set where it cannot be written to."""
    folder = folder or cache_root() / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        why = "" if os.access(folder, os.W_OK) else "it is read-only"
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        raise OSError(f"the cache {folder} cannot be written to ({why}); set STUDY_CACHE to a folder that can")


def stored(
    key: Mapping[str, Any], build: Callable[[Path], tuple[Arrays, Meta]], root: Path | None = None
) -> tuple[Arrays, Meta]:
    """The arrays (read-only memory maps) and metadata that `build` makes for `key`, from the store where it has them.

    `build` gets a folder: arrays that are maps of its files NAME.npy stay there, others are written. A process that is
    killed leaves the folder, to the next that builds for `key`.

    Processes that ask for the same key at once build it once: the first holds a file lock, the others wait. An entry
    appears by one rename, so none is ever partial; one that has lost or changed bytes since is built again.
    """
    canonical, entry = _entry(key, root)
    found = _open(entry)
    if found is None:
        check_cache(entry.parent)
        with FileLock(f"{entry}.lock"):
            found = _open(entry)
            if found is None:
                _build(entry, canonical, build)
                found = _open(entry)
    if found is None:
        raise OSError(f"cache entry {entry} cannot be read back; check the disk, or point STUDY_CACHE elsewhere")
    return found


def held(key: Mapping[str, Any], root: Path | None = None) -> tuple[Arrays, Meta] | None:
    """The contents that the store has for `key`, or None."""
    return _open(_entry(key, root)[1])


def _entry(key: Mapping[str, Any], root: Path | None) -> tuple[str, Path]:
    canonical = json.dumps(key, sort_keys=True)
    return canonical, (root or cache_root()) / "data" / hashlib.sha256(canonical.encode()).hexdigest()[:24]


def remembered(key: Mapping[str, Any], make: Callable[[], Any], root: Path | None = None) -> Any:
    """A small fact, as JSON can hold it, that `make` finds out for `key`: once a node."""
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    file = (root or cache_root()) / "known" / f"{name}.json"
    with suppress(OSError, ValueError):  # not there, or cut short
        return json.loads(file.read_text())
    fact = make()
    check_cache(file.parent)
    write_atomically(file, json.dumps(fact))
    return fact


def code_of(kind: type) -> str:
    """Digest of the code of a class that is not the package's: its modules' files, and the class as it is loaded.

    A file counts by its place and its text, beside `digest_of`: a class that was edited in a notebook has no file, or
    not yet the text of it. Empty for the package's own classes, whose `version` tells.
    """
    loaded = digest_of(kind)
    if not loaded:
        return ""
    digest = hashlib.sha256(loaded.encode())
    for base in kind.__mro__:
        if is_theirs(base.__module__, kind.__module__.partition(".")[0]):
            digest.update(_module_file(base))
    return digest.hexdigest()


def _module_file(kind: type) -> bytes:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if not file or not Path(file).is_file():
        return b""
    path = Path(file).resolve()
    in_a_job = any(part.startswith("study-job-") for part in path.parts)  # a copy, at another place in every job
    return f"{'' if in_a_job else path}\n".encode("utf-8", "surrogateescape") + path.read_bytes()


def _build(entry: Path, canonical: str, build: Callable[[Path], tuple[Arrays, Meta]]) -> None:
    """Write the entry beside its place and rename it into it; the caller holds the entry's lock."""
    _log.info("decoding into %s", entry)
    unfinished = entry.with_suffix(".building")
    unfinished.mkdir(exist_ok=True)
    try:
        arrays, meta = build(unfinished)
        for name, array in arrays.items():
            file = unfinished / f"{name}.npy"
            if file_of(array) != file:
                np.save(file, array, allow_pickle=False)
        files = {
            name: {"sha256": _checksum(file := unfinished / f"{name}.npy"), "state": _state(file)} for name in arrays
        }
        (unfinished / _MANIFEST).write_text(json.dumps({"key": canonical, "meta": meta, "files": files}))
        shutil.rmtree(entry, ignore_errors=True)
        unfinished.rename(entry)
    except Exception as error:  # a process that is killed or interrupted leaves what it has done
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise OSError(
                f"no space is left for decoded data in {entry.parent}; free some, or set STUDY_CACHE to where there is"
            ) from error
        raise


def _open(entry: Path) -> tuple[Arrays, Meta] | None:
    """The entry's contents, or None where it is absent or damaged. A file in its state of then is not read for that."""
    try:
        manifest = json.loads((entry / _MANIFEST).read_text())
        for name, known in manifest["files"].items():
            file = entry / f"{name}.npy"
            if _state(file) != known["state"] and _checksum(file) != known["sha256"]:
                raise ValueError(f"{name}.npy has changed since it was written")
        arrays = {name: mapped(entry / f"{name}.npy") for name in manifest["files"]}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("cache entry %s is damaged (%s): building it again", entry, error)
        return None
    return arrays, manifest["meta"]


def mapped(file: Path) -> np.ndarray:
    """The array of a .npy file as a read-only memory map; nothing in it is unpickled."""
    array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    return array


def file_of(array: np.ndarray) -> Path | None:
    """The .npy file that an array is the map of, as a whole."""
    if not isinstance(array, np.memmap) or not isinstance(array.base, mmap.mmap):
        return None
    return Path(str(array.filename))


def bytes_of(array: np.ndarray) -> Callable[[int, int], bytes]:
    """A function of start and stop that reads those bytes of a contiguous array.

    Of a map they are read by calls of the system and not through it, whose pages would count as the process's memory;
    the file is closed with the function.
    """
    path = file_of(array)
    if path is None:
        content = array.reshape(-1).view(np.uint8)
        return lambda start, stop: content[start:stop].tobytes()
    opened, offset = os.open(path, os.O_RDONLY), array.offset  # type: ignore[attr-defined]

    def read(start: int, stop: int) -> bytes:
        return os.pread(opened, stop - start, offset + start)

    weakref.finalize(read, os.close, opened)
    return read


def _state(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns]


def _checksum(path: Path) -> str:
    stat = path.stat()
    return _sha256(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, inode: int, size: int, modified_ns: int) -> str:
    """The file's checksum, computed once a process for each state of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

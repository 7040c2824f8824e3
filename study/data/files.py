"""Files below a root, whatever holds them, one by one; read in memory and never extracted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from study.data.containers import bucket
from study.data.containers.archives import in_archive
from study.data.containers.entry import Entry, printable
from study.data.containers.folder import in_folder

__all__ = ["Entry", "absolute", "entries", "place", "printable", "state"]

_CLUTTER = {"__MACOSX", "@eaDir", "__pycache__"}
"""Folders that operating systems and tools leave behind."""


def absolute(root: str | None) -> str | None:
    """A root as its source keeps it: `~` expanded, and independent of the folder that a trial later runs in; a URI as
    it is."""
    return root if not root or "://" in root else str(Path(root).expanduser().absolute())


def place(root: str) -> Path:
    """The place of a root, with a path's methods. ValueError for a URI whose package is not installed."""
    return bucket.opened(root) if "://" in root else Path(root)


def entries(root: Path) -> Iterator[Entry]:
    """Entries of a folder, a zip archive or a tar archive of any compression that Python reads.

    Names that start with a dot, and what operating systems leave behind, are left out; a link to a folder that holds
    it is not followed. Raises FileNotFoundError where there is no root, ValueError for a file that is no archive, for
    a damaged one, and for members that could reach outside it: absolute names, `..`, links and devices.
    """
    found = _entries(_existing(root))
    return (entry for entry in found if not any(p.startswith(".") or p in _CLUTTER for p in entry.path.parts))


def _entries(root: Path) -> Iterator[Entry]:
    if not root.is_dir():
        return in_archive(root)
    return in_folder(root) if _is_local(root) else bucket.in_bucket(root)


def _is_local(root: Path) -> bool:
    return isinstance(root, Path)


def state(root: Path) -> list[tuple[str, int, Any]]:
    """(path, bytes, modification time in ns) of the archive, or of every file of the folder: changes when they do."""
    if not _is_local(root):
        return bucket.bucket_state(_existing(root))
    root = _existing(root).resolve()
    if root.is_file():
        return [_stat(root)]
    found = [(root / entry.path, entry.lost) for entry in entries(root) if entry.read]
    return [(str(file), -1, -1) if lost else _stat(file) for file, lost in found]


def _stat(file: Path) -> tuple[str, int, int]:
    found = file.stat()
    return str(file), found.st_size, found.st_mtime_ns


def _existing(root: Path) -> Path:
    try:
        there = root.exists()
    except Exception as error:  # of a bucket, each filesystem has its own
        raise ValueError(f"{root} cannot be read ({error}); check its name and your credentials") from error
    if not there:
        raise FileNotFoundError(f"{root} does not exist; set data.root to a folder or an archive (tar, zip)")
    return root

"""Files below a root, whatever holds them, one by one; read in memory and never extracted."""

from collections.abc import Iterator
from pathlib import Path

from study.data.containers.archives import in_archive
from study.data.containers.entry import Entry, printable
from study.data.containers.folder import in_folder

__all__ = ["Entry", "absolute", "entries", "printable", "state"]

_CLUTTER = {"__MACOSX", "@eaDir", "__pycache__"}
"""Folders that operating systems and tools leave behind."""


def absolute(root: str | None) -> str | None:
    """A root as its source keeps it: `~` expanded, and independent of the folder that a trial later runs in."""
    return root and str(Path(root).expanduser().absolute())


def entries(root: Path) -> Iterator[Entry]:
    """Entries of a folder, a zip archive or a tar archive of any compression that Python reads.

    Names that start with a dot, and what operating systems leave behind, are left out; a link to a folder that holds
    it is not followed. Raises FileNotFoundError where there is no root, ValueError for a file that is no archive, for
    a damaged one, and for members that could reach outside it: absolute names, `..`, links and devices.
    """
    found = in_folder(_existing(root)) if root.is_dir() else in_archive(_existing(root))
    return (entry for entry in found if not any(p.startswith(".") or p in _CLUTTER for p in entry.path.parts))


def state(root: Path) -> list[tuple[str, int, int]]:
    """(path, bytes, modification time in ns) of the archive, or of every file of the folder: changes when they do."""
    root = _existing(root).resolve()
    if root.is_file():
        return [_stat(root)]
    found = [(root / entry.path, entry.lost) for entry in entries(root) if entry.read]
    return [(str(file), -1, -1) if lost else _stat(file) for file, lost in found]


def _stat(file: Path) -> tuple[str, int, int]:
    found = file.stat()
    return str(file), found.st_size, found.st_mtime_ns


def _existing(root: Path) -> Path:
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; set data.root to a folder or an archive (tar, zip)")
    return root

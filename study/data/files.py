"""Files below a root, whatever holds them, one by one; read in memory and never extracted."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from study.data.containers import bucket, parquet, saved, shards
from study.data.containers.archives import in_archive
from study.data.containers.entry import Entry, composed, printable
from study.data.containers.folder import in_folder

__all__ = ["Entry", "absolute", "check_there", "composed", "entries", "place", "printable", "state"]

_CLUTTER = {"__MACOSX", "@eaDir", "__pycache__"}
"""Folders that operating systems and tools leave behind."""


_SLASH_LOST = re.compile(r"[a-z][a-z0-9+]+:/[^/]")


def absolute(root: str | os.PathLike[str] | None) -> str | None:
    """A root as its source keeps it: a text, `~` expanded, and independent of the folder that a trial later runs in; a
    URI as it is. ValueError for what is no path."""
    if root is not None and not isinstance(root, (str, os.PathLike)):
        raise ValueError(f"root must be a path or a URI as text, not {root!r}")
    text = str(root or "")
    if _SLASH_LOST.match(text) and not Path(text).exists():
        uri = text.replace(":/", "://", 1)
        raise ValueError(f"{text} is a URI without its second slash, as pathlib makes it; give the text {uri}")
    return (text or None) if not text or "://" in text else str(Path(text).expanduser().absolute())


def place(root: str) -> Path:
    """The place of a root, with a path's methods. ValueError for a URI whose package is not installed."""
    return bucket.opened(root) if "://" in root else Path(root)


def entries(root: Path) -> Iterator[Entry]:
    """Entries of a folder, a zip archive, a tar archive of any compression that Python reads, or of a data set in
    shards of WebDataset, in parquet files or saved by Hugging Face's library, which are images with their class.

    Names that start with a dot, and what operating systems leave behind, are left out; a link to a folder that holds
    it is not followed. Raises FileNotFoundError where there is no root, ValueError for a file that is no archive, for
    a damaged one, and for members that could reach outside it: absolute names, `..`, links and devices.
    """
    return _of_a_set(_existing(root)) or _plain(in_archive(root) if root.is_file() else _in_folder(root))


def _of_a_set(root: Path) -> Iterator[Entry] | None:
    """The images of what is a data set by its form; None of anything else."""
    if _is_pattern(root):
        return shards.in_shards(_several(root))
    if root.is_file():
        return parquet.in_tables(root, [root]) if parquet.is_table(root) else None
    names = list(root.iterdir())
    if saved.is_saved({path.name for path in names}):
        return saved.in_saved(root)
    if tables := parquet.tables_in(names):
        return parquet.in_tables(root, tables)
    found = shards.shards_in(names)
    return shards.in_shards(found) if found else None


def _in_folder(root: Path) -> Iterator[Entry]:
    return in_folder(root) if isinstance(root, Path) else bucket.in_bucket(root)


def _plain(found: Iterator[Entry]) -> Iterator[Entry]:
    return (entry for entry in found if not any(p.startswith(".") or p in _CLUTTER for p in entry.path.parts))


def state(root: Path) -> list[tuple[str, int, Any]]:
    """(path, bytes, modification time in ns) of the archive, or of every file of the folder: changes when they do."""
    if _is_pattern(_existing(root)):
        return [told for shard in _several(root) for told in state(shard)]
    if not isinstance(root, Path):
        return bucket.bucket_state(root)
    root = root.resolve()
    if root.is_file():
        return [_stat(root)]
    found = [(root / entry.path, entry.lost) for entry in _plain(in_folder(root)) if entry.read]
    return [(str(file), -1, -1) if lost else _stat(file) for file, lost in found]


def _stat(file: Path) -> tuple[str, int, int]:
    found = file.stat()
    return str(file), found.st_size, found.st_mtime_ns


def _is_pattern(root: Path) -> bool:
    return shards.is_pattern(str(root)) and not root.exists()


def _several(pattern: Path) -> list[Path]:
    return [place(name) for name in shards.expand(str(pattern))]


def check_there(root: str | None) -> None:
    """Raise FileNotFoundError for a root on this machine that does not exist."""
    if root and "://" not in root:
        _existing(Path(root))


def _existing(root: Path) -> Path:
    try:
        wanted = _several(root) if _is_pattern(root) else [root]
        gone = [path for path in wanted if not path.exists()]
    except Exception as error:  # of a bucket, each filesystem has its own
        raise ValueError(f"{root} cannot be read ({error}); check its name and your credentials") from error
    if gone:
        more = f" nor do {len(gone) - 1} more of {root};" if len(gone) > 1 else ";"
        told = f"{gone[0]} does not exist{more} set data.root to a folder or an archive (tar, zip)"
        if isinstance(gone[0], Path) and gone[0].is_relative_to(Path.cwd()):
            told += f"; one that is not absolute is looked for in the working directory, {Path.cwd()}"
        raise FileNotFoundError(told)
    return root

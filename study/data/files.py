"""Folders and tar archives alike: their files one by one, read in memory and never extracted."""

import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_DEPTH = 5
"""Levels below the root that are looked at: top folder, split, class, a folder in it, file."""


class Entry(NamedTuple):
    """A folder or a file below a root."""

    path: PurePosixPath
    """Relative to the root."""
    read: Callable[[], bytes] | None
    """Its bytes, to be called before the next entry is asked for; None for a folder."""


def absolute(root: str | None) -> str | None:
    """A root as its source keeps it: `~` expanded, and independent of the folder that a trial later runs in."""
    return root and str(Path(root).expanduser().absolute())


def entries(root: Path) -> Iterator[Entry]:
    """What lies in a folder, or in a tar archive of any compression; names that start with a dot are left out.

    Raises FileNotFoundError where there is no root, ValueError for a file that is no tar archive, for a damaged
    archive, and for members that could reach outside it: absolute names, `..`, links and devices.
    """
    found = _in_folder(root) if _existing(root).is_dir() else _in_archive(root)
    return (entry for entry in found if not any(part.startswith(".") for part in entry.path.parts))


def state(root: Path) -> list[tuple[str, int, int]]:
    """(path, bytes, modification time in ns) of the archive, or of every file of the folder: changes when they do."""
    root = _existing(root).resolve()
    files = [root] if root.is_file() else [root / entry.path for entry in _in_folder(root) if entry.read]
    stats = [(str(file), file.stat()) for file in files]
    return [(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats]


def _existing(root: Path) -> Path:
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; set data.root to a folder or a tar archive")
    return root


def _in_folder(root: Path) -> Iterator[Entry]:
    for folder, folders, files in os.walk(root, followlinks=True):
        here = PurePosixPath(Path(folder).relative_to(root))
        folders[:] = sorted(folders) if len(here.parts) < _DEPTH - 1 else []
        yield from (Entry(here / name, None) for name in folders)
        yield from (Entry(here / name, (Path(folder) / name).read_bytes) for name in sorted(files))


def _in_archive(root: Path) -> Iterator[Entry]:
    with _damage_named(root), tarfile.open(root, "r:*") as archive:
        for member in archive:
            path = _inside(member, root)
            yield Entry(path, partial(_read, archive, member, root) if member.isfile() else None)
        _read_to_the_end(archive)


def _inside(member: tarfile.TarInfo, root: Path) -> PurePosixPath:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
        raise ValueError(
            f"{root} holds {member.name!r}, which could reach outside it; "
            "pack the archive again with relative names of plain files and folders only"
        )
    return path


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> bytes:
    with _damage_named(root):
        file = archive.extractfile(member)
        assert file is not None  # a plain file
        return file.read()


def _read_to_the_end(archive: tarfile.TarFile) -> None:
    """Two blocks of zeros end an archive; tarfile stops without them too. What follows holds the stream's checksum."""
    stream = archive.fileobj
    assert stream is not None
    first_read = stream.tell() == archive.offset + tarfile.BLOCKSIZE
    if not first_read or stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("it is cut off or overwritten")
    while stream.read(1 << 20):
        pass


@contextmanager
def _damage_named(root: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.ReadError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system's own word; gzip and bz2 raise theirs without a number
        reason = str(error).splitlines()[0].rstrip(":")
        raise ValueError(
            f"{root} is not a whole tar archive ({reason}); fetch it again, or set data.root to another"
        ) from error

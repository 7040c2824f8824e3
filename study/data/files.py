"""Folders, tar and zip archives alike: their files one by one, read in memory and never extracted."""

import lzma
import os
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NoReturn

_CLUTTER = {"__MACOSX", "@eaDir", "__pycache__"}
"""Folders that operating systems and tools leave behind."""
_FOREIGN = {b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
"""First bytes of archives that are not read."""


_HERE = PurePosixPath()


class Entry(NamedTuple):
    """A folder or a file below a root."""

    path: PurePosixPath
    """Relative to the root."""
    read: Callable[[], bytes] | None
    """Its bytes, to be called before the next entry is asked for; None for a folder. Raises OSError where `lost`."""
    lost: str = ""
    """Why there is nothing to read: a link to what does not exist."""
    size: int = 0
    """Bytes of a file."""


def absolute(root: str | None) -> str | None:
    """A root as its source keeps it: `~` expanded, and independent of the folder that a trial later runs in."""
    return root and str(Path(root).expanduser().absolute())


def printable(name: str) -> str:
    """A file's name as it is shown: composed (NFC), without control characters, bytes that are no UTF-8 as Latin-1."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = name.encode("utf-8", "surrogateescape").decode("latin-1")
    hidden = ("Cc", "Zl", "Zp")
    composed = unicodedata.normalize("NFC", name)
    return "".join(f"\\x{ord(c):02x}" if unicodedata.category(c) in hidden else c for c in composed)


def entries(root: Path) -> Iterator[Entry]:
    """Entries of a folder, a zip archive or a tar archive of any compression that Python reads.

    Names that start with a dot, and what operating systems leave behind, are left out; a link to a folder that holds
    it is not followed. Raises FileNotFoundError where there is no root, ValueError for a file that is no archive, for
    a damaged one, and for members that could reach outside it: absolute names, `..`, links and devices.
    """
    found = _in_folder(_existing(root)) if root.is_dir() else _in_archive(root)
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


def _in_folder(root: Path, here: PurePosixPath = _HERE, above: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Folder by folder, in the order of names; `above`: the true paths of the folders that hold `here`."""
    above = (*above, os.path.realpath(root / here))
    try:
        found = sorted(os.scandir(root / here), key=lambda item: item.name)
    except OSError as error:
        raise ValueError(f"{printable(str(root / here))} cannot be read ({error.strerror}); give read access") from None
    for item in found:
        path, linked = here / item.name, item.is_symlink()
        if os.path.isdir(item.path) if linked else item.is_dir():
            if not (linked and os.path.realpath(item.path) in above):
                yield Entry(path, None)
                yield from _in_folder(root, path, above)
        elif os.path.isfile(item.path) if linked else item.is_file():
            yield Entry(path, Path(item.path).read_bytes, size=item.stat().st_size)
        else:
            gone = f"a link to {printable(os.readlink(item.path))}, which does not exist" if linked else ""
            lost = gone or "neither a file nor a folder"
            yield Entry(path, partial(_refuse, lost), lost)


def _refuse(lost: str) -> NoReturn:
    raise FileNotFoundError(lost)


def _in_archive(root: Path) -> Iterator[Entry]:
    with _existing(root).open("rb") as file:
        start = file.read(4)
    if start in _FOREIGN:
        raise ValueError(
            f"{root} is a {_FOREIGN[start]} archive, which is not read; unpack it, and set data.root to the folder"
        )
    return _in_zip(root) if start in (b"PK\3\4", b"PK\5\6") or root.suffix.lower() == ".zip" else _in_tar(root)


def _in_zip(root: Path) -> Iterator[Entry]:
    with _damage_named(root, "zip"), zipfile.ZipFile(root) as archive:
        for member in archive.infolist():
            linked = stat.S_ISLNK(member.external_attr >> 16)
            path = _inside(member.filename.replace("\\", "/"), root, plain=not linked)
            read = None if member.is_dir() else partial(_read_zipped, archive, member, root)
            yield Entry(path, read, size=member.file_size)


def _read_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo, root: Path) -> bytes:
    with _damage_named(root, "zip"):
        return archive.read(member)


def _in_tar(root: Path) -> Iterator[Entry]:
    with _damage_named(root, "tar"), tarfile.open(root, "r:*") as archive:
        for member in archive:
            path = _inside(member.name, root, plain=member.isfile() or member.isdir())
            read = partial(_read, archive, member, root) if member.isfile() else None
            yield Entry(path, read, size=member.size)
        _read_to_the_end(archive)


def _inside(name: str, root: Path, *, plain: bool) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not plain:
        raise ValueError(
            f"{root} holds {name!r}, which could reach outside it; "
            "pack the archive again with relative names of plain files and folders only"
        )
    return path


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> bytes:
    with _damage_named(root, "tar"):
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
def _damage_named(root: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:  # zipfile's words for a password, or a compression it lacks
        raise ValueError(f"{root} cannot be read ({error}); unpack it, and set data.root to the folder") from error
    except (tarfile.ReadError, zipfile.BadZipFile, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system's own word; gzip and bz2 raise theirs without a number
        reason = str(error).splitlines()[0].rstrip(":")
        raise ValueError(
            f"{root} is not a whole {kind} archive ({reason}); fetch it again, or set data.root to another"
        ) from error

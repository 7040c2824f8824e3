"""Zip archives, and tar archives of any compression that Python reads: nothing is extracted."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from study.data.containers.entry import Entry

_FOREIGN = {b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
"""First bytes of archives that are not read."""
_TAR = (".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz")
"""Suffixes of tar archives; a file of another may be one."""


def in_archive(root: Path) -> Iterator[Entry]:
    with root.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        zipped = start in (b"PK\3\4", b"PK\5\6") or root.suffix.lower() == ".zip"
        another = not zipped and root.suffix.lower() not in _TAR and not tarfile.is_tarfile(file)
    if start in _FOREIGN:
        raise ValueError(
            f"{root} is a {_FOREIGN[start]} archive, which is not read; unpack it, and set data.root to the folder"
        )
    if another:
        raise ValueError(f"{root} is no archive (tar, zip) and no .parquet file; set data.root to one, or to a folder")
    return _in_zip(root) if zipped else _in_tar(root)


def _in_zip(root: Path) -> Iterator[Entry]:
    with _damage_named(root, "zip"), root.open("rb") as file, zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            linked = stat.S_ISLNK(member.external_attr >> 16)
            path = _inside(member.filename.replace("\\", "/"), root, plain=not linked)
            read = None if member.is_dir() else partial(_read_zipped, archive, member, root)
            yield Entry(path, read, size=member.file_size)


def _read_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo, root: Path) -> bytes:
    with _damage_named(root, "zip"):
        return archive.read(member)


def _in_tar(root: Path) -> Iterator[Entry]:
    with _damage_named(root, "tar"), root.open("rb") as file, tarfile.open(fileobj=file) as archive:
        for member in archive:
            path = _inside(member.name, root, plain=member.isfile() or member.isdir())
            free = archive.fileobj is file and isinstance(root, Path)  # neither compressed nor far away
            read = partial(_read_plain, root, member) if free else partial(_read, archive, member, root)
            yield Entry(path, read if member.isfile() else None, size=member.size, free=free)
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


def _read_plain(root: Path, member: tarfile.TarInfo) -> bytes:
    with _damage_named(root, "tar"), root.open("rb") as file:
        file.seek(member.offset_data)
        content = file.read(member.size)
        if len(content) < member.size or member.issparse():
            raise tarfile.ReadError("it is cut off" if not member.issparse() else "it holds a sparse file")
        return content


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

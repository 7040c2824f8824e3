"""Files that are written once: of several writers one wins, and a reader sees all of it or nothing."""

import errno
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from study.storage.store import explained, is_local, write_plainly

RESERVED = 30.0
"""Seconds after which the reservation of a name counts as left behind: see `_give_name`."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)


def create(path: Path, content: str) -> bool:
    """Write a file that does not exist yet, all of it or nothing; False: it exists. Of several writers one wins.

    Raises DiskFull.
    """
    if not is_local(path):
        return _create_object(path, content.encode())
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        write_plainly(temporary, content.encode(), durable=False)
        _give_name(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        raise explained(error, path, len(content)) from None
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _give_name(temporary: Path, path: Path) -> None:
    """Link a whole file under a name that nobody has taken; FileExistsError where it is taken.

    Where the file system has no hard links (exFAT, a drive that is mounted from a cloud), a folder, which one writer
    alone can make, reserves the name while the file takes it. One that a kill has left is taken for dead after RESERVED
    seconds.
    """
    try:
        os.link(temporary, path)
        return
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    with _reserved(path.with_name(f".{path.name}.reserved")):
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.replace(temporary, path)


@contextmanager
def _reserved(folder: Path) -> Iterator[None]:
    while True:
        try:
            folder.mkdir()
            break
        except FileExistsError:
            with suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > RESERVED:
                    folder.rmdir()
            time.sleep(0.01)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            folder.rmdir()


def _create_object(path: Any, content: bytes) -> bool:
    """By a conditional put, which S3, Google's and Azure's stores have."""
    try:
        path.fs.pipe_file(path.path, content, mode="create")
    except FileExistsError:
        return False
    return True

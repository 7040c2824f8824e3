"""A folder on a mounted filesystem."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NoReturn

from study.data.containers.entry import Entry, printable

_HERE = PurePosixPath()


def in_folder(root: Path, here: PurePosixPath = _HERE, above: tuple[str, ...] = ()) -> Iterator[Entry]:
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
                yield from in_folder(root, path, above)
        elif os.path.isfile(item.path) if linked else item.is_file():
            yield Entry(path, Path(item.path).read_bytes, size=item.stat().st_size, free=True)
        else:
            lost = _of_link(Path(item.path)) if linked else "neither a file nor a folder"
            yield Entry(path, partial(_refuse, lost), lost)


def _of_link(link: Path) -> str:
    target = os.readlink(link)
    there = "does not exist" if not os.path.lexists(link.parent / target) else "is a link that leads nowhere"
    return f"a link to {printable(target)}, which {there}"


def _refuse(lost: str) -> NoReturn:
    raise FileNotFoundError(lost)

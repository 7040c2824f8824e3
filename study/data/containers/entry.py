"""A file of a container, and how its name and that of its class are shown."""

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple


class Entry(NamedTuple):
    """A folder or a file below a root."""

    path: PurePosixPath
    """Relative to the root."""
    read: Callable[[], bytes] | None
    """Its bytes, to be called before the next entry is asked for; None for a folder. Raises OSError where there are
    none."""
    lost: str = ""
    """Why it can be no example: a link to what does not exist, or an image whose container tells no class."""
    size: int = 0
    """Bytes of a file."""
    label: str = ""
    """Class of an image, where the container tells it."""
    free: bool = False
    """Whether it may be read at any time, by any thread."""


def named(value: object, names: Sequence[str]) -> str:
    """A label as the name of its class; a number without names with leading zeros, so that 10 comes after 2; None and
    NaN as no class. ValueError for other numbers that are not whole."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"its label is {value!r}, which is no class; write whole numbers or names")
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if 0 <= value < len(names) else f"{value:04}"
    return str(value)


def printable(name: str) -> str:
    """A file's name as it is shown: composed (NFC), without control characters, bytes that are no UTF-8 as Latin-1."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = name.encode("utf-8", "surrogateescape").decode("latin-1")
    hidden = ("Cc", "Zl", "Zp")
    return "".join(f"\\x{ord(c):02x}" if unicodedata.category(c) in hidden else c for c in composed(name))


def composed(name: str) -> str:
    """A name as it is compared: é as one character (NFC), whatever the system that wrote it makes of it."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)

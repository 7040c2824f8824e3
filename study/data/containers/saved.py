"""A data set that Hugging Face's library has saved to disk (`save_to_disk`)."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from study.data.containers.entry import Entry
from study.data.containers.parquet import columns, content, labelled

_MARKS = ("dataset_dict.json", "state.json")


def is_saved(names: set[str]) -> bool:
    """Whether a folder of these files is one."""
    return any(mark in names for mark in _MARKS)


def in_saved(root: Path) -> Iterator[Entry]:
    """An image a row, with its class, in its split; without a network. Raises ValueError without the library."""
    try:
        import datasets  # type: ignore[import-untyped]
    except ImportError:
        raise ValueError(f"{root} is read by Hugging Face's library: pip install datasets") from None
    found: Any = datasets.load_from_disk(str(root))
    for split, part in found.items() if isinstance(found, datasets.DatasetDict) else [("", found)]:
        yield from _rows(part, PurePosixPath(split), root)


def _rows(part: Any, folder: PurePosixPath, root: Path) -> Iterator[Entry]:
    import datasets

    image, label, names = columns(part.features.arrow_schema, part.features.to_dict(), str(root))
    images = part.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    size = part.data.nbytes // max(len(part), 1)
    for row, value in enumerate(part.select_columns([label])):
        path = folder / f"{row:08}.jpg"
        yield labelled(Entry(path, _reader(images, row, image), size=size), row, value[label], names)


def _reader(images: Any, row: int, column: str) -> Callable[[], bytes]:
    return partial(_read, images, row, column)


def _read(images: Any, row: int, column: str) -> bytes:
    return content(images[row][column])

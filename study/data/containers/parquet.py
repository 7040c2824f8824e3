"""Parquet files with a column of images' bytes and one of labels, as Hugging Face writes them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from study.data.containers.entry import Entry, named
from study.data.containers.splits import split_of

_FOLDERS = 20
"""Folders at most that tables are looked for in: a folder of classes may have thousands."""
_SHOWN, _COLUMNS = 40, 20
"""Letters of a column's type, and columns, that a message shows."""


def tables_in(names: Iterable[Path]) -> list[Path]:
    """The parquet files of a folder, or of the folders in it."""
    below = [path for path in sorted(names) if not path.name.startswith(".")]
    found = [path for path in below if is_table(path)]
    if found or len(below) > _FOLDERS:
        return found
    within = (path for folder in below if folder.is_dir() for path in sorted(folder.glob("*.parquet")))
    return [path for path in within if not path.name.startswith(".")]


def is_table(path: Path) -> bool:
    """Whether a file is one, by its name."""
    return path.suffix.lower() == ".parquet"


def in_tables(root: Path, tables: Sequence[Path]) -> Iterator[Entry]:
    """An image a row, with its class, in the split that the name of its file or folder tells."""
    from pyarrow import ArrowInvalid, parquet

    for table in tables:
        name = table.name if table == root else str(table)[len(str(root)) :]
        with table.open("rb") as opened:
            try:
                file = parquet.ParquetFile(opened)
                yield from _rows(file, PurePosixPath(split_of(name)), table)
            except ArrowInvalid as error:
                raise ValueError(f"{table} is not a whole parquet file ({error}); fetch it again") from error


def _rows(file: Any, folder: PurePosixPath, table: Path) -> Iterator[Entry]:
    schema = file.schema_arrow
    image, label, names = columns(schema, _features(schema), str(table))
    row = 0
    for number in range(file.num_row_groups):
        group = _Images(file, number, image)
        labels = file.read_row_group(number, columns=[label]).column(0).to_pylist()
        for place, value in enumerate(labels):
            path = folder / f"{table.stem} {row:08}.jpg"
            yield labelled(Entry(path, group.reader(place), size=group.bytes_a_row), row, value, names)
            row += 1


class _Images:
    """The images of a group of rows: read as a whole, when the first of them is asked for."""

    def __init__(self, file: Any, number: int, column: str) -> None:
        self._file, self._number, self._column = file, number, column
        told, rows = file.metadata.row_group(number), file.metadata.row_group(number).num_rows
        sizes = [told.column(i).total_uncompressed_size for i in range(told.num_columns)
                 if told.column(i).path_in_schema.split(".")[0] == column]  # fmt: skip
        self.bytes_a_row = sum(sizes) // max(rows, 1)
        self._images: Any = None

    def reader(self, place: int) -> Any:
        """Reads the bytes of one of its rows."""
        return lambda: self._read(place)

    def _read(self, place: int) -> bytes:
        if self._images is None:
            self._images = self._file.read_row_group(self._number, columns=[self._column]).column(0)
        return content(self._images[place].as_py())


def labelled(entry: Entry, row: int, value: object, names: Sequence[str]) -> Entry:
    """The image of a row, with its class; as lost where that has none. ValueError for a value that can be no class."""
    no_class = -1 if names else None  # as Hugging Face's features have it
    try:
        label = "" if value == no_class else named(value, names)
    except ValueError as error:
        raise ValueError(f"{entry.path.with_suffix('')}: {error}") from None
    return entry._replace(label=label) if label else entry._replace(lost=f"row {row} has no label")


def content(value: Any) -> bytes:
    """The bytes of an image's cell; OSError where there are none, but the path of a file elsewhere."""
    found = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(found, bytes):
        path = value.get("path") if isinstance(value, dict) else value
        raise OSError(f"its bytes are not in the table, which names {path}" if path else "the cell is empty")
    return found


def _features(schema: Any) -> dict[str, Any]:
    """Hugging Face's description of the columns that there are, where there is one."""
    told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = (told.get("info") or {}).get("features") or {}
    return {name: feature for name, feature in features.items() if name in schema.names}


def columns(schema: Any, features: dict[str, Any], where: str) -> tuple[str, str, list[str]]:
    """The columns of images and of labels, and the names of the classes; ValueError where that is not plain.

    By Hugging Face's features Image and ClassLabel; else by types: bytes, or a struct with them; and of labels the one
    named label, or whole numbers or texts, or what else may name a class.
    """
    kinds = {name: told.get("_type") for name, told in features.items() if isinstance(told, dict)}
    images = [name for name, kind in kinds.items() if kind == "Image"] or _typed(schema, _IMAGES)
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"] or _labels(schema)
    image = _only(images, "image", "images (bytes, or a struct with a field bytes)", schema, where)
    label = _only(labels, "label", "labels (whole numbers, texts, categories or booleans)", schema, where)
    names = features.get(label, {}).get("names") if features else None
    return image, label, list(names or ())


_IMAGES, _LABELS = ("binary", "struct"), ("int", "string")
_FURTHER_LABELS = ("dictionary", "bool", "float", "double", "halffloat")
"""pandas' categories are a dictionary, and whole numbers of which one is missing are floats."""


def _labels(schema: Any) -> list[str]:
    if "label" in schema.names:
        return [name for name in _typed(schema, _LABELS + _FURTHER_LABELS) if name == "label"]
    return _typed(schema, _LABELS) or _typed(schema, _FURTHER_LABELS)


def _typed(schema: Any, types: tuple[str, ...]) -> list[str]:
    kinds = {field.name: str(field.type).removeprefix("large_").removeprefix("u") for field in schema}
    found = [name for name, kind in kinds.items() if kind.startswith(types)]
    return [n for n in found if not kinds[n].startswith("struct") or _holds_bytes(schema.field(n).type)]


def _holds_bytes(struct: Any) -> bool:
    return struct.get_field_index("bytes") >= 0


def _only(found: list[str], usual: str, what: str, schema: Any, where: str) -> str:
    if usual in found or len(found) == 1:
        return usual if usual in found else found[0]
    if not found:
        there = ", ".join(f"{field.name}: {str(field.type)[:_SHOWN]}" for field in list(schema)[:_COLUMNS])
        raise ValueError(f"{where} has no column of {what}, but {there}; write one, named {usual}")
    raise ValueError(f"{where} has several columns that may be its {usual}s ({', '.join(found)}); name one {usual}")

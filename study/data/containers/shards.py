"""Shards of WebDataset: tar archives of samples KEY.jpg with KEY.cls (or KEY.json) beside it."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath

from study.data.containers.archives import in_archive
from study.data.containers.entry import Entry, named
from study.data.containers.splits import split_of
from study.data.pixels import SUFFIXES

_BRACES = re.compile(r"\{([^{}]*)\}")
_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_NUMBERED = re.compile(rf"\d({'|'.join(map(re.escape, _SUFFIXES))})$")
_LABELS = ("cls", "label", "class", "class_name", "label_name")
"""Keys of a sample's JSON that may hold its class, the first that is there."""
_NAMES = "classnames.txt"
"""Beside the shards: the name of class 0, of class 1, …, a line each."""


def is_pattern(root: str) -> bool:
    """Whether it names several files: shards-{0000..0009}.tar, {train,val}-{00..99}.tar."""
    return bool(_BRACES.search(root))


def expand(pattern: str) -> list[str]:
    """The names that a pattern of braces stands for, in their order."""
    texts, choices = _BRACES.split(pattern)[::2], [_choices(inside) for inside in _BRACES.findall(pattern)]
    return ["".join(a + b for a, b in zip(texts, (*chosen, ""), strict=True)) for chosen in product(*choices)]


def _choices(inside: str) -> list[str]:
    first, _, last = inside.partition("..")
    if first.isdigit() and last.isdigit():
        return [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return inside.split(",")


def shards_in(names: Iterable[Path]) -> list[Path]:
    """The shards of a folder, or of the folders of splits in it, where these hold numbered tar archives and files
    without samples, but no folders."""
    found = sorted(path for path in names if not path.name.startswith("."))
    shards = [path for path in found if _NUMBERED.search(path.name.lower())]
    if shards:
        return shards if not any(path.is_dir() for path in found) else []
    splits = [path for path in found if split_of(path.name) == path.name and path.is_dir()]
    return [shard for split in splits for shard in _shards_of(split)]


def _shards_of(split: Path) -> list[Path]:
    packed = [path for suffix in _SUFFIXES for path in split.glob(f"*{suffix}")]
    return shards_in(split.iterdir()) if packed else []


def in_shards(shards: Sequence[Path]) -> Iterator[Entry]:
    """An image a sample, with its class, in the split that the name of its shard tells."""
    names = _names(shards[0].parent / _NAMES)
    for shard in shards:
        above = shard.parent.name
        folder = PurePosixPath(split_of(shard.name) or (above if split_of(above) == above else ""))
        for sample in _samples(in_archive(shard), shard):
            if sample.image is not None:
                stem = shard.name.partition(".")[0]
                path = folder / f"{stem} {sample.key.replace('/', ' ')}{sample.image.path.suffix}"
                label = sample.named(names)
                yield sample.image._replace(path=path, label=label, lost="" if label else sample.unlabelled)


def _names(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


@dataclass
class _Sample:
    """The files of one key."""

    key: str
    image: Entry | None = None
    label: str = ""
    told: dict[str, object] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    unlabelled: str = "its sample has no .cls, and no class in a .json"

    def add(self, entry: Entry, kind: str) -> None:
        """Take a file of the sample in; an image that cannot be read later is read now."""
        assert entry.read is not None  # a file
        if f".{kind.rpartition('.')[2]}" in SUFFIXES:
            if "." not in kind or self.image is None:  # KEY.png is the image of a sample that has a KEY.mask.png too
                self.image = entry if entry.free else entry._replace(read=_kept(entry.read()))
        elif kind in ("cls", "json"):
            try:
                self._learn(entry.read(), kind)
            except ValueError as error:
                self.unlabelled = f"its .{kind} cannot be read: {error}"
        self.kinds.add(kind)

    def _learn(self, content: bytes, kind: str) -> None:
        if kind == "cls":
            self.label = content.decode().strip()
        else:
            told = json.loads(content)
            self.told = told if isinstance(told, dict) else {}

    def named(self, names: Sequence[str]) -> str:
        """Its class, as it is named."""
        label = self.label or str(next((self.told[name] for name in _LABELS if self.told.get(name) is not None), ""))
        return named(int(label) if label.isdigit() else label, names)


def _kept(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def _samples(found: Iterable[Entry], shard: Path) -> Iterator[_Sample]:
    """Files that follow each other and have all before the first dot of their name in common.

    ValueError where one has two of a kind: then they are several samples.
    """
    sample = None
    for entry in found:
        if entry.read is None or entry.path.name.startswith("."):
            continue
        stem, _, kind = entry.path.name.partition(".")
        key = str(entry.path.parent / stem)
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(key)
        if kind.lower() in sample.kinds:
            raise ValueError(f"{shard} holds {entry.path} twice; give every sample a key of its own")
        sample.add(entry, kind.lower())
    if sample is not None:
        yield sample

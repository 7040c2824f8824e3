"""Images in folders, by split and class, from a folder or an archive."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from study.data.cache import remembered
from study.data.content import VERSION, content_of
from study.data.dataset import DATASETS, Dataset, DataSource, Split
from study.data.files import Entry, absolute, entries, printable, state
from study.data.layouts import Key, Part, WrongLayout, find_splits
from study.data.pixels import UnreadableImage, decode_image

_LARGEST = 1024
"""Pixels of a side: all images are held in memory, decoded."""
_NAMED = 10
"""Unreadable files that a message or a note names."""


@DATASETS.register("image_folder")
@dataclass(frozen=True, kw_only=True)
class ImageFolder(DataSource):
    """Your own images in <split>/<class>/ folders, from a directory or an archive (tar, zip); docs/data.md."""

    root: str | None = field(default=None, metadata={"identity": "content"})
    """The directory or archive (zip, tar of any compression) that holds the splits, directly or in one top folder."""
    train_split: str = "train"
    """Folder of the training images (`train`: in any case of letters, or else `training`)."""
    test_split: str | dict[str, int | float] | None = None
    """Folder of the test images (None: the first of test, testing, val, validation, valid that holds the training
    classes), or {share: 0.2, seed: 0}: that share of every class, held out of the training images."""
    image_size: int = 32
    """Side in pixels: images of another size have their centre square resized to it."""
    skip_unreadable: bool = False
    """Leave out images that cannot be read, named in the data set's notes, instead of refusing them."""

    version: ClassVar = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "root", absolute(self.root))
        if not 1 <= self.image_size <= _LARGEST:
            raise ValueError(f"image_size must lie between 1 and {_LARGEST} pixels, not {self.image_size}")
        if self.train_split == self.test_split:
            raise ValueError(f"train_split and test_split must differ, not both be {self.train_split!r}")
        if isinstance(self.test_split, Mapping):
            _check_hold_out(self.test_split)

    def fingerprint(self) -> dict[str, Any]:
        return super().fingerprint() | {"content": self.content()}

    def content(self) -> str:
        """See `study.data.content`. The files are looked at once, by the first who asks."""
        return str(self._listed["content"])

    @cached_property
    def _listed(self) -> dict[str, Any]:
        return self._list()

    def _list(self) -> dict[str, Any]:
        """Facts that the listing tells: the images' digest, the names of the splits, remarks for the plan."""
        root = self._location()
        asked = {"train": self.train_split, "test": self.test_split, "version": VERSION, "files": state(root)}
        return dict(remembered(asked, lambda: _facts(root, self._splits())))

    def _whole(self, cache: Path | None) -> Dataset:
        """Equal images in another layout are the same arrays; what is said of the layout is of this one."""
        whole, listed = super()._whole(cache), self._listed
        notes: dict[str, Any] = {"source": printable(self._location().name), "splits": listed["splits"]}
        return replace(whole, notes=notes | whole.notes | {"said": [*listed["said"], *whole.notes["said"]]})

    def _splits(self) -> tuple[Part, Part]:
        root = self._location()
        try:
            return find_splits(root, self.train_split, self.test_split)
        except WrongLayout as error:
            raise ValueError(f"{root} {error}") from None

    def decode(self) -> Dataset:
        """Raises ValueError, naming what is wrong, for anything but whole images in one of the known layouts."""
        root = self._location()
        if self._list()["content"] != self.content():
            raise ValueError(f"{root} holds other images than those that were planned with; plan again, or copy them")
        train, test = (_Found(part) for part in self._splits())
        if not (train.part.lost or test.part.lost):
            _refuse(root, _class_difference(train, test))
        several = _decode(root, (train, test), self.image_size)
        unreadable = train.unreadable | test.unreadable
        problems = (_class_difference(train, test), _empty_classes(train, test))
        _refuse(root, "" if self.skip_unreadable else _damage(unreadable), *problems)
        notes = {"skipped": len(unreadable), "skipped_files": sorted(unreadable)[:_NAMED]}
        notes |= {"said": _decoding_remarks(len(unreadable), several)}
        splits = (train.stack(), test.stack())
        return Dataset("image_folder", "image", *splits, tuple(sorted(train.part.classes)), notes=notes)

    def _location(self) -> Path:
        if not self.root:
            raise ValueError("image_folder needs a root: set data.root to a folder or archive of <split>/<class>/")
        return Path(self.root)


def _check_hold_out(wanted: Mapping[str, int | float]) -> None:
    share, seed = wanted.get("share"), wanted.get("seed")
    right = set(wanted) == {"share", "seed"} and isinstance(seed, int) and seed >= 0
    if not right or share is None or not 0 < share < 1:
        raise ValueError(
            "test_split must be a folder's name, or a share between 0 and 1 with a whole seed, such as "
            f"{{share: 0.2, seed: 0}}, not {dict(wanted)}"
        )


@dataclass
class _Found:
    """One split: what was listed of it, and what of that could be read."""

    part: Part
    images: dict[Key, np.ndarray] = field(default_factory=dict)
    """By (class, path): uint8 [S, S, 3]."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Path → reason."""

    def __post_init__(self) -> None:
        self.unreadable |= {printable(str(path)): why for path, why in self.part.lost.items()}

    def stack(self) -> Split:
        """The images in the order of their paths, labelled by their class's place in the alphabet."""
        label = {name: index for index, name in enumerate(sorted(self.part.classes))}
        keys = sorted(self.images)
        return Split(
            np.stack([self.images[key] for key in keys]), np.array([label[name] for name, _ in keys], np.int64)
        )


def _decode(root: Path, splits: tuple[_Found, _Found], size: int) -> int:
    """Read every image that was listed; the number of those that have several frames."""
    home: dict[PurePosixPath, _Found] = {path: found for found in splits for path in found.part.images}
    several = 0
    for entry in entries(root):
        if found := home.get(entry.path):
            try:
                pixels, more = decode_image(_content(entry), size)
                found.images[found.part.images[entry.path]] = pixels
                several += more
            except UnreadableImage as error:
                found.unreadable[printable(str(entry.path))] = str(error)
    return several


def _content(entry: Entry) -> bytes:
    assert entry.read is not None  # a file
    try:
        return entry.read()
    except OSError as error:
        raise UnreadableImage(error.strerror or str(error)) from error


# Each of these tells what is wrong with the splits and what to do, or nothing where all is well.


def _refuse(root: Path, *problems: str) -> None:
    if problem := next(filter(None, problems), ""):
        raise ValueError(f"{root} {problem}")


def _class_difference(train: _Found, test: _Found) -> str:
    sides = [
        f"{', '.join(sorted(extra))} in {one.part.name} only"
        for one, other in ((train, test), (test, train))
        if (extra := one.part.classes - other.part.classes)
    ]
    return f"has classes that differ between its splits: {'; '.join(sides)}; make them the same" if sides else ""


def _damage(unreadable: dict[str, str]) -> str:
    if not unreadable:
        return ""
    named = [f"{path} ({reason})" for path, reason in sorted(unreadable.items())[:_NAMED]]
    more = f" and {len(unreadable) - len(named)} more" if len(unreadable) > len(named) else ""
    return (
        f"has unreadable images, {len(unreadable)} of them: {', '.join(named)}{more}; "
        "repair them, or set data.skip_unreadable to true to leave them out"
    )


def _empty_classes(*splits: _Found) -> str:
    empty = [
        f"{found.part.name}/{label}"
        for found in splits
        for label in sorted(found.part.classes - {class_name for class_name, _ in found.images})
    ]
    others = _left_out(*(found.part for found in splits))
    hint = f" (other files: {others})" if others else ""
    return f"has class folders without readable images: {', '.join(empty)}{hint}; fill or remove them" if empty else ""


def _left_out(*parts: Part) -> str:
    counts = sum((part.others for part in parts), Counter())
    return ", ".join(f"{count} of {suffix}" for suffix, count in counts.most_common(_NAMED))


def _facts(root: Path, parts: tuple[Part, Part]) -> dict[str, Any]:
    loose, others = sum(part.loose for part in parts), _left_out(*parts)
    said = list(parts[1].remarks)
    said += [f"images outside class folders are left out: {loose}"] if loose else []
    said += [f"files that are no images are left out: {others}"] if others else []
    names = [part.name for part in parts]
    return {"content": content_of(root, parts), "splits": names, "said": [f"data: {line}" for line in said]}


def _decoding_remarks(unreadable: int, several: int) -> list[str]:
    said = [f"data: unreadable images are left out: {unreadable}"] if unreadable else []
    return said + ([f"data: of files with several frames the first frame is taken: {several}"] if several else [])

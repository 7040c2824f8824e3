"""Images of any layout, by split and class."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

import numpy as np

from models.registry import added
from study.data.cache import remembered
from study.data.dataset import DATASETS, Dataset, DataShape, DataSource, Split, in_memory
from study.data.files import absolute, check_there, entries, place, printable, state
from study.data.images.content import VERSION, content_of
from study.data.images.copies import copies
from study.data.images.decoding import PackedRows, PixelRows, Rows, decode_all
from study.data.images.layouts import Part, WrongLayout, find_splits

_LARGEST = 1024
"""Pixels of a side: all images are held in memory, decoded."""
_NAMED = 10
"""Unreadable files that a message or a note names."""


@DATASETS.register("image_folder")
@dataclass(frozen=True, kw_only=True)
class ImageFolder(DataSource):
    """Your own images: in <split>/<class>/ folders, a tar or zip archive, shards, parquet files; docs/data.md."""

    root: str | None = field(default=None, metadata={"identity": "content"})
    """The folder or archive (zip, tar of any compression) that holds the splits, directly or in one top folder; shards
    of WebDataset, parquet files, a data set saved by Hugging Face's library: a path, or a URI (s3://bucket/images)."""
    train_split: str = "train"
    """Folder of the training images (`train`: in any case of letters, or else `training`)."""
    test_split: str | dict[str, int | float] | None = None
    """Folder of the test images (None: the first of test, testing, val, validation, valid that holds the training
    classes), or {share: 0.2, seed: 0}: that share of every class, held out of the training images."""
    image_size: int = 32
    """Side in pixels: images of another size have their centre square resized to it."""
    skip_unreadable: bool = False
    """Leave out images that cannot be read, named in the data set's notes, instead of refusing them."""
    keep: Literal["pixels", "encoded"] = added("pixels")
    """Keep the images decoded, at image_size, or as the bytes of their files (encoded): these are decoded anew for each
    epoch, and random crops are taken from the image at its own size. For what is too large decoded."""

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

    def sides_of_files(self) -> tuple[int, int] | None:
        """Of the first files that are read to know the set by its content, by their heads."""
        found = self._listed["sides"]
        return (min(found), max(found)) if found else None

    def check_place(self) -> None:
        check_there(self.root)

    def content(self) -> str:
        """See `study.data.images.content`. The files are looked at once, by the first who asks."""
        return str(self._listed["content"])

    def available(self) -> DataShape:
        """As the listing tells it, without a look into the images; these are looked at where some may be left out."""
        if self.skip_unreadable or self.decoded():
            return super().available()
        listed = self._listed
        counts, size = (listed["train"], listed["test"]), (self.image_size, self.image_size)
        return DataShape(*counts, tuple(listed["classes"]), size, remarks=self._said())

    def decode(self) -> Dataset:
        """Raises ValueError, naming what is wrong, for anything but whole images in one of the known layouts."""
        return self.described(in_memory(self.decode_into))

    def decode_into(self, folder: Path) -> Dataset:
        """As `decode`; the images are written to the folder as they come, and what a killed process wrote is kept."""
        root = self._location()
        if self._list()["content"] != self.content():
            raise ValueError(f"{root} holds other images than those that were planned with; plan again, or copy them")
        parts = self._splits()
        kind: type[PackedRows | PixelRows] = PackedRows if self.keep == "encoded" else PixelRows
        rows: list[Rows] = [
            kind(folder, f"{name}_inputs", len(part.images), self.image_size)
            for name, part in zip(("train", "test"), parts, strict=True)
        ]
        order = [part.ordered() for part in parts]
        places = {file: (one, row) for one, files in zip(rows, order, strict=True) for row, file in enumerate(files)}
        found, several = decode_all(entries(root), places)
        unreadable = _lost(*parts) | {printable(str(path)): why for path, why in found.items()}
        _refuse(root, "" if self.skip_unreadable else _damage(unreadable))
        kept = [[files[row] for row in one.done()] for one, files in zip(rows, order, strict=True)]
        _refuse(root, _empty_classes(parts, kept))
        classes = sorted(parts[0].classes)
        splits = [
            Split(one.finish(), np.array([classes.index(part.images[file][0]) for file in files], np.int64))
            for one, part, files in zip(rows, parts, kept, strict=True)
        ]
        notes = {"skipped": len(unreadable), "skipped_files": sorted(unreadable)[:_NAMED]}
        notes |= {"said": _decoding_remarks(len(unreadable), several, copies(splits[0].inputs, splits[1].inputs))}
        return Dataset("image_folder", "image", splits[0], splits[1], tuple(classes), notes=notes)

    def described(self, whole: Dataset) -> Dataset:
        """Equal images in another layout are the same arrays; what is said of the layout is of this one."""
        listed = self._listed
        notes: dict[str, Any] = {"source": printable(self._location().name), "splits": listed["splits"]}
        return replace(whole, notes={**notes, **whole.notes, "said": [*self._said(), *whole.notes["said"]]})

    def _said(self) -> tuple[str, ...]:
        """Remarks that need no look into the images."""
        listed = self._listed
        if self.keep == "pixels":
            return tuple(listed["said"])
        gib = (listed["train"] + listed["test"]) * self.image_size**2 * 3 / 2**30
        kept = (
            f"data: images are kept as their files and decoded anew for each epoch; as pixels they take {gib:,.1f} GiB"
        )
        return (*listed["said"], kept)

    @cached_property
    def _listed(self) -> dict[str, Any]:
        return self._list()

    def _list(self) -> dict[str, Any]:
        """Facts that the names of the files tell, and the images' digest; remembered for each state of the files."""
        root = self._location()
        asked: dict[str, Any] = {"train": self.train_split, "test": self.test_split, "skip": self.skip_unreadable}
        asked |= {"version": VERSION, "files": state(root), "sides": 1}  # which earlier facts do not tell
        return dict(remembered(asked, lambda: _facts(root, self._splits())))

    def _splits(self) -> tuple[Part, Part]:
        """The splits as they are listed, or a refusal of what is wrong with them."""
        root = self._location()
        try:
            train, test = find_splits(root, self.train_split, self.test_split)
        except WrongLayout as error:
            raise ValueError(f"{root} {error}") from None
        if not (train.lost or test.lost):
            _refuse(root, _class_difference(train, test))
        _refuse(root, "" if self.skip_unreadable else _damage(_lost(train, test)))
        _refuse(
            root,
            _no_images(train, test),
            _class_difference(train, test),
            _empty_classes((train, test), (train.images, test.images)),
        )
        return train, test

    def _location(self) -> Path:
        if not self.root:
            raise ValueError("image_folder needs a root: set data.root to a folder or archive of <split>/<class>/")
        return place(self.root)


def _check_hold_out(wanted: Mapping[str, int | float]) -> None:
    share, seed = wanted.get("share"), wanted.get("seed")
    right = set(wanted) == {"share", "seed"} and isinstance(seed, int) and seed >= 0
    if not right or share is None or not 0 < share < 1:
        raise ValueError(
            "test_split must be a folder's name, or a share between 0 and 1 with a whole seed, such as "
            f"{{share: 0.2, seed: 0}}, not {dict(wanted)}"
        )


def _facts(root: Path, parts: tuple[Part, Part]) -> dict[str, Any]:
    loose, others = sum(part.loose for part in parts), _left_out(*parts)
    said = list(parts[1].remarks)
    said += [f"images outside class folders are left out: {loose}"] if loose else []
    said += [f"files that are no images are left out: {others}"] if others else []
    counts = {name: len(part.images) for name, part in zip(("train", "test"), parts, strict=True)}
    names = {"splits": [part.name for part in parts], "classes": sorted(parts[0].classes)}
    content, sides = content_of(root, parts)
    return counts | names | {"content": content, "sides": sides, "said": [f"data: {line}" for line in said]}


def _decoding_remarks(unreadable: int, several: int, copied: int) -> list[str]:
    said = [f"data: unreadable images are left out: {unreadable}"] if unreadable else []
    said += [f"data: of files with several frames the first frame is taken: {several}"] if several else []
    return said + ([f"data: test images that are training images as well: {copied}; remove them"] if copied else [])


# Each of these tells what is wrong with the splits and what to do, or nothing where all is well.


def _refuse(root: Path, *problems: str) -> None:
    if problem := next(filter(None, problems), ""):
        raise ValueError(f"{root} {problem}")


def _class_difference(train: Part, test: Part) -> str:
    sides = [
        f"{', '.join(sorted(extra))} in {one.name} only"
        for one, other in ((train, test), (test, train))
        if (extra := one.classes - other.classes)
    ]
    return f"has classes that differ between its splits: {'; '.join(sides)}; make them the same" if sides else ""


def _lost(*parts: Part) -> dict[str, str]:
    """Files that cannot be read or have no class → why, as they are shown."""
    return {printable(str(path)): why for part in parts for path, why in part.lost.items()}


def _damage(unreadable: dict[str, str]) -> str:
    if not unreadable:
        return ""
    named = [f"{path} ({reason})" for path, reason in sorted(unreadable.items())[:_NAMED]]
    more = f" and {len(unreadable) - len(named)} more" if len(unreadable) > len(named) else ""
    return (
        f"has unreadable images, {len(unreadable)} of them: {', '.join(named)}{more}; "
        "repair them, or set data.skip_unreadable to true to leave them out"
    )


def _no_images(*parts: Part) -> str:
    """Of splits without a class: what they hold instead."""
    empty = [part for part in parts if not part.images and not part.classes]
    if not empty:
        return ""
    where, others = ", ".join(part.name for part in empty), _left_out(*empty)
    hint = f" (other files: {others})" if others else ""
    return f"has no images in {where}{hint}; set data.root to the folder that holds them"


def _empty_classes(parts: Sequence[Part], kept: Sequence[Iterable[PurePosixPath]]) -> str:
    """`kept`: the images of each split that can be read."""
    empty = [
        f"{part.name}/{label}"
        for part, files in zip(parts, kept, strict=True)
        for label in sorted(part.classes - {part.images[file][0] for file in files})
    ]
    others = _left_out(*parts)
    hint = f" (other files: {others})" if others else ""
    return f"has class folders without readable images: {', '.join(empty)}{hint}; fill or remove them" if empty else ""


def _left_out(*parts: Part) -> str:
    counts = sum((part.others for part in parts), Counter())
    return ", ".join(f"{count} of {suffix}" for suffix, count in counts.most_common(_NAMED))

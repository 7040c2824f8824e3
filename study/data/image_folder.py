"""Images in `<split>/<class>/<image>`, from a folder or from a tar archive."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from study.data.dataset import DATASETS, Dataset, DataSource, Split
from study.data.files import Entry, absolute, entries, state

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
_LARGEST = 1024
"""Pixels of a side: all images are held in memory, decoded."""
_NAMED = 10
"""Unreadable files that a message or a note names."""


@DATASETS.register("image_folder")
@dataclass(frozen=True, kw_only=True)
class ImageFolder(DataSource):
    """Your own images in <split>/<class>/ folders, from a directory or a tar archive."""

    root: str | None = None
    """The directory or tar archive (any compression) that holds the splits, directly or in one top folder."""
    train_split: str = "train"
    """Folder of the training images."""
    test_split: str | None = None
    """Folder of the test images (None: `test`, or else `val`)."""
    image_size: int = 32
    """Side in pixels: images of another size have their centre square resized to it."""
    skip_unreadable: bool = False
    """Leave out images that cannot be decoded, named in the data set's notes, instead of refusing them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "root", absolute(self.root))
        if not 1 <= self.image_size <= _LARGEST:
            raise ValueError(f"image_size must lie between 1 and {_LARGEST} pixels, not {self.image_size}")
        if self.train_split == self.test_split:
            raise ValueError(f"train_split and test_split must differ, not both be {self.train_split!r}")

    def fingerprint(self) -> dict[str, Any]:
        return super().fingerprint() | {"files": state(self._location())}

    def decode(self) -> Dataset:
        """Raises ValueError, naming what is wrong, for anything but whole images in <split>/<class>/."""
        root = self._location()
        tests = ("test", "val") if self.test_split is None else (self.test_split,)
        found = _decode_splits(root, (self.train_split, *tests), self.image_size)
        test_split = next((name for name in tests if name in found), tests[0])
        used = {name: found[name] for name in (self.train_split, test_split) if name in found}
        unreadable = {path: reason for split in used.values() for path, reason in split.unreadable.items()}
        problem = (
            _missing_split(used, self.train_split, test_split)
            or _several_places(used)
            or _class_difference(used, self.train_split, test_split)
            or (not self.skip_unreadable and _damage(unreadable))
            or _empty_classes(used)
        )
        if problem:
            raise ValueError(f"{root} {problem}")
        train, test = (used[name].stack() for name in (self.train_split, test_split))
        classes = tuple(sorted(used[test_split].classes))
        notes = {"source": root.name, "skipped": len(unreadable), "skipped_files": sorted(unreadable)[:_NAMED]}
        return Dataset("image_folder", "image", train, test, classes, notes=notes)

    def _location(self) -> Path:
        if not self.root:
            raise ValueError("image_folder needs a root: set data.root to a folder or tar archive of <split>/<class>/")
        return Path(self.root)


@dataclass
class _Found:
    """What was found of one split."""

    places: set[str] = field(default_factory=set)
    """The top folders that it lies in ("" is the root itself)."""
    classes: set[str] = field(default_factory=set)
    """Its class folders, empty ones included."""
    images: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """By (class, path below it): uint8 [S, S, 3]."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Path → reason."""

    def stack(self) -> Split:
        """The images in the order of their paths, labelled by their class's place in the alphabet."""
        label = {name: index for index, name in enumerate(sorted(self.classes))}
        keys = sorted(self.images)
        return Split(
            np.stack([self.images[key] for key in keys]), np.array([label[name] for name, _ in keys], np.int64)
        )


def _decode_splits(root: Path, splits: tuple[str, ...], size: int) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    for place, (split, *inside), entry in _under_splits(root, splits):
        here = found.setdefault(split, _Found())
        here.places.add(place)
        if len(inside) == 1 and entry.read is None:
            here.classes.add(inside[0])
        elif len(inside) > 1 and entry.read is not None:
            here.classes.add(inside[0])
            if entry.path.suffix.lower() in _SUFFIXES:
                try:
                    here.images[inside[0], "/".join(inside[1:])] = decode_image(entry.read(), size)
                except UnreadableImage as error:
                    here.unreadable[str(entry.path)] = str(error)
    return found


def _under_splits(root: Path, splits: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], Entry]]:
    """(top folder, path from the split on, entry) of all that lies in a split."""
    for entry in entries(root):
        parts = entry.path.parts
        if parts and parts[0] in splits:
            yield "", parts, entry
        elif len(parts) > 1 and parts[1] in splits:
            yield parts[0], parts[1:], entry


class UnreadableImage(ValueError):
    """The bytes are no whole image of a known format."""


def decode_image(content: bytes, size: int) -> np.ndarray:
    """RGB uint8 [size, size, 3]; of an image of another size the centre square, resized (bicubic, anti-aliased)."""
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as file:
            image = file.convert("RGBA") if "transparency" in file.info else file
            image = image.convert("RGB")
    except UnidentifiedImageError as error:  # its message is an address in memory
        raise UnreadableImage(f"none of {', '.join(_FORMATS)}") from error
    except Exception as error:  # Pillow's decoders raise of many kinds on damaged files
        raise UnreadableImage(str(error) or type(error).__name__) from error
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


# Each of these tells what is wrong with the splits and what to do, or nothing where all is well.


def _missing_split(found: dict[str, _Found], train: str, test: str) -> str:
    missing = [name for name in (train, test) if name not in found]
    if not missing:
        return ""
    return (
        f"has no split {' and no split '.join(missing)} in <split>/<class>/<image> layout; "
        "set data.root to the folder that holds the splits, or data.train_split and data.test_split to their names"
    )


def _several_places(found: dict[str, _Found]) -> str:
    places = set().union(*(split.places for split in found.values()))
    listed = ", ".join(repr(place) for place in sorted(places))
    return f"holds splits in several top folders ({listed}); set data.root to one of them" if len(places) > 1 else ""


def _class_difference(found: dict[str, _Found], train: str, test: str) -> str:
    sides = [
        f"{', '.join(sorted(extra))} in {one} only"
        for one, other in ((train, test), (test, train))
        if (extra := found[one].classes - found[other].classes)
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


def _empty_classes(found: dict[str, _Found]) -> str:
    empty = [
        f"{name}/{label}"
        for name, split in found.items()
        for label in sorted(split.classes - {class_name for class_name, _ in split.images})
    ]
    return f"has class folders without readable images: {', '.join(empty)}; fill or remove them" if empty else ""

"""The split and class of each image file, read off the names of folders and files alone."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from study.data.containers.splits import TEST_NAMES, TRAIN_NAMES
from study.data.files import composed, entries, printable
from study.data.pixels import SUFFIXES

_TABLE, _ANNOTATIONS = "metadata.csv", "val_annotations.txt"
_SHOWN = 5
_HOLD_OUT = "data.test_split to {share: 0.2, seed: 0} to hold out a fifth of every class"

Key = tuple[str, str]
"""(class, path with composed characters): the order of a split's images."""


class WrongLayout(ValueError):
    """The folders are not those of a data set; the message goes on from the root's name."""


@dataclass
class Part:
    """The images of one split."""

    name: str
    images: dict[PurePosixPath, Key] = field(default_factory=dict)
    sizes: dict[PurePosixPath, int] = field(default_factory=dict)
    """Bytes of each image file."""
    classes: set[str] = field(default_factory=set)
    """Its class folders, empty ones included."""
    lost: dict[PurePosixPath, str] = field(default_factory=dict)
    """Files that cannot be read or have no class → why."""
    loose: int = 0
    """Images that lie in the split itself, without a class."""
    others: Counter[str] = field(default_factory=Counter)
    """Files that are no images, by suffix."""
    remarks: list[str] = field(default_factory=list)
    """Remarks on how it was found, for the plan."""

    def ordered(self) -> list[PurePosixPath]:
        """Its images in the order of the split's examples."""
        return sorted(self.images, key=self.images.__getitem__)


@dataclass
class Listing:
    """The names below a root."""

    files: dict[PurePosixPath, int] = field(default_factory=dict)
    """With their bytes."""
    folders: set[PurePosixPath] = field(default_factory=set)
    imaged: set[PurePosixPath] = field(default_factory=set)
    """Folders with images somewhere below them."""
    lost: dict[PurePosixPath, str] = field(default_factory=dict)
    labels: dict[PurePosixPath, str] = field(default_factory=dict)
    """Classes that a table beside the images tells."""
    unlabelled_table: bool = False
    """There is a metadata.csv that tells no classes."""

    def below(self, folder: PurePosixPath) -> Iterator[PurePosixPath]:
        """Children that are folders, in the order of names."""
        yield from sorted(path for path in self.folders if path.parent == folder and path != folder)


def find_splits(root: Path, train: str, test: str | Mapping[str, int | float] | None) -> tuple[Part, Part]:
    """The training and the test split below a root.

    `train`, `test`: names of folders, by default one of TRAIN_NAMES and TEST_NAMES; `test` as {share, seed} holds that
    share of every class out of the training folder, or of the root where it holds the classes themselves. Raises
    WrongLayout for everything else, with what is there and what to set.
    """
    listing = _list(root)
    trains = TRAIN_NAMES if train == "train" else (train,)
    if isinstance(test, Mapping):
        holder = _place(listing, trains)
        whole = _part(listing, next(_named(listing, holder, trains)) if holder else _unsplit(listing))
        _refuse_loose(whole, listing)
        _true_folders(root, whole)
        return _hold_out(whole, float(test["share"]), int(test["seed"]))
    tests = (test,) if test else TEST_NAMES
    place = _place(listing, (*trains, *tests))
    found = [] if place is None else [list(_named(listing, place, names)) for names in (trains, tests)]
    if place is None or not all(found):
        wanted = [name for name, there in zip((train, test or "test"), found or [[], []], strict=True) if not there]
        raise WrongLayout(_missing(listing, wanted))
    first = _part(listing, found[0][0])
    candidates = [_part(listing, folder) for folder in found[1]]
    second = next((part for part in candidates if part.classes & first.classes), candidates[0])
    if second is not candidates[0]:
        second.remarks.append(f"{second.name} is the test split: {candidates[0].name} holds no training class")
    for part in (first, second):
        _refuse_loose(part, listing)
    if shared := _true_folders(root, first).keys() & _true_folders(root, second).keys():
        second.remarks.append(f"{len(shared)} folders hold training and test images at once, by links")
    return first, second


def _list(root: Path) -> Listing:
    listing = Listing()
    tabled: dict[PurePosixPath, str] = {}
    for entry in entries(root):
        if not entry.read:
            listing.folders.add(entry.path)
        if entry.path.parent not in listing.folders:
            listing.folders.update(entry.path.parents)
        if entry.path in listing.files:
            raise WrongLayout(
                f"holds {printable(str(entry.path))} twice; pack it without doubles, or set data.root to one of the "
                "folders or archives that hold it"
            )
        if entry.lost:
            listing.lost[entry.path] = entry.lost
        elif entry.read:
            listing.files[entry.path] = entry.size
            if entry.label:
                listing.labels[entry.path] = entry.label
            if entry.path.parent not in listing.imaged and _is_image(entry.path):
                listing.imaged.update(entry.path.parents)
            if entry.path.name == _TABLE:
                labels = _table(entry.read(), entry.path)
                tabled |= labels
                listing.unlabelled_table |= not labels
            elif entry.path.name == _ANNOTATIONS:
                tabled |= _annotations(entry.read(), entry.path)
    listing.labels |= _as_there(tabled, listing.files)
    return listing


def _as_there(labels: dict[PurePosixPath, str], files: Iterable[PurePosixPath]) -> dict[PurePosixPath, str]:
    """The labels by the names that the files have: a table may compose characters that a file system does not."""
    if all(str(path).isascii() for path in labels):
        return labels
    there = {composed(str(path)): path for path in files}
    return {there.get(composed(str(path)), path): label for path, label in labels.items()}


def _table(content: bytes, path: PurePosixPath) -> dict[PurePosixPath, str]:
    """File → label of a metadata.csv with the columns file_name and label."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise WrongLayout(f"holds {path}, which is no CSV file of UTF-8 text ({error}); mend or remove it") from error
    labels: dict[PurePosixPath, str] = {}
    for file, label in ((row.get("file_name"), row.get("label")) for row in rows):
        if file and label and labels.setdefault(path.parent / file, label) != label:
            both = f"{labels[path.parent / file]} and {label}"
            raise WrongLayout(f"holds {path}, which gives {file} two labels, {both}; keep one")
    return labels


def _annotations(content: bytes, path: PurePosixPath) -> dict[PurePosixPath, str]:
    """File → wnid of Tiny ImageNet's val_annotations.txt: name, wnid and a box, parted by tabs."""
    rows = [line.split("\t") for line in content.decode(errors="replace").splitlines()]
    return {path.parent / "images" / row[0]: row[1] for row in rows if len(row) > 1}


def _place(listing: Listing, names: tuple[str, ...]) -> PurePosixPath | None:
    """The folder that holds the splits: the root, or else the one top folder that does."""
    here = PurePosixPath()
    if any(_named(listing, here, names)):
        return here
    places = [folder for folder in listing.below(here) if any(_named(listing, folder, names))]
    if len(places) > 1:
        listed = ", ".join(repr(printable(str(place))) for place in places)
        raise WrongLayout(f"holds splits in several top folders ({listed}); set data.root to one of them")
    return places[0] if places else None


def _named(listing: Listing, place: PurePosixPath, names: tuple[str, ...]) -> Iterator[PurePosixPath]:
    """The folders that bear one of the names, in the order of the names; those of a top folder only with images."""
    folders = [folder for folder in listing.below(place) if not place.parts or folder in listing.imaged]
    for name in names:
        alike = [folder for folder in folders if printable(folder.name).lower() == printable(name).lower()]
        yield from sorted(alike, key=lambda folder: folder.name != name)[:1]


def _unsplit(listing: Listing) -> PurePosixPath:
    """The folder of the class folders: the root, or its only folder where that holds folders of images."""
    here = PurePosixPath()
    folders = [folder for folder in listing.below(here) if folder in listing.imaged]
    if len(folders) != 1 or any(file.parent == here and _is_image(file) for file in listing.files):
        return here
    return folders[0] if any(folder in listing.imaged for folder in listing.below(folders[0])) else here


def _part(listing: Listing, folder: PurePosixPath) -> Part:
    """A split's folder: a class is the first folder below it, or what a table tells."""
    part = Part(printable(folder.name))
    inside = {path: label for path, label in listing.labels.items() if path.is_relative_to(folder)}
    annotated = folder / _ANNOTATIONS in listing.files
    above = folder.parts
    for file in listing.files:
        if file.parts[: len(above)] == above:
            _sort(part, file, file.parts[len(above) :], inside, annotated)
    part.sizes = {path: listing.files[path] for path in part.images}
    part.lost |= dict.fromkeys(inside.keys() - listing.files.keys(), "named in the table of labels, but not there")
    if not annotated:
        part.classes |= {printable(path.name) for path in listing.below(folder)}
    part.lost |= {path: why for path, why in listing.lost.items() if path.is_relative_to(folder) and _matters(path)}
    return part


def _sort(
    part: Part, file: PurePosixPath, parts: tuple[str, ...], labels: Mapping[PurePosixPath, str], annotated: bool
) -> None:
    """Put a file where it belongs: image of a class, loose image, or none."""
    told = labels.get(file) if annotated or len(parts) == 1 else None
    if not _is_image(file):
        if file.name not in (_TABLE, _ANNOTATIONS):
            part.others[file.suffix.lower() or "no suffix"] += 1
    elif told is not None:
        part.images[file] = printable(told), composed(str(file))
        part.classes.add(printable(told))
    elif annotated or (labels and len(parts) == 1):
        part.lost[file] = "not in the table of labels"
    elif len(parts) == 1:
        part.loose += 1
    else:
        part.images[file] = printable(parts[0]), composed(str(file))


def _is_image(file: PurePosixPath) -> bool:
    return file.suffix.lower() in SUFFIXES


def _matters(lost: PurePosixPath) -> bool:
    """Whether a broken link may have been an image or a folder of them."""
    return _is_image(lost) or not lost.suffix


def _refuse_loose(part: Part, listing: Listing) -> None:
    if part.classes or not part.loose:
        return
    where = part.name or "it"
    table = f"{_TABLE} has no column label" if listing.unlabelled_table else f"there is no {_TABLE}"
    raise WrongLayout(
        f"has {part.loose} images directly in {where}, which do not tell their classes ({table}); "
        f"put them into one folder per class, or add a {_TABLE} with the columns file_name and label"
    )


def _true_folders(root: Path, part: Part) -> dict[str, PurePosixPath]:
    """Where links end → the folder; one that is there twice would have its images counted twice."""
    found: dict[str, PurePosixPath] = {}
    if not isinstance(root, Path):  # a bucket has no links
        return found
    for folder in sorted({file.parent for file in part.images}):
        other = found.setdefault(os.path.realpath(root / folder), folder)
        if other != folder:
            names = " and as ".join(printable(str(path)) for path in (other, folder))
            raise WrongLayout(f"reads one folder as {names}, by a link; remove the link")
    return found


def _hold_out(whole: Part, share: float, seed: int) -> tuple[Part, Part]:
    """`share` of every class, rounded and at least one image, at random by `seed`; the rest is for training."""
    train, test = Part(f"{1 - share:g} of every class", lost=whole.lost), Part(f"{share:g} of every class")
    train.others, train.loose = whole.others, whole.loose
    train.classes, test.classes = set(whole.classes), set(whole.classes)
    members: dict[str, list[PurePosixPath]] = {}
    for file, (name, _) in sorted(whole.images.items(), key=lambda item: item[1]):
        members.setdefault(name, []).append(file)
    draw = np.random.default_rng(seed)
    for name, files in members.items():
        if len(files) == 1:
            raise WrongLayout(f"has one image of class {name}, which cannot be split; add some or remove the class")
        count = min(max(round(share * len(files)), 1), len(files) - 1)
        held = set(draw.permutation(len(files))[:count].tolist())
        for index, file in enumerate(files):
            part = test if index in held else train
            part.images[file], part.sizes[file] = whole.images[file], whole.sizes[file]
    return train, test


def _missing(listing: Listing, wanted: list[str]) -> str:
    """The message where there is no training or test folder, with the way out of what is there instead."""
    start = f"has no split {' and no split '.join(wanted)} in <split>/<class>/<image> layout"
    folders = (path for path in listing.lost if len(path.parts) == 1 and not path.suffix)
    gone = [f"{printable(str(path))} is {listing.lost[path]}" for path in folders]
    start += f" ({'; '.join(gone)})" if gone else ""
    ways = "set data.root to the folder that holds the splits, or data.train_split and data.test_split to their names"
    if wanted == ["test"]:
        return f"{start}; {ways}, or {_HOLD_OUT}"
    whole = _part(listing, _unsplit(listing))
    _refuse_loose(whole, listing)
    classes = sorted({name for name, _ in whole.images.values()})
    if len(wanted) == 1 or not classes:
        return f"{start}; {ways}"
    shown = ", ".join(classes[:_SHOWN]) + (", …" if len(classes) > _SHOWN else "")
    return f"{start}, but images in the folders {shown}; {ways}; if these are the classes, set {_HOLD_OUT}"

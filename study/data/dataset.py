"""The contract of a data set: two splits of plain arrays, decoded once, memory-mapped by every trial."""

import hashlib
import json
import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from models.registry import Registry, added, in_identity
from study.data.cache import Arrays, Meta, bytes_of, code_of, held, stored
from study.data.images.packed import Packed

DATASETS = Registry("data set")


@dataclass(frozen=True, eq=False)
class Split:
    """The examples of one split, read-only."""

    inputs: np.ndarray | Packed
    """Images uint8 [N, H, W, 3], channels last, or packed, which are read as such; token ids int32 [N, L], 0 = padding.
    """
    labels: np.ndarray | None
    """Class indices int64 [N], or None where the data has no labels."""
    rows: np.ndarray | None = None
    """Which inputs are its examples, int64 [N] (None: all, in their order): a part of a split copies no inputs."""

    def __len__(self) -> int:
        return len(self.inputs) if self.rows is None else len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of its inputs, decoded."""
        return math.prod(self.inputs.shape[1:]) * self.inputs.dtype.itemsize * len(self)

    def take(self, index: np.ndarray | slice) -> np.ndarray:
        """A copy of the inputs of these examples."""
        taken = self.inputs[index if self.rows is None else self.rows[index]]
        return taken.copy() if taken.base is not None else taken

    def part(self, places: np.ndarray) -> "Split":
        """The examples at these places, int64 [n] in ascending order."""
        rows = places if self.rows is None else self.rows[places]
        labels = None if self.labels is None else self.labels[places]
        for array in (rows, labels):
            if array is not None:
                array.flags.writeable = False
        return Split(self.inputs, labels, rows)


@dataclass(frozen=True)
class DataShape:
    """Facts of a data set that are known without its contents."""

    train: int
    """Training examples."""
    test: int
    """Test examples."""
    class_names: tuple[str, ...]
    size: tuple[int, ...]
    """Of one example: (H, W) of an image, (L,) of a text."""
    modality: Literal["image", "text"] = "image"
    labelled: bool = True
    remarks: tuple[str, ...] = ()
    """Lines of a plan on the data, such as which files were left out."""
    validation: int = 0
    """Examples held out of training, on which is chosen what is chosen."""

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: its splits, which never mix, and what describes them."""

    name: str
    modality: Literal["image", "text"]
    train: Split
    test: Split
    classes: tuple[str, ...]
    digest: str = ""
    """SHA-256 (hex) of the contents; filled in by `DataSource.load`."""
    vocabulary_size: int | None = None
    """Text: number of token ids, padding included."""
    validation: Split | None = None
    """Examples that are never trained on, on which is chosen what is chosen: the data's own, or held out of the
    training split by `DataSource.load`; None where there are no labels, or none were wanted."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Provenance that JSON can hold: source, skipped files, synsets of the classes where the source knows them; under
    `said` the lines that a plan shows."""

    def __post_init__(self) -> None:
        dtype, form = {"image": ("uint8", "[N, H, W, 3]"), "text": ("int32", "[N, L]")}[self.modality]
        for name, split in _splits(self).items():
            inputs = split.inputs
            fits = inputs.ndim == 4 and inputs.shape[3] == 3 if self.modality == "image" else inputs.ndim == 2
            if inputs.dtype != dtype or not fits or len(split) == 0:
                found = f"{inputs.dtype} {list(inputs.shape)}"
                raise ValueError(f"{self.name}: {name} inputs must be {dtype} {form} with N ≥ 1, not {found}")
            labels = split.labels
            if labels is not None and (labels.dtype != np.int64 or labels.shape != (len(split),)):
                found = f"{labels.dtype} {list(labels.shape)}"
                raise ValueError(f"{self.name}: {name} labels must be int64 [{len(split)}], not {found}")
            if labels is not None and not (labels.min() >= 0 and labels.max() < len(self.classes)):
                raise ValueError(f"{self.name}: {name} labels must lie in 0 … {len(self.classes) - 1}")

    @property
    def shape(self) -> DataShape:
        """The facts that `DataSource.shape` tells, read off the contents."""
        size = self.train.inputs.shape[1:3]
        labelled = self.train.labels is not None and self.test.labels is not None
        said, own = tuple(self.notes.get("said", ())), len(self.validation or ())
        return DataShape(len(self.train), len(self.test), self.classes, size, self.modality, labelled, said, own)

    @property
    def facts(self) -> dict[str, Any]:
        """Digest, counts and classes, as a trial's result tells them."""
        counts = {"train": len(self.train), "test": len(self.test), "validation": len(self.validation or ())}
        return {"digest": self.digest, **counts, "classes": list(self.classes)}


_PIECE = 2**24
"""Bytes of an array that are read at a time."""
MOST_HELD_OUT = 10_000
"""Examples of the training split that are held out by default at most: their accuracy is known to half a percent."""


@dataclass(frozen=True, kw_only=True)
class DataSource(ABC):
    """Where a data set comes from. One's own is a frozen dataclass with `decode`, registered in `DATASETS`.

    Fields are its parameters. A field whose value does not change the contents (whether files may be downloaded) has
    the metadata `{"identity": False}`, which keeps it out of a trial's identity; one that says where files lie may have
    `{"identity": "content"}`: what lies there, as `content` tells it, stands for it.
    """

    train_size: int | None = None
    """Training examples to use: a stratified subset, the same one for every seed (None: all)."""
    test_size: int | None = None
    """Test examples to use: a stratified subset, the same one for every seed (None: all)."""
    validation_size: int | None = added(None, as_before=0)
    """Training examples to hold out, stratified, the same for every seed and train_size, on which is chosen what is
    chosen: the probe's penalty, TPE's next cell, the best cell (None: a tenth, at most 10,000; 0: none)."""

    version: ClassVar[int] = 1
    """To be raised when `decode` changes what it makes, so that older cache entries are not used."""

    def __post_init__(self) -> None:
        for name in ("train_size", "test_size"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}; leave it out to use every example")
        if self.validation_size is not None and self.validation_size < 0:
            raise ValueError(f"validation_size must be 0 or more, not {self.validation_size}; 0 holds none out")

    @abstractmethod
    def decode(self) -> Dataset:
        """The whole data set as arrays. Called once a node; `load` caches what it returns and takes the subset."""

    def decode_into(self, folder: Path) -> Dataset:
        """As `decode`, where arrays may be maps of the files NAME.npy of this folder, such as train_inputs.npy: a data
        set that does not fit into memory is written there piece by piece. What a killed process wrote is still there.
        """
        return self.decode()

    def described(self, whole: Dataset) -> Dataset:
        """The data set that `decode_into` gave, with notes on where this source has it from."""
        return whole

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the contents of `decode`, as JSON can hold it: the cache's key.

        By default the class, its version and every field that is part of its identity; `load` adds the code of a
        class of one's own. A source that reads files adds their state, so that changed files are decoded again.
        """
        sizes = {"train_size", "test_size", "validation_size"}
        content = {f.name for f in fields(self) if in_identity(f, getattr(self, f.name))} - sizes
        source = f"{type(self).__module__}.{type(self).__qualname__}"
        return {"source": source, "version": self.version} | {name: getattr(self, name) for name in content}

    def content(self) -> str:
        """Digest of what lies where a field of the metadata `{"identity": "content"}` says; part of a trial's identity.

        Empty where no field has it. Raises FileNotFoundError or ValueError for data that cannot be used.
        """
        return ""

    def sides_of_files(self) -> tuple[int, int] | None:
        """Pixels of the shorter side of files' images, least and most; None where only decoding them would tell."""
        return None

    def check_place(self) -> None:  # noqa: B027 - most sources have none to check
        """Refuse, with FileNotFoundError, files that are not there: at once, before all else is looked at."""

    def available(self) -> DataShape:
        """The shape before `train_size` and `test_size`. By default from the decoded contents: override to be cheaper.

        Raises FileNotFoundError or ValueError for data that cannot be used.
        """
        return self._whole(None).shape

    def check(self) -> None:
        """Refuse at plan time what `load` would refuse, as far as `available` can tell: missing or unusable data, sizes
        that it does not have."""
        try:
            self.shape()
        except (ValueError, OSError):
            raise
        except Exception as error:  # a mistake in a source of one's own
            problem = f"{type(error).__name__}: {error}"
            raise ValueError(f"{type(self).__name__} cannot be decoded ({problem}); mend it") from error

    def shape(self) -> DataShape:
        """Counts, classes and size of an example, for plan time."""
        return self._sized(self.available())

    def _sized(self, whole: DataShape) -> DataShape:
        """The shape with the sizes that are asked for; ValueError for sizes that it does not have."""
        validation = self._validation(whole)
        rest = replace(whole, train=whole.train - (0 if whole.validation else validation), validation=validation)
        train = self._size("train_size", rest.train, rest)
        return replace(rest, train=train, test=self._size("test_size", whole.test, whole))

    def load(self, cache: Path | None = None) -> Dataset:
        """The data set, decoded once a node into `cache` (default: `cache_root()`), then memory-mapped."""
        whole = self._whole(cache)
        sized = self._sized(whole.shape)
        sizes = f"train {sized.train} test {sized.test} validation {sized.validation}"
        if whole.validation is None:
            rest, validation = hold_out(whole.train, sized.validation)
        else:
            rest, validation = whole.train, subset(whole.validation, sized.validation) if sized.validation else None
        return replace(
            whole,
            train=subset(rest, sized.train),
            test=subset(whole.test, sized.test),
            validation=validation,
            digest=hashlib.sha256(f"{whole.digest} {sizes}".encode()).hexdigest(),
        )

    def decoded(self, cache: Path | None = None) -> bool:
        """Whether this node has decoded it."""
        return held(self._key(), cache) is not None

    def _whole(self, cache: Path | None) -> Dataset:
        packed = stored(self._key(), lambda folder: _pack(self.decode_into(folder)), cache)
        return self.described(_unpack(*packed))

    def _key(self) -> dict[str, Any]:
        return self.fingerprint() | ({"code": self._code} if self._code else {})

    @cached_property
    def _code(self) -> str:
        return code_of(type(self))

    def __getstate__(self) -> dict[str, Any]:
        """With the digest of the code: a worker that gets the class by value has not its file."""
        return vars(self) | {"_code": self._code}

    def _validation(self, whole: DataShape) -> int:
        asked, most = self.validation_size, whole.validation or whole.train - whole.classes
        if not whole.labelled or asked == 0:
            return 0
        if asked is None:
            tenth = max(min(whole.train // 10, MOST_HELD_OUT), whole.classes)
            return whole.validation or (tenth if tenth <= most else 0)
        if not whole.classes <= asked <= most:
            raise ValueError(
                f"validation_size must be 0, or lie between {whole.classes} (one a class) and {most} (so that one a "
                f"class is left to train on), not {asked}; set data.validation_size"
            )
        return asked

    def _size(self, name: str, available: int, shape: DataShape) -> int:
        size = getattr(self, name)
        if size is None:
            return available
        least = shape.classes if shape.labelled else 1
        beside = (
            f" beside {shape.validation} held out for validation" if name == "train_size" and shape.validation else ""
        )
        if not least <= size <= available:
            raise ValueError(
                f"{name} must lie between {least} (one a class) and {available} (all there are{beside}), not {size}; "
                f"set data.{name}, or leave it out to use every example"
            )
        return size


def in_memory(decode_into: Callable[[Path], Dataset]) -> Dataset:
    """The data set that a source writes into a folder, as arrays without one."""
    with tempfile.TemporaryDirectory() as folder:
        whole = decode_into(Path(folder))
        splits = {name: replace(split, inputs=_held(split.inputs)) for name, split in _splits(whole).items()}
    return replace(whole, **splits)  # type: ignore[arg-type]


def _held(inputs: np.ndarray | Packed) -> np.ndarray | Packed:
    return inputs.held() if isinstance(inputs, Packed) else np.array(inputs)


def subset(split: Split, size: int) -> Split:
    """`size` examples, evenly spaced within each class, the classes in their proportions: no randomness involved."""
    if size == len(split):
        return split
    members = _members(split)
    quotas = proportional_counts(np.array([len(m) for m in members]), size)
    return split.part(
        np.sort(np.concatenate([m[np.arange(q) * len(m) // q] for m, q in zip(members, quotas, strict=True)]))
    )


def hold_out(split: Split, size: int) -> tuple[Split, Split | None]:
    """The split without `size` examples, and these: evenly spaced within each class, which keeps one at least."""
    if not size:
        return split, None
    members = _members(split)
    counts = np.array([len(m) for m in members])
    quotas = proportional_counts(counts, size, most=counts - 1)
    held = np.sort(
        np.concatenate(
            [m[(2 * np.arange(q) + 1) * len(m) // (2 * max(q, 1))] for m, q in zip(members, quotas, strict=True)]
        )
    )
    rest = np.delete(np.arange(len(split)), held)
    return split.part(rest), split.part(held)


def _members(split: Split) -> list[np.ndarray]:
    """The places of each class's examples; of all where there are no labels."""
    labels = np.zeros(len(split), dtype=np.int64) if split.labels is None else split.labels
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def proportional_counts(weights: np.ndarray, total: int, most: np.ndarray | None = None) -> np.ndarray:
    """Whole numbers ≥ 1, and ≤ `most`, that sum to `total`, as near to proportional to `weights` [C] as can be.

    C ≤ total ≤ Σ most; a class whose most is 0 gets 0.
    """
    most = np.full(len(weights), total) if most is None else most
    exact = weights * (total / weights.sum())
    counts = np.minimum(np.maximum(np.floor(exact), 1), most).astype(np.int64)
    while counts.sum() < total:
        counts[np.argmax(np.where(counts < most, exact - counts, -np.inf))] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > 1, counts - exact, -np.inf))] -= 1
    return counts


def _pack(dataset: Dataset) -> tuple[Arrays, Meta]:
    """A decoded data set as named arrays and JSON, with its digest."""
    arrays: Arrays = {}
    meta = {name: getattr(dataset, name) for name in ("name", "modality", "vocabulary_size")}
    meta |= {"classes": list(dataset.classes), "notes": dict(dataset.notes)}
    content = hashlib.sha256(json.dumps([dataset.modality, dataset.classes]).encode())
    for name, split in _splits(dataset).items():
        found = {f"{name}_inputs": split.inputs} | ({} if split.labels is None else {f"{name}_labels": split.labels})
        for of, array in found.items():
            content.update(f"{of} {array.dtype} {array.shape}".encode())
            for piece in array.pieces() if isinstance(array, Packed) else _pieces(np.require(array, requirements="C")):
                content.update(piece)
            if isinstance(array, Packed):
                arrays |= {of: array.content, f"{name}_index": array.index}
                meta["packed"] = array.shape[1]
            else:
                arrays[of] = np.require(array, requirements="C")
    return arrays, meta | {"digest": content.hexdigest()}


def _pieces(array: np.ndarray) -> Iterator[bytes]:
    """The bytes of an array, a few at a time."""
    read = bytes_of(array)
    for start in range(0, array.nbytes, _PIECE):
        yield read(start, min(start + _PIECE, array.nbytes))


def _unpack(arrays: Arrays, meta: Meta) -> Dataset:
    names = [name for name in ("train", "test", "validation") if f"{name}_inputs" in arrays]
    inputs: dict[str, np.ndarray | Packed] = {name: arrays[f"{name}_inputs"] for name in names}
    if size := meta.pop("packed", 0):
        inputs = {name: Packed(arrays[f"{name}_inputs"], arrays[f"{name}_index"], size) for name in names}
    splits = {name: Split(inputs[name], arrays.get(f"{name}_labels")) for name in names}
    return Dataset(**(meta | splits | {"classes": tuple(meta["classes"])}))


def _splits(dataset: Dataset) -> dict[str, Split]:
    """By their names; without validation where there is none."""
    found = {"train": dataset.train, "test": dataset.test, "validation": dataset.validation}
    return {name: split for name, split in found.items() if split is not None}

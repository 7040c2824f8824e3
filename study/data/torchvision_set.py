"""Image data sets of torchvision by their names there."""

import difflib
import hashlib
import inspect
import io
import json
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from urllib.error import URLError

import numpy as np

from study.data.cache import data_home
from study.data.containers.entry import Entry
from study.data.dataset import DATASETS, Dataset, DataShape, DataSource, Split, in_memory
from study.data.files import absolute
from study.data.images.decoding import PixelRows, decode_all

_TESTS = ("test", "val")
"""torchvision's names of the split to test on, the first that a set has."""


@DATASETS.family("torchvision")
@dataclass(frozen=True)
class TorchvisionSet(DataSource):
    """A data set of torchvision with images and classes, such as torchvision:SVHN, torchvision:Flowers102."""

    member: str
    """Its name in torchvision.datasets."""
    _: KW_ONLY
    root: str | None = field(default=None, metadata={"identity": "content"})
    """Folder of its files, as torchvision lays them out (None: $STUDY_DATA)."""
    download: bool = field(default=False, metadata={"identity": False})
    """Fetch the files into root where they are missing."""
    options: dict[str, Any] | None = None
    """Further arguments of its class, such as {split: letters} of EMNIST."""
    image_size: int = 32
    """Side in pixels: images of another size have their centre square resized to it."""

    version: ClassVar = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "root", absolute(self.root))
        if not 1 <= self.image_size <= 1024:
            raise ValueError(f"image_size must lie between 1 and 1024 pixels, not {self.image_size}")

    def content(self) -> str:
        """Digest of its classes and of how many examples there are: a copy may lack some."""
        return str(self._facts["content"])

    def fingerprint(self) -> dict[str, Any]:
        return super().fingerprint() | {"content": self.content()}

    def available(self) -> DataShape:
        counts, size = self._facts["counts"], (self.image_size, self.image_size)
        return DataShape(counts[0], counts[1], tuple(self._facts["classes"]), size)

    def decode(self) -> Dataset:
        return in_memory(self.decode_into)

    def decode_into(self, folder: Path) -> Dataset:
        """Raises ValueError for examples that are no image and class."""
        parts = self._parts()
        names = ("train", "test")
        rows = [
            PixelRows(folder, f"{n}_inputs", len(part), self.image_size) for n, part in zip(names, parts, strict=True)
        ]
        labels = [np.full(len(part), -1, np.int64) for part in parts]
        found = (e for n, part, of in zip(names, parts, labels, strict=True) for e in _entries(n, part, of))
        places = {
            PurePosixPath(n) / str(i): (one, i)
            for n, one in zip(names, rows, strict=True)
            for i in range(len(one.marks))
        }
        unreadable, _ = decode_all(found, places)
        if unreadable:
            path, why = min(unreadable.items())
            raise ValueError(f"{self._named()}: {len(unreadable)} examples cannot be read, such as {path} ({why})")
        for part, of in zip(parts, labels, strict=True):  # rows that a killed process has decoded
            for index in np.flatnonzero(of < 0):
                of[index] = int(part[int(index)][1])
        train, test = (Split(one.finish(), of) for one, of in zip(rows, labels, strict=True))
        return Dataset(self._named(), "image", train, test, tuple(self._facts["classes"]))

    @cached_property
    def _facts(self) -> dict[str, Any]:
        parts = self._parts()
        for part in parts:
            _check(self._named(), part[0])
        counts, classes = [len(part) for part in parts], _classes(parts[0])
        content = hashlib.sha256(json.dumps([counts, classes]).encode()).hexdigest()[:32]
        return {"counts": counts, "classes": classes, "content": content}

    def _named(self) -> str:
        return f"torchvision:{self.member}"

    def _parts(self) -> tuple[Any, Any]:
        """Its splits, by torchvision."""
        from torchvision import datasets  # six seconds

        known = [name for name in datasets.__all__ if inspect.isclass(getattr(datasets, name))]
        if self.member not in known:
            near = difflib.get_close_matches(self.member, known, n=1)
            hint = f"; did you mean torchvision:{near[0]}?" if near else ""
            raise ValueError(f"{self._named()} is no data set of torchvision{hint}")
        make = getattr(datasets, self.member)
        arguments = inspect.signature(make).parameters
        given = dict(self.options or {})
        if "root" in arguments:
            given["root"] = str(self.root or data_home())
        if "download" in arguments:
            given["download"] = self.download
        if "train" in arguments:
            return self._made(make, given | {"train": True}), self._made(make, given | {"train": False})
        if "split" in arguments and "split" not in given:
            test = next((s for s in _TESTS if s in inspect.getsource(make)), _TESTS[0])
            return self._made(make, given | {"split": "train"}), self._made(make, given | {"split": test})
        raise ValueError(
            f"{self._named()} has no training and test split; where its images lie in a folder for each class, take "
            "image_folder with data.test_split={share: 0.2, seed: 0}"
        )

    def _made(self, make: Any, given: dict[str, Any]) -> Any:
        try:
            return make(**given)
        except (RuntimeError, URLError, OSError, TypeError, ValueError) as error:
            reason = str(error).partition(" You can use download")[0]
            raise ValueError(
                f"{self._named()} in {given.get('root')} is not usable ({reason}); set data.root to the folder of its "
                "files, or data.download to true where there is a network"
            ) from error


def _classes(part: Any) -> list[str]:
    """Names of its classes, in the order of their labels: wnids where it has them, else words, else numbers."""
    names = getattr(part, "wnids", None) or getattr(part, "classes", None)
    if names:
        return [name if isinstance(name, str) else name[0] for name in names]
    labels = next(
        (found for name in ("targets", "labels", "_labels") if (found := getattr(part, name, None)) is not None), None
    )
    last = max(int(label) for label in (labels if labels is not None else (part[i][1] for i in range(len(part)))))
    return [f"{label:0{len(str(last))}}" for label in range(last + 1)]


def _check(name: str, example: Any) -> None:
    """Refuse a set whose examples are no pair of an image and a class."""
    from PIL import Image

    pair = isinstance(example, tuple) and len(example) == 2
    label = example[1] if pair else None
    if (
        not pair
        or not isinstance(example[0], Image.Image)
        or isinstance(label, bool)
        or not hasattr(label, "__index__")
    ):
        kinds = ", ".join(type(part).__name__ for part in (example if isinstance(example, tuple) else (example,)))
        raise ValueError(f"{name} gives examples of ({kinds}), not an image and the number of its class; take another")


def _entries(split: str, part: Any, labels: np.ndarray) -> Iterator[Entry]:
    for index in range(len(part)):
        yield Entry(PurePosixPath(split) / str(index), partial(_encoded, part, index, labels), free=True)


def _encoded(part: Any, index: int, labels: np.ndarray) -> bytes:
    """An example's image as a file without loss; its label goes to its place."""
    try:
        image, label = part[index]
    except Exception as error:  # torchvision's sets have each their own
        raise OSError(f"{type(error).__name__}: {error}") from error
    labels[index] = int(label)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=0) if image.mode in _PNG else image.convert("RGB").save(buffer, "PPM")
    return buffer.getvalue()


_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")

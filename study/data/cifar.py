"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), as published or as images in folders."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.error import URLError

import numpy as np
from filelock import FileLock

from study.data.cache import data_home
from study.data.dataset import DATASETS, Dataset, DataShape, DataSource, Split
from study.data.files import absolute, place, state
from study.data.image_folder import ImageFolder

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# The 20 superclasses in the order of their labels, each with its five classes.
CIFAR100_SUPERCLASSES: dict[str, tuple[str, ...]] = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
CIFAR100_CLASSES = tuple(sorted(name for members in CIFAR100_SUPERCLASSES.values() for name in members))


@dataclass(frozen=True, kw_only=True)
class _Cifar(DataSource):
    """Base of CIFAR-10 and CIFAR-100: 50,000 training and 10,000 test images of 32×32."""

    root: str | None = field(default=None, metadata={"identity": False})
    """Folder of the published files, or a folder or archive of <split>/<class>/ images (None: $STUDY_DATA)."""
    download: bool = field(default=False, metadata={"identity": False})
    """Fetch the published files into root where they are missing or damaged."""

    name: ClassVar[str]
    reader: ClassVar[str]
    """The class of torchvision.datasets that reads, fetches and verifies (MD5) the published files."""
    published: ClassVar[tuple[str, str]]
    """The published folder, and the archive that holds it."""
    folder_classes: ClassVar[tuple[str, ...]]
    """In the order of the published labels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "root", absolute(self.root))

    def available(self) -> DataShape:
        """Of files that are yet to be fetched it is known; what lies at the root is decoded, and refused if damaged."""
        if self.download and self._layout() == "published":
            return DataShape(50_000, 10_000, self.folder_classes, (32, 32))
        return super().available()

    def fingerprint(self) -> dict[str, Any]:
        """The published contents are one and the same wherever they lie; images in folders are what they are."""
        if self._layout() == "published":
            return super().fingerprint() | {"files": "published"}
        return super().fingerprint() | {"files": [ImageFolder.version, *state(self._root())]}

    def decode(self) -> Dataset:
        if self._layout() == "published":
            return self._read_published()
        try:
            whole = ImageFolder(root=str(self._root())).decode()
        except ValueError as error:
            raise ValueError(
                f"{error} ({self.name} is read as images in folders where there is no {' or '.join(self.published)}; "
                "the data set image_folder has these settings)"
            ) from error
        if set(whole.classes) != set(self.folder_classes):
            foreign = ", ".join(sorted(set(whole.classes) ^ set(self.folder_classes)))
            raise ValueError(f"{self._root()} does not hold the classes of {self.name}; these differ: {foreign}")
        label = np.array([self.folder_classes.index(name) for name in whole.classes])
        return replace(relabelled(whole, label, self.folder_classes), name=self.name)

    def _read_published(self) -> Dataset:
        from torchvision import datasets  # six seconds, and needed only here

        root, reader = self._root(), getattr(datasets, self.reader)
        try:
            if self.download or datasets.utils.check_integrity(root / self.published[1], reader.tgz_md5):
                root.mkdir(parents=True, exist_ok=True)
                with FileLock(root / f".{self.name}.lock"):  # one process unpacks, also where nodes share the root
                    reader(root, download=True)
            parts = [reader(root, train=train) for train in (True, False)]
        except (RuntimeError, URLError) as error:
            reason = str(error).partition(" You can use download")[0]  # torchvision's advice, in its own terms
            raise ValueError(
                f"{self.name} in {root} is not usable ({reason}); set data.download to true where there is a network, "
                f"or put {self.published[1]} there"
            ) from error
        train, test = (Split(part.data, np.array(part.targets, dtype=np.int64)) for part in parts)
        return Dataset(self.name, "image", train, test, self.folder_classes, notes={"source": reader.url})

    def _root(self) -> Path:
        root = place(self.root) if self.root else data_home()
        return root.parent if root.name in self.published else root

    def _layout(self) -> Literal["published", "images"]:
        """Kind of files at the root: the published ones (or the wish to fetch them), or images in folders."""
        root = self._root()
        if root.is_file():
            return "images"
        local = isinstance(root, Path)
        if local and (self.download or any((root / name).exists() for name in self.published)):
            return "published"
        if self.root and root.is_dir():
            return "images"
        where = f"{root}" if root.exists() else f"{root}, which does not exist"
        raise FileNotFoundError(
            f"{self.name}: no {' or '.join(self.published)} in {where}; set data.root to the folder that holds it "
            "or to a folder or archive of <split>/<class>/ images, or data.download to true"
        )


@DATASETS.register("cifar10")
@dataclass(frozen=True, kw_only=True)
class Cifar10(_Cifar):
    """CIFAR-10: 10 classes of animals and vehicles, 50,000 + 10,000 images of 32×32."""

    name: ClassVar = "cifar10"
    reader: ClassVar = "CIFAR10"
    published: ClassVar = ("cifar-10-batches-py", "cifar-10-python.tar.gz")
    folder_classes: ClassVar = CIFAR10_CLASSES


@DATASETS.register("cifar100")
@dataclass(frozen=True, kw_only=True)
class Cifar100(_Cifar):
    """CIFAR-100: 100 classes in 20 superclasses, 50,000 + 10,000 images of 32×32."""

    labels: Literal["fine", "coarse"] = "fine"
    """Classes to label the images by: the 100 fine ones, or the 20 coarse superclasses."""

    name: ClassVar = "cifar100"
    reader: ClassVar = "CIFAR100"
    published: ClassVar = ("cifar-100-python", "cifar-100-python.tar.gz")
    folder_classes: ClassVar = CIFAR100_CLASSES

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels not in ("fine", "coarse"):
            raise ValueError(f'labels must be "fine" or "coarse", not {self.labels!r}')

    def available(self) -> DataShape:
        shape = super().available()
        return shape if self.labels == "fine" else replace(shape, class_names=tuple(CIFAR100_SUPERCLASSES))

    def decode(self) -> Dataset:
        whole = super().decode()
        if self.labels == "fine":
            return whole
        superclass = {name: index for index, names in enumerate(CIFAR100_SUPERCLASSES.values()) for name in names}
        label = np.array([superclass[name] for name in CIFAR100_CLASSES])
        return relabelled(whole, label, tuple(CIFAR100_SUPERCLASSES))


def relabelled(dataset: Dataset, label: np.ndarray, classes: tuple[str, ...]) -> Dataset:
    """The data set with class c renamed to classes[label[c]] (label: int64 [C])."""
    train, test = (Split(split.inputs, label[split.labels]) for split in (dataset.train, dataset.test))
    return replace(dataset, train=train, test=test, classes=classes)

"""Data sets of torchvision, as its classes find them on disk: small ones, made here."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from study import TrialConfig
from study.data import DATASETS
from study.data.torchvision_set import TorchvisionSet
from study.planning.resolve import resolve
from tests.conftest import TINY
from tests.data.conftest import image_bytes


def write_mnist(folder: Path, counts: dict[str, int]) -> None:
    folder.mkdir(parents=True)
    for name, count in counts.items():
        draw = np.random.default_rng(count)
        images = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, count, 28, 28) + images.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    write_mnist(tmp_path / "FashionMNIST/raw", {"train": 40, "t10k": 20})
    return tmp_path


def source(member: str, root: Path, **parameters: object) -> TorchvisionSet:
    return DATASETS[f"torchvision:{member}"](root=str(root), **({"validation_size": 0} | parameters))


def test_images_and_labels_are_those_of_torchvision(mnist: Path) -> None:
    from torchvision.datasets import FashionMNIST

    data = source("FashionMNIST", mnist, image_size=28).load()
    theirs = FashionMNIST(mnist, train=True)
    np.testing.assert_array_equal(data.train.inputs, theirs.data.numpy()[..., None].repeat(3, axis=3))
    np.testing.assert_array_equal(data.train.labels, theirs.targets.numpy())
    assert (len(data.test), data.classes) == (20, tuple(theirs.classes))
    assert source("FashionMNIST", mnist, image_size=28).shape() == data.shape


def test_a_set_of_files_with_named_splits_is_read(
    tmp_path: Path, write_folder: Callable[..., Path], image_files: Callable[..., dict[str, bytes]]
) -> None:
    files = image_files(("n01440764", "n02102040"), ("train", "val"), count=4)
    write_folder({f"imagenette2/{path.replace('.png', '.JPEG')}": content for path, content in files.items()})
    data = source("Imagenette", tmp_path / "folder").load()
    assert data.classes == ("n01440764", "n02102040")
    np.testing.assert_array_equal(data.test.labels, [0] * 4 + [1] * 4)
    assert (data.train.inputs.shape, image_bytes(0)) == ((8, 32, 32, 3), files["train/n01440764/0.png"])


def test_a_trial_is_the_same_wherever_the_files_lie(mnist: Path, tmp_path: Path) -> None:
    write_mnist(tmp_path / "copy/FashionMNIST/raw", {"train": 40, "t10k": 20})
    write_mnist(tmp_path / "part/FashionMNIST/raw", {"train": 30, "t10k": 20})

    def trial(root: Path, **data: object) -> str:
        named = {"name": "torchvision:FashionMNIST", "root": str(root), **data}
        return resolve(TrialConfig(**{**TINY, "data": named, "batch_size": 8})).id

    assert trial(mnist) == trial(tmp_path / "copy") == trial(mnist, download=True)
    assert trial(mnist) != trial(tmp_path / "part")


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("SVHM", r"torchvision:SVHM is no data set of torchvision; did you mean torchvision:SVHN\?"),
        ("SVHN", r"torchvision:SVHN in .* is not usable \(.*\); set data.root to .*, or data.download to true"),
        ("EuroSAT", r"torchvision:EuroSAT has no training and test split; .* take image_folder with data.test_split"),
        ("ImageFolder", r"torchvision:ImageFolder has no training and test split"),
    ],
)
def test_what_cannot_be_read_is_named(member: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        source(member, tmp_path).check()


def test_targets_that_are_no_classes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    class Detection(datasets.FakeData):
        def __init__(self, root: str, train: bool) -> None:
            super().__init__(4, (3, 8, 8))

        def __getitem__(self, index: int) -> tuple[object, object]:
            return super().__getitem__(index)[0], {"box": [0, 0, 8, 8]}

    monkeypatch.setattr(datasets, "FakeData", Detection)
    with pytest.raises(ValueError, match=r"torchvision:FakeData gives examples of \(Image, dict\), not an image and"):
        source("FakeData", tmp_path).check()

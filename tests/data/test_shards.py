"""Shards of WebDataset."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study.data.containers.shards import expand
from study.data.image_folder import ImageFolder
from tests.data.conftest import image_bytes

Sample = Mapping[str, bytes]


def write(path: Path, samples: Mapping[str, Sample]) -> Path:
    """KEY.KIND members, the samples in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for key, files in samples.items():
            for kind, content in files.items():
                member = tarfile.TarInfo(f"{key}.{kind}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def samples(start: int, count: int = 4) -> dict[str, Sample]:
    """Of the classes 2 and 10 in turn."""
    return {
        f"{i:06}": {"cls": str((2, 10)[i % 2]).encode(), "png": image_bytes(i)} for i in range(start, start + count)
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(2):
        write(tmp_path / f"wds/train-{number:04}.tar", samples(10 * number))
    write(tmp_path / "wds/val-0000.tar", samples(50, 2))
    return tmp_path / "wds"


def source(root: Path | str, **parameters: object) -> ImageFolder:
    return ImageFolder(root=str(root), **({"validation_size": 0} | parameters))


def test_a_pattern_stands_for_its_shards() -> None:
    assert expand("s-{0008..0010}.tar") == ["s-0008.tar", "s-0009.tar", "s-0010.tar"]
    assert expand("{train,val}-{0..1}.tar") == ["train-0.tar", "train-1.tar", "val-0.tar", "val-1.tar"]


@pytest.mark.parametrize("root", [".", "{train,val}-{0000..0000}.tar"], ids=["folder", "pattern"])
def test_samples_have_the_split_of_their_shard_and_their_class(root: str, folder: Path) -> None:
    data = source(folder / root).load()
    assert data.classes == ("0002", "0010")
    seeds = [0, 2, 1, 3] if "{" in root else [0, 2, 10, 12, 1, 3, 11, 13]
    images = [np.asarray(Image.open(io.BytesIO(image_bytes(seed)))) for seed in seeds]
    np.testing.assert_array_equal(data.train.inputs, images)
    np.testing.assert_array_equal(data.train.labels, np.repeat([0, 1], len(seeds) // 2))
    np.testing.assert_array_equal(data.test.labels, [0, 1])


def test_shards_in_a_folder_for_each_split_are_read(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / f"wds/train/{number:05}.tar", samples(10 * number))
    write(tmp_path / "wds/val/00000.tar.gz", samples(50, 2))
    (tmp_path / "wds/val/README.md").write_text("about")
    data = source(tmp_path / "wds").load()
    assert (len(data.train), len(data.test), data.classes) == (8, 2, ("0002", "0010"))
    (tmp_path / "wds/train/cat").mkdir()
    (tmp_path / "wds/train/cat/0.png").write_bytes(image_bytes(0))
    with pytest.raises(ValueError, match="no split train"):
        source(tmp_path / "wds").check()


def test_shards_without_a_split_are_split_on_request(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / f"shards-{number:04}.tar", samples(10 * number))
    root = tmp_path / "shards-{0000..0001}.tar"
    with pytest.raises(ValueError, match=r"no split train and no split test .* folders 0002, 0010; .*share: 0.2"):
        source(root).check()
    assert source(root, test_split={"share": 0.25, "seed": 0}).shape().test == 2


def test_classes_are_named_by_json_text_or_the_file_beside(tmp_path: Path, folder: Path) -> None:
    (folder / "classnames.txt").write_text("\n".join(f"class {i}" for i in range(11)))
    assert source(folder).load().classes == ("class 10", "class 2")
    told = {f"{i}": {"jpg": image_bytes(i, form="JPEG"), "json": json.dumps({"label": "cat"}).encode()} for i in (1, 2)}
    write(tmp_path / "other/train-0.tar", told)
    write(tmp_path / "other/test-0.tar", {"9": {"cls": b"cat", "jpg": image_bytes(9, form="JPEG"), "txt": b"a cat"}})
    assert source(tmp_path / "other").load().classes == ("cat",)


def test_compressed_shards_hold_the_same(folder: Path, tmp_path: Path) -> None:
    before = source(folder).load()
    for number in range(2):
        write(tmp_path / f"gz/train-{number:04}.tar.gz", samples(10 * number))
    write(tmp_path / "gz/val-0000.tar.gz", samples(50, 2))
    assert source(tmp_path / "gz").content() == source(folder).content()
    assert source(tmp_path / "gz").load().digest == before.digest


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train-0002.tar does not exist nor do 1 more of .*; set data.root"):
        source(folder / "train-{0000..0003}.tar").check()
    write(folder / "train-0001.tar", {"7": {"png": image_bytes(7)}})
    with pytest.raises(ValueError, match=r"unreadable images, 1 of them: train/train-0001 7.png \(its sample has no"):
        source(folder).check()


def test_a_change_of_a_shard_is_seen(folder: Path) -> None:
    before = source(folder).content()
    write(folder / "train-0001.tar", samples(11))
    assert source(folder).content() != before


def test_labels_that_cannot_be_read_are_named_by_their_sample(folder: Path) -> None:
    odd = {"7": {"png": image_bytes(7), "json": b'{"label": '}, "8": {"png": image_bytes(8), "cls": b"\xff"}}
    odd |= {"9": {"png": image_bytes(9), "json": b'{"label": null}'}}
    write(folder / "train-0001.tar", odd)
    with pytest.raises(ValueError, match=r"3 of them: .* 7.png \(its .json cannot be read: .* 8.png \(its .cls cannot"):
        source(folder).check()
    assert source(folder, skip_unreadable=True).load().shape.train == 4


def test_a_mask_beside_an_image_is_not_taken_for_it(tmp_path: Path) -> None:
    for split in ("train", "test"):
        kinds = {"png": image_bytes(1), "mask.png": image_bytes(2), "cls": b"cat"}
        write(tmp_path / f"wds/{split}-0.tar", {"0": kinds})
    expected = np.asarray(Image.open(io.BytesIO(image_bytes(1))))
    np.testing.assert_array_equal(source(tmp_path / "wds").load().train.inputs[0], expected)


def test_samples_that_share_a_key_are_refused(folder: Path) -> None:
    with tarfile.open(folder / "train-0001.tar", "w") as archive:
        for content in (image_bytes(1), image_bytes(2)):
            member = tarfile.TarInfo("0.png")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(ValueError, match=r"train-0001.tar holds 0.png twice; give every sample a key of its own"):
        source(folder).check()

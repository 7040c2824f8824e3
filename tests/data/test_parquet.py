"""Tables of images: parquet as Hugging Face and others write it, and what its library has saved to disk."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from study.data.image_folder import ImageFolder
from tests.data.conftest import image_bytes

CLASSES = ["dog", "cat"]
"""In the order of their labels, which is not that of the alphabet."""


def features() -> dict[bytes, bytes]:
    told = {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}, "id": {"dtype": "int64"}}
    return {b"huggingface": json.dumps({"info": {"features": told}}).encode()}


def table(seeds: range, *, described: bool = True, **columns: list[object]) -> pa.Table:
    images = [{"bytes": image_bytes(seed), "path": f"{seed}.png"} for seed in seeds]
    content = {"image": images, "label": [seed % 2 for seed in seeds], **columns}
    found = pa.table(content)
    return found.replace_schema_metadata(features()) if described else found


def write(path: Path, content: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(content, path, row_group_size=3)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "set/data/train-00000-of-00002-ab12.parquet", table(range(8)))
    write(tmp_path / "set/data/train-00001-of-00002-ab12.parquet", table(range(10, 14)))
    write(tmp_path / "set/data/test-00000-of-00001.parquet", table(range(50, 54)))
    (tmp_path / "set/README.md").write_text("about")
    return tmp_path / "set"


def source(root: Path | str, **parameters: object) -> ImageFolder:
    return ImageFolder(root=str(root), **({"validation_size": 0} | parameters))


def images(*seeds: int) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(image_bytes(seed)))) for seed in seeds]


def test_tables_of_hugging_face_are_read_by_their_features(folder: Path) -> None:
    data = source(folder).load()
    assert data.classes == ("cat", "dog")
    np.testing.assert_array_equal(data.train.inputs, images(1, 3, 5, 7, 11, 13, 0, 2, 4, 6, 10, 12))
    np.testing.assert_array_equal(data.train.labels, [0] * 6 + [1] * 6)
    np.testing.assert_array_equal(data.test.inputs, images(51, 53, 50, 52))
    assert source(folder / "data").load().digest == data.digest


def test_a_plan_of_tables_reads_labels_and_no_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.data.images import content

    monkeypatch.setattr(content, "_read", lambda root, files: ({}, set()))
    read: list[object] = []
    original = parquet.ParquetFile.read_row_group
    monkeypatch.setattr(
        parquet.ParquetFile, "read_row_group", lambda *a, **k: read.extend(k["columns"]) or original(*a, **k)
    )
    assert source(folder).shape().train == 12
    assert set(read) == {"label"}


def test_a_description_of_columns_that_are_not_there_is_passed_over(tmp_path: Path) -> None:
    content = {"image": [image_bytes(s) for s in range(4)], "kind": CLASSES * 2}
    for split, told in (("train", features()), ("test", {b"huggingface": b"{}"})):
        write(tmp_path / f"set/{split}.parquet", pa.table(content).replace_schema_metadata(told))
    assert source(tmp_path / "set").shape().class_names == ("cat", "dog")


def test_tables_of_one_name_for_one_split_are_refused(tmp_path: Path) -> None:
    for language in ("en", "fr"):
        for split in ("train", "test"):
            write(tmp_path / f"set/{language}/{split}-00000-of-00001.parquet", table(range(4)))
    with pytest.raises(
        ValueError, match=r"set holds test/test-00000-of-00001 00000000.jpg twice; .* one of the folders"
    ):
        source(tmp_path / "set").check()
    assert source(tmp_path / "set/en").shape().train == 4


def test_one_table_is_split_on_request(tmp_path: Path) -> None:
    root = write(tmp_path / "images.parquet", table(range(8)))
    assert source(root, test_split={"share": 0.25, "seed": 0}).shape().test == 2


def test_tables_without_features_are_read_by_the_types_of_their_columns(tmp_path: Path) -> None:
    for split, seeds in (("train", range(6)), ("validation", range(6, 10))):
        content = {"picture": [image_bytes(seed) for seed in seeds], "kind": [CLASSES[seed % 2] for seed in seeds]}
        write(tmp_path / f"set/{split}/0000.parquet", pa.table(content))
    data = source(tmp_path / "set").load()
    assert (data.classes, len(data.test)) == (("cat", "dog"), 4)
    np.testing.assert_array_equal(data.train.inputs, images(1, 3, 5, 0, 2, 4))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"fine": [0, 1], "coarse": [0, 1]},
            r"has several columns that may be its labels \(fine, coarse\)",
        ),
        (
            {"pixels": [[0.1], [0.2]], "label": [0, 1]},
            r"has no column of images \(bytes, or a struct with a field bytes\), but pixels: list<element: double>, "
            "label: int64; write one, named image",
        ),
        ({"image": [{"path": "a.png"}, {"path": "b.png"}]}, r"no column of images .* but image: struct<path: string>"),
        ({"label": [[0, 1], [1]], "row": [0, 1]}, r"no column of labels .* label: list<element: int64>, row: int64"),
        ({"label": [0.0, 0.5]}, "train 00000001: its label is 0.5, which is no class; write whole numbers or names"),
    ],
)
def test_columns_that_are_not_plain_are_named(columns: dict[str, list[object]], message: str, tmp_path: Path) -> None:
    given = {"pixels", "image"} & set(columns)
    content = columns | ({} if given else {"image": [image_bytes(0), image_bytes(1)]})
    write(tmp_path / "set/train.parquet", pa.table(content))
    with pytest.raises(ValueError, match=message):
        source(tmp_path / "set").check()


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (pa.array(CLASSES * 3).dictionary_encode(), ("cat", "dog")),
        (pa.array([12, 7] * 3).dictionary_encode(), ("0007", "0012")),
        (pa.array([True, False] * 3), ("False", "True")),
        (pa.array([10.0, 2.0] * 3, pa.float32()), ("0002", "0010")),
        (pa.array(CLASSES * 3, pa.large_string()), ("cat", "dog")),
    ],
    ids=["categories of texts", "categories of numbers", "booleans", "floats that are whole", "large strings"],
)
def test_labels_of_every_type_that_names_classes_are_read(
    labels: pa.Array, classes: tuple[str, ...], tmp_path: Path
) -> None:
    for split in ("train", "test"):
        write(
            tmp_path / f"set/{split}.parquet", pa.table({"image": [image_bytes(s) for s in range(6)], "kind": labels})
        )
    data = source(tmp_path / "set").load()
    assert data.classes == classes
    np.testing.assert_array_equal(data.train.inputs, images(1, 3, 5, 0, 2, 4))


def test_the_column_named_label_goes_before_one_of_a_plainer_type(tmp_path: Path) -> None:
    content = {"image": [image_bytes(s) for s in range(4)], "label": [True, False] * 2, "row": range(4)}
    for split in ("train", "test"):
        write(tmp_path / f"set/{split}.parquet", pa.table({name: list(values) for name, values in content.items()}))
    assert source(tmp_path / "set").shape().class_names == ("False", "True")


@pytest.mark.parametrize("none", [None, float("nan"), -1])
def test_rows_without_a_label_are_named(none: float | None, tmp_path: Path) -> None:
    cells, labels = [{"bytes": image_bytes(s)} for s in range(5)], [0, 1, 0, 1, none]
    found = pa.table({"image": cells, "label": pa.array(labels, pa.float64() if none != -1 else pa.int64())})
    for split in ("train", "test"):
        write(tmp_path / f"set/{split}.parquet", found.replace_schema_metadata(features() if none == -1 else None))
    with pytest.raises(ValueError, match=r"train/train 00000004.jpg \(row 4 has no label\); repair them, or set data"):
        source(tmp_path / "set").check()
    assert source(tmp_path / "set", skip_unreadable=True).load().shape.train == 4
    with pytest.raises(ValueError, match=r"train.parquet has no split test in \S+ layout; set data.root"):
        source(tmp_path / "set/train.parquet").check()
    alone = (tmp_path / "set/train.parquet").rename(tmp_path / "alone.parquet")
    with pytest.raises(ValueError, match=r"no split train and no split test in \S+ layout, but images in the folders"):
        source(alone).check()


def test_rows_without_bytes_or_class_are_named(tmp_path: Path) -> None:
    there = table(range(8)).to_pylist()
    there[1]["image"] = {"bytes": None, "path": "/elsewhere/1.png"}
    there[2]["label"] = None
    for split in ("train", "test"):
        write(tmp_path / f"set/{split}.parquet", pa.Table.from_pylist(there).replace_schema_metadata(features()))
    with pytest.raises(ValueError, match=r"2 of them: test/test 00000002.jpg \(row 2 has no label\), train/tr"):
        source(tmp_path / "set").check()
    data = source(tmp_path / "set", skip_unreadable=True).load()
    np.testing.assert_array_equal(data.train.inputs, images(3, 5, 7, 0, 4, 6))


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    datasets = pytest.importorskip("datasets")

    def made(seeds: range) -> object:
        kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
        content = {"image": [{"bytes": image_bytes(s), "path": None} for s in seeds], "label": [s % 2 for s in seeds]}
        return datasets.Dataset.from_dict(content, features=kinds)

    def save(**splits: range) -> Path:
        found = {name: made(seeds) for name, seeds in splits.items()}
        whole = datasets.DatasetDict(found) if len(found) > 1 else next(iter(found.values()))
        whole.save_to_disk(str(tmp_path / "saved"))
        return tmp_path / "saved"

    return save


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestSavedByTheLibraryOfHuggingFace:
    def test_its_splits_and_features_are_read(self, save: Callable[..., Path], folder: Path) -> None:
        data = source(save(train=range(8), validation=range(50, 54))).load()
        assert data.classes == ("cat", "dog")
        np.testing.assert_array_equal(data.train.inputs, images(1, 3, 5, 7, 0, 2, 4, 6))
        np.testing.assert_array_equal(data.test.labels, [0, 0, 1, 1])

    def test_one_without_splits_is_split_on_request(self, save: Callable[..., Path]) -> None:
        assert source(save(all=range(8)), test_split={"share": 0.25, "seed": 0}).shape().test == 2

    def test_the_package_that_is_lacking_is_named(
        self, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = save(train=range(4), test=range(4))
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(ValueError, match="saved is read by Hugging Face's library: pip install datasets"):
            source(root).check()

    def test_tables_that_it_writes_are_read(self, save: Callable[..., Path], tmp_path: Path) -> None:
        import datasets

        found = datasets.load_from_disk(str(save(train=range(8), test=range(50, 54))))
        for split, part in found.items():
            (tmp_path / "tables").mkdir(exist_ok=True)
            part.to_parquet(str(tmp_path / f"tables/{split}-00000-of-00001.parquet"))
        assert source(tmp_path / "tables").load().digest == source(tmp_path / "saved").load().digest

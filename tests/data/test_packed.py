"""Images kept as the bytes of their files: the same images as decoded ones, in whatever order they came."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from study.data.image_folder import ImageFolder
from tests.data.conftest import image_bytes
from tests.data.odd_images import jpeg

MakeFiles = Callable[..., dict[str, bytes]]
Write = Callable[..., Path]


def source(root: Path, **parameters: object) -> ImageFolder:
    return ImageFolder(root=str(root), **({"validation_size": 0, "keep": "encoded", "image_size": 16} | parameters))


def photographs() -> dict[str, bytes]:
    names = [f"{split}/{label}/{i}.jpg" for split in ("train", "test") for label in ("cat", "dog") for i in range(3)]
    return {name: image_bytes(i, (30 + i, 44), "JPEG") for i, name in enumerate(names)}


def test_packed_images_read_as_the_decoded_ones_do(write_folder: Write) -> None:
    root = write_folder(photographs())
    packed, pixels = source(root).load(), source(root, keep="pixels").load()
    assert packed.train.inputs.shape == pixels.train.inputs.shape == (6, 16, 16, 3)
    assert packed.train.nbytes == pixels.train.nbytes
    for index in (slice(1, 5), np.array([4, 0, 0]), slice(None)):
        np.testing.assert_array_equal(packed.train.take(index), pixels.train.take(index))
    np.testing.assert_array_equal(packed.test.labels, pixels.test.labels)
    sent = pickle.loads(pickle.dumps(source(root).decode().test))
    np.testing.assert_array_equal(sent.take(slice(None)), pixels.test.take(slice(None)))


def test_the_cache_holds_the_bytes_of_the_files_and_no_pixels(write_folder: Write, tmp_path: Path) -> None:
    files = photographs()
    data = source(write_folder(files)).load()
    in_order = [files[name] for name in sorted(files) if name.startswith("train")]
    assert [data.train.inputs.file(row) for row in range(6)] == in_order
    kept = sum(file.stat().st_size for file in (tmp_path / "cache" / "data").rglob("train_inputs.npy"))
    assert kept == 128 + sum(map(len, in_order))


def test_the_order_in_which_files_come_changes_nothing(write_folder: Write, write_tar: Write) -> None:
    files = photographs()
    folder, archive = source(write_folder(files)), source(write_tar(files))
    one, other = folder.decode(), archive.decode()
    assert not np.array_equal(one.train.inputs.index, other.train.inputs.index)
    np.testing.assert_array_equal(one.train.take(slice(None)), other.train.take(slice(None)))
    assert folder.load(write_folder({}, "a")).digest == archive.load(write_folder({}, "b")).digest


def test_unreadable_files_are_refused_or_left_out(write_folder: Write) -> None:
    files = photographs()
    damaged = write_folder(files | {"train/cat/1.jpg": jpeg()[:-400], "test/dog/0.jpg": b""})
    with pytest.raises(ValueError, match=r"unreadable images, 2 of them: test/dog/0\.jpg"):
        source(damaged).load()
    data, whole = source(damaged, skip_unreadable=True).load(), source(write_folder(files, "whole")).load()
    np.testing.assert_array_equal(data.train.take(slice(None)), np.delete(whole.train.take(slice(None)), 1, axis=0))
    assert (len(data.test), data.notes["skipped"]) == (5, 2)


def test_an_interrupted_packing_goes_on_where_it_was(write_folder: Write, tmp_path: Path) -> None:
    from study.data.images.decoding import PackedRows

    files = [image_bytes(i, form="JPEG") for i in range(4)]
    first = PackedRows(tmp_path, "x", 4, 16)
    first.put(2, files[2])
    first.marks[2] = 1
    first.settle()
    first.put(1, files[1])  # it was not written down as done
    again = PackedRows(tmp_path, "x", 4, 16)
    assert again.done().tolist() == [2]
    for row in (3, 0, 1):
        again.put(row, files[row])
        again.marks[row] = 1
    packed = again.finish()
    assert [packed.file(row) for row in range(4)] == files
    assert len(packed.content) == sum(map(len, files))


def test_the_plan_says_what_is_kept_and_the_id_tells_crops_of_originals_from_crops_of_arrays(
    write_folder: Write,
) -> None:
    root = write_folder(photographs())
    said = "data: images are kept as their files and decoded anew for each epoch; as pixels they take 0.0 GiB"
    assert source(root).shape().remarks == (said,)
    assert source(root).load().shape.remarks == (said,)
    assert "keep" not in source(root, keep="pixels").fingerprint()
    assert source(root).fingerprint()["keep"] == "encoded"

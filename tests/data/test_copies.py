from pathlib import Path

import numpy as np
import pytest

from study.data.cache import mapped
from study.data.images.copies import copies
from study.data.images.packed import Packed


def packed(files: list[bytes]) -> Packed:
    ends = np.cumsum([len(file) for file in files])
    index = np.stack([ends - [len(file) for file in files], ends], axis=1)
    return Packed(np.frombuffer(b"".join(files), np.uint8), index, 8)


def test_files_that_are_in_both_splits_are_counted_as_often_as_they_are_tested() -> None:
    train, test = packed([b"cat", b"dog", b"ferret"]), packed([b"ferret", b"cow", b"dog", b"dog", b"dove"])
    assert copies(train, test) == 3


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("of_file", [False, True])
def test_images_are_the_same_where_every_pixel_is(tmp_path: Path, size: int, of_file: bool) -> None:
    train = np.random.default_rng(0).integers(0, 256, (20, size, size, 3), dtype=np.uint8)
    test = train[[3, 7, 7, 11]].copy()
    test[3, 0, 0, 0] ^= 1  # in the row that is looked at first, or in another
    if of_file:
        np.save(tmp_path / "train.npy", train)
        train = mapped(tmp_path / "train.npy")
    assert copies(train, test) == 3
    assert copies(test, train) == 2
    assert copies(train, ~train) == 0

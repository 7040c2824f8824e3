"""Crops of packed images: torchvision's of the original pixels, the same whoever decodes them and when."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from models.augment import CropFlip, SimCLRViews, random_boxes
from models.multi_crop import MultiCrop
from study import TrialConfig
from study.data import Split
from study.data.image_folder import ImageFolder
from study.data.images.packed import Packed
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.crops import Crops, Kind
from study.trial.run import run_trial
from study.trial.streams import generator
from study.trial.views import Examples, Wanted, wanted
from tests.conftest import TINY, undrawn
from tests.data.conftest import image_bytes
from tests.trial.conftest import Killed


@pytest.fixture
def split() -> Split:
    files = [image_bytes(i, (40 + i, 60 - i), "JPEG") for i in range(10)]
    ends = np.cumsum([0, *map(len, files)])
    content = np.frombuffer(b"".join(files), np.uint8)
    return Split(Packed(content, np.stack([ends[:-1], ends[1:]], axis=1), 24), None)


def crops(split: Split, index: list[int], *, key: tuple[int, ...] = (0, 1), count: int = 2) -> np.ndarray:
    return Crops(split).take(torch.tensor(index), Kind(count, min_scale=0.2), key=key)[0]


def test_a_crop_is_torchvisions_of_the_image_at_its_own_size(split: Split) -> None:
    assert isinstance(split.inputs, Packed)
    for row, (first, second) in zip((7, 3), crops(split, [7, 3]).swapaxes(0, 1), strict=True):
        draw = generator("cpu", 0, 1, row)
        image = Image.open(io.BytesIO(split.inputs.file(row))).convert("RGB")
        boxes = random_boxes(2, image.height, image.width, min_scale=0.2, generator=draw).int().tolist()
        for crop, box, flip in zip((first, second), boxes, torch.rand(2, generator=draw).tolist(), strict=True):
            theirs = np.asarray(functional.resized_crop(image, *box, [24, 24]))
            np.testing.assert_array_equal(crop, theirs[:, ::-1] if flip < 0.5 else theirs)


def test_the_crops_of_an_example_depend_on_key_and_index_only(split: Split) -> None:
    together = crops(split, list(range(10)))
    np.testing.assert_array_equal(together[:, [8, 2]], crops(split, [8, 2]))
    assert not np.array_equal(together[0], together[1])
    assert not np.array_equal(together, crops(split, list(range(10)), key=(0, 2)))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        np.testing.assert_array_equal(together, crops(split, list(range(10))))
    finally:
        torch.set_num_threads(before)


def test_crops_of_images_that_a_thread_cannot_hold_together_are_the_same(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = crops(split, list(range(10)))
    for most in (1, 5_000):  # one image at a time, and three: of about 2,300 pixels
        monkeypatch.setattr("study.trial.crops._MOST_PIXELS", most)
        np.testing.assert_array_equal(together, crops(split, list(range(10))))


def test_what_is_decoded_ahead_is_what_would_be_decoded_then(split: Split) -> None:
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))[:9].view(3, 3)
    ahead = Crops(split)
    ahead.expect(order)
    ahead.take(torch.tensor([4]), Kind(2, min_scale=0.2), key=(0, 1))  # of another reader
    for index in order:
        (found,) = ahead.take(index, Kind(2, min_scale=0.2), key=(0, 1))
        np.testing.assert_array_equal(found, crops(split, index.tolist()))


def test_an_augmentation_goes_on_after_the_crop(split: Split) -> None:
    index, plain = torch.arange(10), SimCLRViews(strength=0, grey_probability=0, min_scale=0.2)
    examples = Examples(split, torch.device("cpu"))

    def views(augmentation: CropFlip | SimCLRViews) -> torch.Tensor:
        draw = torch.Generator().manual_seed(0)
        return torch.stack(examples.views(index, index, Wanted(augmentation, 2), generator=draw, key=(0, 1))[0])

    expected = (
        torch.from_numpy(crops(split, list(range(10)))).permute(0, 1, 4, 2, 3).float().div(255).sub(0.5).div(0.25)
    )
    torch.testing.assert_close(views(CropFlip(min_scale=0.2)), expected)
    torch.testing.assert_close(views(plain), expected, atol=1e-5, rtol=0)
    assert not torch.allclose(views(SimCLRViews(min_scale=0.2)), expected)


def test_small_views_are_crops_of_the_originals_that_are_decoded_once_for_all(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    image = Packed.image
    monkeypatch.setattr(Packed, "image", lambda packed, row: decoded.append(row) or image(packed, row))
    plain = MultiCrop(strength=0, grey_probability=0, min_scale=0.2, small_views=3, small_size=9)
    draw, index = torch.Generator().manual_seed(0), torch.arange(10)
    examples = Examples(split, torch.device("cpu"))
    full, small = examples.views(index, index, *wanted(plain, 2), generator=draw, key=(0, 1))
    assert sorted(decoded) == list(range(10))
    expected = (
        torch.from_numpy(crops(split, list(range(10)))).permute(0, 1, 4, 2, 3).float().div(255).sub(0.5).div(0.25)
    )
    torch.testing.assert_close(torch.stack(full), expected, atol=1e-5, rtol=0)
    draw = generator("cpu", 0, 1, 7)
    picture = image(split.inputs, 7)
    random_boxes(2, picture.height, picture.width, min_scale=0.2, generator=draw), torch.rand(2, generator=draw)
    boxes = (
        random_boxes(3, picture.height, picture.width, min_scale=0.05, max_scale=0.14, generator=draw).int().tolist()
    )
    for view, box, flip in zip(small, boxes, torch.rand(3, generator=draw).tolist(), strict=True):
        theirs = functional.to_image(functional.resized_crop(picture, *box, [9, 9])).float().div(255).sub(0.5).div(0.25)
        torch.testing.assert_close(view[7], theirs.flip(2) if flip < 0.5 else theirs, atol=1e-5, rtol=0)


def test_a_trial_of_packed_images_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    for i in range(48):
        file = tmp_path / "images" / ("train" if i < 36 else "test") / f"c{i % 2}" / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image_bytes(i, (20, 24), "JPEG"))
    data = {"name": "image_folder", "root": str(tmp_path / "images"), "image_size": 16, "keep": "encoded"}
    config = TINY | {"data": data, "batch_size": 8, "epochs": 2, "evaluations": ["knn"]}
    trial = undrawn(resolve(TrialConfig(**config)))
    assert isinstance(trial.parts.data, ImageFolder)

    def folder(name: str):  # type: ignore[no-untyped-def]
        return Store.of("s", tmp_path).trial(name)

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        raise Killed

    def told(name: str) -> dict[str, float]:
        found = run_trial(trial, folder(name), threads=1).metrics
        return {n: v for n, v in found.items() if not n.startswith(("time.", "memory.", "train.views_per_s"))}

    whole = told("whole")
    with pytest.raises(Killed):
        run_trial(trial, folder("cut"), threads=1, report=kill)
    assert told("cut") == whole
    assert whole["train.loss"] > 0

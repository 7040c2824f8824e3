"""A synthetic set of JPEGs, and what its crops cost beside a bare DataLoader of torchvision: CPU seconds, memory.

`python -m tests.data.imagenet_size FOLDER IMAGES ROUNDS` makes the set and prints the rounds, alternating.
"""

import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIDE, BATCH, TURN = 224, 50, 100


def write_jpegs(root: Path, count: int, *, test: int = 20, distinct: int | None = None, side: int = 256) -> Path:
    """train/<class>/ and test/<class>/ of 10 classes: coloured clouds, `side` to `side` + 128 pixels by `side`; with
    256, about 20 KB each.

    `distinct`: links repeat the first so many images of the training split.
    """
    for split, number in (("train", count), ("test", test)):
        for i in range(number):
            file = root / split / f"class{i % 10}" / f"{i:07}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            if split == "train" and distinct is not None and i >= distinct:
                first = i % distinct
                file.hardlink_to(root / split / f"class{first % 10}" / f"{first:07}.jpg")
            elif not file.exists():
                file.write_bytes(_clouds(i, split == "test", side))
    return root


def _clouds(seed: int, test: bool, side: int) -> bytes:
    from PIL import Image

    draw = np.random.default_rng((seed, test))
    size = (side + 8 * int(draw.integers(0, 17)), side)
    total = np.zeros((size[1], size[0], 3))
    for cells, weight in ((4, 1.0), (16, 0.5), (64, 0.25)):
        noise = Image.fromarray(draw.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += weight * np.asarray(noise.resize(size, Image.Resampling.BICUBIC))
    total = total / 1.75 + draw.normal(0, 3, total.shape)
    buffer = io.BytesIO()
    Image.fromarray(total.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def ours(root: Path) -> Callable[[list[int]], None]:
    """Crops of these training images, as a trial has them."""
    import torch

    from study.data.image_folder import ImageFolder
    from study.trial.crops import Crops, Kind

    data = ImageFolder(root=str(root), image_size=SIDE, keep="encoded", validation_size=0).load()
    crops = Crops(data.train)

    def read(images: list[int]) -> None:
        order = torch.tensor(images).view(-1, BATCH)
        crops.expect(order)
        for index in order:
            crops.take(index, Kind(1, min_scale=0.08), key=(0, 0))

    return read


def bare(root: Path) -> Callable[[list[int]], None]:
    """The same by torchvision's ImageFolder and torch's DataLoader, in this process: no copy between processes."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets, transforms

    steps: list[Any] = [transforms.RandomResizedCrop(SIDE), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    data = datasets.ImageFolder(str(root / "train"), transforms.Compose(steps))

    def read(images: list[int]) -> None:
        for _ in DataLoader(Subset(data, images), batch_size=BATCH):
            pass

    return read


def compare(root: Path, count: int, rounds: int) -> dict[str, list[float]]:
    """Images per CPU second of both, of other images in each round; a first round is left out.

    Within a round they take turns after every TURN images. A line is printed of each round, round 0 included.
    """
    import torch

    torch.set_num_threads(1)
    readers = {"ours": ours(root), "bare": bare(root)}
    found: dict[str, list[float]] = {name: [] for name in readers}
    order = torch.randperm(count * (rounds + 1), generator=torch.Generator().manual_seed(0))
    for number, images in enumerate(order.view(rounds + 1, -1, TURN).tolist()):
        took = dict.fromkeys(readers, 0.0)
        for turn, some in enumerate(images):
            for name in sorted(readers, reverse=turn % 2 == 0):
                started = time.process_time()
                readers[name](some)
                took[name] += time.process_time() - started
        for name, seconds in took.items():
            found[name].append(count / seconds)
        mine, theirs = (rates[-1] for rates in found.values())
        which = f"round {number} of {rounds}"
        print(f"{which}: {mine:.0f} images per CPU second, bare {theirs:.0f}: {mine / theirs:.3f}", flush=True)
    return {name: rates[1:] for name, rates in found.items()}


def spread(values: list[float], digits: int, of: str = "") -> str:
    """Tell the median, the range and n."""
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high}, n = {len(values)}{of})"


if __name__ == "__main__":
    place, size, turns = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    both = compare(write_jpegs(place, size), size // (turns + 1) // TURN * TURN, turns)
    print(f"ours / bare: {spread([a / b for a, b in zip(both['ours'], both['bare'], strict=True)], 3)}")

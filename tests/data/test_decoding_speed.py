"""A folder of images is decoded faster by two cores than by one: `make test-size` renews the table of docs/data.md."""

import os
import statistics
import time
from pathlib import Path

import pytest
from joblib import cpu_count

from study.data.image_folder import ImageFolder
from study.machine.environment import environment
from tests.data.imagenet_size import spread, write_jpegs
from tests.data.page import renew

IMAGES, DISTINCT, SIDE, KEPT, ROUNDS = 3_000, 500, 160, 64, 5


def seconds(root: Path, cache: Path, cores: int) -> float:
    """Seconds until the folder's images are there, of which nothing was known; no more cores than these decode."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_CACHE", str(cache))
        patch.setenv("LOKY_MAX_CPU_COUNT", str(cores))  # what joblib.cpu_count goes by
        started = time.perf_counter()
        data = ImageFolder(root=str(root), image_size=KEPT, validation_size=0).load()
        took = time.perf_counter() - started
    assert len(data.train) == IMAGES
    return took


def table(alone: list[float], both: list[float], ratios: list[float]) -> str:
    """The table of docs/data.md."""
    found = environment()
    return f"""<!-- decoding: make test-size -->
| {IMAGES:,} JPEGs of {SIDE} pixels' height, kept as {KEPT} × {KEPT}, in a folder | found |
|---|---|
| seconds until they are in the cache, decoded by one core | {spread(alone, 2)} |
| the same, by two | {spread(both, 2)} |
| one core's seconds ÷ two cores' | {spread(ratios, 2)} |

{found["cpu"]}; one core and two in turns, knowing the set by its content included; {DISTINCT} of the
images differ, and their files are in the system's memory.
<!-- end of decoding -->"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(cpu_count() < 2, reason="there is one core")
def test_two_cores_decode_a_folder_faster_than_one(tmp_path: Path) -> None:
    root = write_jpegs(tmp_path / "images", IMAGES, distinct=DISTINCT, side=SIDE)
    seconds(root, tmp_path / "first", 1)  # imports, and files that the system has not read yet
    alone, both = [], []
    for i in range(ROUNDS):
        alone.append(seconds(root, tmp_path / f"{i}-1", 1))
        both.append(seconds(root, tmp_path / f"{i}-2", 2))
        print(f"round {i + 1} of {ROUNDS}: {alone[i]:.2f} s by one core, {both[i]:.2f} s by two", flush=True)
    ratios = [a / b for a, b in zip(alone, both, strict=True)]
    renew("decoding", table(alone, both, ratios), os.environ.get("SIZE"))
    assert statistics.median(ratios) > 1.2, ratios

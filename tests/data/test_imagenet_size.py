"""The limits of images that are kept as their files: speed beside a bare DataLoader, and memory of a trial.

`make test-size` renews the table of docs/data.md: to be run where nothing else runs.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from study.machine.environment import environment
from tests.data.imagenet_size import compare, write_jpegs
from tests.data.page import renew

IMAGES, DISTINCT, ROUND = 100_000, 5_000, 1_000
MOST_MIB = 1536
TRIAL = """
import json, sys, threading, time
from pathlib import Path
import psutil
from study import TrialConfig
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.run import run_trial

data = {"name": "image_folder", "root": sys.argv[1], "image_size": 224, "keep": "encoded", "train_size": 2000}
config = TrialConfig(data=data, encoder={"name": "conv-small", "width": 8}, batch_size=64, epochs=1,
                     augmentation={"name": "simclr", "blur_probability": 0.5}, evaluations=["linear", "knn"])
peak, over = 0, False

def watch():
    global peak
    while not over:
        peak = max(peak, psutil.Process().memory_full_info().pss)
        time.sleep(0.2)

thread = threading.Thread(target=watch)
thread.start()
found = run_trial(resolve(config), Store.of("s", Path(sys.argv[2])).trial("t"), threads=1)
over = True
thread.join()
print(json.dumps([found.status, found.reason, peak / 2**20]))
"""


def told(ratios: list[float], rates: list[float], mib: float) -> str:
    """The table of docs/data.md."""
    found = environment()
    return f"""<!-- size: make test-size -->
| {IMAGES:,} JPEGs of 256 pixels' height, crops of 224 | found | limit |
|---|---|---|
| images for each second of one core | {statistics.median(rates):.0f} | |
| as a share of what torchvision in a bare DataLoader does in turns with it | {statistics.median(ratios):.3f} \
({min(ratios):.3f} to {max(ratios):.3f}, n = {len(ratios)} rounds of {ROUND:,} images) | ≥ 0.95 |
| memory of a trial's process, shared pages by parts (PSS), at most | {mib:,.0f} MiB (n = 1) | ≤ {MOST_MIB:,} MiB |

{found["cpu"]}, one thread, torch {found["torch"]}, torchvision {found["torchvision"]}; {DISTINCT:,} of the images
differ, and the trial trains and evaluates on 2,000 of them.
<!-- end of size -->"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_jpegs_are_cropped_as_fast_as_by_a_bare_loader_and_take_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    root = write_jpegs(tmp_path / "images", IMAGES, distinct=DISTINCT)
    found = compare(root, ROUND, 7)
    ratios = [ours / bare for ours, bare in zip(found["ours"], found["bare"], strict=True)]
    command = [sys.executable, "-c", TRIAL, str(root), str(tmp_path)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    status, reason, mib = json.loads(ran.stdout.splitlines()[-1])
    renew("size", told(ratios, found["ours"], mib), os.environ.get("SIZE"))
    assert statistics.median(ratios) >= 0.95, ratios
    assert (status, reason) == ("finished", None)
    assert mib <= MOST_MIB

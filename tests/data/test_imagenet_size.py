"""The limits of images that are kept as their files: speed beside a bare DataLoader, and memory of a trial.

`make test-size` renews the table of docs/data.md: to be run where nothing else runs.
"""

import json
import os
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from study.machine.environment import environment
from tests.data.imagenet_size import compare, spread, write_jpegs
from tests.data.page import renew

IMAGES, DISTINCT, ROUND, ROUNDS, TRAINED = 100_000, 5_000, 1_000, 15, 2_000
MOST_MIB = 1536
TRIAL = """
import json, sys, threading, time
from pathlib import Path
import psutil
from study import TrialConfig
from study.machine.memory import keep_freed
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.run import run_trial

keep_freed()  # as a worker does
root, place, size = sys.argv[1:]
data = {"name": "image_folder", "root": root, "image_size": 224, "keep": "encoded", "train_size": int(size)}
config = TrialConfig(data=data, encoder={"name": "conv-small", "width": 8}, batch_size=64, epochs=1,
                     augmentation={"name": "simclr", "blur_probability": 0.5}, evaluations=["linear", "knn"])
peak, over = 0, threading.Event()

def watch():
    global peak
    started, told = time.monotonic(), 0
    while not over.wait(0.05):
        peak = max(peak, psutil.Process().memory_full_info().pss / 2**20)
        if (now := int(time.monotonic() - started)) >= told + 15:
            told = now
            print(f"trial: {now} s, {peak:,.0f} MiB at most", file=sys.stderr, flush=True)

thread = threading.Thread(target=watch)
thread.start()
try:
    found = run_trial(resolve(config), Store.of("s", Path(place)).trial("t"), threads=1)
finally:
    over.set()
    thread.join()
print(json.dumps([found.status, found.reason, peak, found.metrics.get("memory.peak_mib")]))
"""


def table(found: dict[str, list[float]], ratios: list[float], mib: float, resident: float) -> str:
    """The table of docs/data.md."""
    here = environment()
    of_rounds = f" rounds of {ROUND:,} images"
    return f"""<!-- size: make test-size -->
| {IMAGES:,} JPEGs of 256 pixels' height, crops of 224 | found | limit |
|---|---|---|
| images for each CPU second of one core | {spread(found["ours"], 0, of_rounds)} | |
| the same by torchvision in a bare DataLoader, in turns with it | {spread(found["bare"], 0, of_rounds)} | |
| ours ÷ torchvision's, round by round | {spread(ratios, 3, of_rounds)} | ≥ 0.95 |
| memory of a trial's process, shared pages by parts (PSS, every 0.05 s), at most | {mib:,.0f} MiB (n = 1) \
| ≤ {MOST_MIB:,} MiB |
| its resident set from the start of the training on (the kernel's mark), shared pages in full | {resident:,.0f} MiB \
(n = 1) | |

{here["cpu"]}, one thread, torch {here["torch"]}, torchvision {here["torchvision"]}, Pillow {version("pillow")};
{DISTINCT:,} of the images differ, and the trial trains and evaluates on {TRAINED:,} of them.
<!-- end of size -->"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_jpegs_are_cropped_as_fast_as_by_a_bare_loader_and_take_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    root = write_jpegs(tmp_path / "images", IMAGES, distinct=DISTINCT)
    print(f"{IMAGES:,} JPEGs are written", flush=True)
    found = compare(root, ROUND, ROUNDS)
    ratios = [ours / bare for ours, bare in zip(found["ours"], found["bare"], strict=True)]
    command = [sys.executable, "-c", TRIAL, str(root), str(tmp_path), str(TRAINED)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    status, reason, mib, resident = json.loads(ran.stdout.splitlines()[-1])
    assert (status, reason) == ("finished", None)
    renew("size", table(found, ratios, mib, resident), os.environ.get("SIZE"))
    assert statistics.median(ratios) >= 0.95, ratios
    assert mib <= MOST_MIB

"""The limits of images that are kept as their files: speed beside a bare DataLoader, and memory of a trial."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.imagenet_size import compare, write_jpegs

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


@pytest.mark.slow
def test_a_hundred_thousand_jpegs_are_cropped_as_fast_as_by_a_bare_loader_and_take_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    root = write_jpegs(tmp_path / "images", 100_000, distinct=5_000)
    found = compare(root, 1000, 7)
    ratios = [ours / bare for ours, bare in zip(found["ours"], found["bare"], strict=True)]
    assert statistics.median(ratios) >= 0.95, ratios
    command = [sys.executable, "-c", TRIAL, str(root), str(tmp_path)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    status, reason, mib = json.loads(ran.stdout.splitlines()[-1])
    assert (status, reason) == ("finished", None)
    assert mib <= 1536

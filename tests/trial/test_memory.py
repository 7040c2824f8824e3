"""Memory of a worker over its trials."""

import subprocess
import sys
from pathlib import Path

import pytest

FIFTY = """
import sys
import psutil
from study import TrialConfig
from study.machine.memory import give_back, keep_freed
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.run import run_trial
from tests.conftest import TINY

keep_freed()
store = Store.of("s", sys.argv[1])
for seed in range(50):
    trial = resolve(TrialConfig(**TINY, k=32, seed=seed))
    assert run_trial(trial, store.trial(trial.id), threads=1).status == "finished"
    give_back()
    print(psutil.Process().memory_info().rss / 2**20)
"""


@pytest.mark.slow
def test_memory_is_flat_over_fifty_trials_of_a_process(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FIFTY, str(tmp_path)], capture_output=True, text=True, check=True)
    mib = [float(line) for line in done.stdout.splitlines()]
    assert len(mib) == 50
    assert max(mib[5:]) - mib[4] < 20, mib

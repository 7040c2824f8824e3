"""The same study, run by two at the same time."""

import time
from collections import Counter
from pathlib import Path

from tests.faults.conftest import Reference
from tests.faults.evidence import Evidence, judge
from tests.faults.harness import Driver, trial_of


def test_two_runs_at_once_share_the_trials(tmp_path: Path, reference: Reference) -> None:
    running: Counter[tuple[str, int]] = Counter()
    with Driver(tmp_path, "--set", "cpus=0.5") as first, Driver(tmp_path, "--set", "cpus=0.5") as second:
        while not (first.over() and second.over()):
            for driver in (first, second):
                running.update((trial_of(worker), worker.pid) for worker in driver.workers())
            time.sleep(0.1)
        assert first.wait() == second.wait() == 0, first.output
    owners = Counter(trial for trial, _ in running if trial in reference.evidence.trials)
    assert owners == dict.fromkeys(reference.evidence.trials, 1)  # one worker each
    registers = [path.suffix for path in (tmp_path / "runs" / "faults" / "claims").glob("*.*")]
    assert registers == [".0"] * len(owners)  # and nobody took one over
    lost = max(first.seconds, second.seconds) - reference.seconds
    judge("two drivers at once", 1, [Evidence(tmp_path / "runs")], reference.evidence, seconds_lost=lost)

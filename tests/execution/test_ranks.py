"""A study whose trials are larger than a process, on Ray."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from study.storage.store import Store
from tests.faults.harness import Driver, until

EPOCHS = 30
"""So many that a trial is not over before a process of it is killed."""
STUDY: dict[str, Any] = {
    "name": "shared",
    "base": {
        "data": {"name": "shapes", "train_size": 1024, "test_size": 200},
        "encoder": {"name": "conv-small", "width": 8},
        "head": {"name": "mlp", "dim": 32},
        "evaluations": ["linear"],
        "batch_size": 64,
        "epochs": EPOCHS,
    },
    "cpus": 2,
    "processes": 2,
}


def ranks(driver: Driver) -> list[psutil.Process]:
    """The processes that share the trial: those that its worker started."""
    found = []
    for process in (child for worker in driver.workers() for child in worker.children()):
        try:
            if "multiprocessing.spawn" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_trial_that_lost_one_of_its_processes_is_started_again_and_goes_on(tmp_path: Path) -> None:
    with Driver(tmp_path, study=STUDY) as driver:
        until(lambda: driver.over() or (driver.epochs() and len(ranks(driver)) == 2), "an epoch is over", 1500)
        assert not driver.over(), driver.output
        until(lambda: ranks(driver)[1:], "its worker is seen", 60)[0].kill()
        assert driver.wait(1500) == 0, driver.output
        assert not ranks(driver)
    (folder,) = Store.of("shared", tmp_path / "runs").trials()
    result = folder.result()
    assert result is not None
    assert result.status == "finished"
    assert result.environment["processes"] == 2
    assert [line["epoch"] for line in folder.journal()] == list(range(1, EPOCHS + 1))

"""The run that was left alone, and a folder of its own for each that is not."""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.evidence import Evidence
from tests.faults.harness import Driver

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Reference:
    """The undisturbed run."""

    evidence: Evidence
    starts: float
    """seconds from the command to the first trial"""
    seconds: float
    """from the command to its end"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell lets what it starts in the background ignore SIGINT, and that is inherited."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Kept beside the rows, so that one test can be run again without it."""
    kept = os.environ.get("FAULTS")
    folder = Path(kept).absolute() / "reference" if kept else tmp_path_factory.mktemp("reference")
    clock = folder / "seconds.json"
    if not clock.exists():
        with Driver(tmp_path_factory.mktemp("first")) as driver:  # compiles what it imports, draws the data
            assert driver.wait() == 0, driver.output
        with Driver(folder) as driver:
            driver.until_running()
            times = {"starts": driver.seconds}
            assert driver.wait() == 0, driver.output
            clock.write_text(json.dumps(times | {"seconds": driver.seconds}))
    return Reference(Evidence(folder / "runs"), **json.loads(clock.read_text()))


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No storage, cache or server of the user's is touched; the data is drawn once for all."""
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for variable in ("STUDY_STORAGE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(variable, raising=False)

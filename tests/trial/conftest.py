"""Two trials that are run once for all tests, to be read only."""

import os
import shutil
from collections.abc import Callable
from functools import cache as once
from pathlib import Path

import pytest

from study import TrialConfig
from study.planning.resolve import resolve
from study.storage.store import Store, TrialFolder
from study.trial.run import run_trial
from tests.conftest import TINY, undrawn

RunOnce = Callable[[str, int | None], TrialFolder]


class Killed(BaseException):
    """As abrupt as a kill: nothing catches it."""


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> RunOnce:
    """The folder of the tiny trial, in what `auto` stands for, to its end or killed after an epoch."""

    @once
    def run(bfloat16: str, last: int | None) -> TrialFolder:
        def kill(epoch: int, metrics: dict[str, float]) -> None:
            if epoch == last:
                raise Killed

        folder = Store.of("once", tmp_path_factory.mktemp("once")).trial("t")
        try:
            run_trial(undrawn(resolve(TrialConfig(**TINY))), folder, threads=1, report=kill)
        except Killed:
            assert last is not None
        return folder

    return run


@pytest.fixture
def whole(run_once: RunOnce, own_folders: None) -> TrialFolder:
    """The tiny trial, finished."""
    return run_once(os.environ.get("STUDY_BFLOAT16", ""), None)


@pytest.fixture
def begun(run_once: RunOnce, own_folders: None, tmp_path: Path) -> TrialFolder:
    """A copy of the tiny trial, which was killed after its second of three epochs."""
    folder = Store.of("s", tmp_path).trial("begun")
    shutil.copytree(run_once(os.environ.get("STUDY_BFLOAT16", ""), 2).path, folder.path)
    return folder

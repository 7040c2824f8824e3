"""A trial over two processes has the metrics of one in one process, and goes on from its checkpoint when one dies."""

import multiprocessing
import pickle
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from study import ConfigError, Study, TrialConfig
from study.planning.plan import check_study
from study.planning.resolve import resolve
from study.storage.store import Store, TrialFolder
from study.trial.ranks import run_over_ranks
from study.trial.run import run_trial
from tests.conftest import TINY
from tests.trial.test_run import exact, numbers

pytestmark = pytest.mark.timeout(3600)  # on a busy machine the imports of two processes take minutes

MOCO: dict[str, Any] = {
    **TINY,
    "method": {"name": "moco", "queue_size": 128, "momentum": 0.9},
    "head": {"name": "mlp", "dim": 16, "batch_norm": "hidden"},
    "negatives": {"name": "uniform", "fraction": 0.5},
    "k": 32,
    "precision": "float32",
}
EPOCHS = 10
"""So many that a trial is not over before a process of it is killed."""


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    return Store.of("s", tmp_path).trial("shared")


def ranks() -> list[BaseProcess]:
    """In the order of their start."""
    return sorted(multiprocessing.active_children(), key=lambda process: process.pid or 0)


@pytest.mark.slow
def test_two_processes_have_the_metrics_of_one(tmp_path: Path, folder: TrialFolder) -> None:
    trial, alone = resolve(TrialConfig(**MOCO)), Store.of("s", tmp_path).trial("alone")
    epochs: list[int] = []
    shared = run_over_ranks(pickle.dumps(trial), folder, ranks=2, report=lambda epoch, _: epochs.append(epoch))
    assert shared.status == "finished", shared.reason
    assert epochs == [1, 2, 3]
    assert shared.environment["processes"] == 2
    assert numbers(shared) == pytest.approx(numbers(run_trial(trial, alone, threads=1)), rel=1e-3, abs=1e-3)
    assert not ranks()


@pytest.mark.slow
def test_a_trial_goes_on_to_the_same_numbers_when_one_of_its_processes_was_killed(
    tmp_path: Path, folder: TrialFolder
) -> None:
    pickled = pickle.dumps(resolve(TrialConfig(**{**MOCO, "epochs": EPOCHS})))

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 1:
            ranks()[1].kill()

    with pytest.raises(ChildProcessError, match="process 1 of the trial was killed by signal 9"):
        run_over_ranks(pickled, folder, ranks=2, report=kill)
    assert folder.status() == "started"
    assert not ranks()
    seen: list[int] = []
    done = run_over_ranks(pickled, folder, ranks=2, report=lambda epoch, _: seen.append(epoch))
    assert done.status == "finished", done.reason
    assert seen[-1] == EPOCHS
    assert 1 not in seen
    assert [line["epoch"] for line in folder.journal()] == list(range(1, EPOCHS + 1))
    undisturbed = Store.of("s", tmp_path).trial("undisturbed")
    assert numbers(done) == numbers(run_over_ranks(pickled, undisturbed, ranks=2))
    of_both = [[exact(line["metrics"]) for line in at.journal()] for at in (folder, undisturbed)]
    assert of_both[0] == of_both[1]
    assert all("train.loss" in epoch for epoch in of_both[0])


@pytest.mark.slow
def test_a_failure_over_two_processes_has_the_reason_of_one(folder: TrialFolder) -> None:
    explosive = {"name": "sgd", "learning_rate": 1e30, "warmup_epochs": 0}
    result = run_over_ranks(pickle.dumps(resolve(TrialConfig(**TINY, optimizer=explosive))), folder, ranks=2)
    assert result.status == "failed"
    assert "at epoch 1, step" in (result.reason or "")
    assert folder.result() == result


@pytest.mark.parametrize(
    ("base", "settings", "problem"),
    [
        ({"batch_size": 63}, {"processes": 2}, "batch_size: 63 does not part into equal shares of 2 processes"),
        ({"batch_size": 64}, {"gpus": 3}, "batch_size: 64 does not part into equal shares of 3 processes"),
        (
            {"batch_size": 60, "method": {"name": "moco", "queue_size": 64, "batch_norm": "split", "parts": 3}},
            {"gpus": 2},
            "method: moco: 2 processes do not share 3 parts of a batch equally",
        ),
    ],
)
def test_steps_that_the_processes_cannot_share_are_refused(
    base: dict[str, Any], settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        check_study(Study("s", base=TrialConfig(**{**TINY, **base}), cpus=2, **settings))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"processes": 0}, "processes must be a whole number of at least 1, got 0"),
        ({"processes": 2, "gpus": 1}, "a trial with gpus=1 has one on each GPU; leave processes out"),
        ({"processes": 2}, "processes=2 of a trial need a core each, and cpus=1; set cpus=2"),
    ],
)
def test_numbers_of_processes_that_cannot_be_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Study("s", base=TrialConfig(**TINY), **settings)


def test_the_number_of_processes_is_no_part_of_a_trials_identity() -> None:
    base = TrialConfig(**TINY)
    settings: list[dict[str, Any]] = [{}, {"gpus": 4}, {"processes": 2, "cpus": 2}]
    assert len({trial.id for more in settings for trial in check_study(Study("s", base=base, **more))}) == 1

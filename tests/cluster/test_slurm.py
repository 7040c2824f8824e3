"""A study on a real Slurm on loopback: sessions of an array and of a job beside it, one of them requeued half-way; a
cluster of two nodes."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.storage.store import Store
from study.tracking.queries import states
from tests.cluster import slurm
from tests.clusters import ROOT
from tests.conftest import TINY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    # sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.skipif(slurm.missing() is not None, reason=str(slurm.missing())),
]

EPOCHS = 100
RECIPE = f"""
from study import Study, TrialConfig, grid
study = Study("batched", base=TrialConfig(**{TINY | {"epochs": EPOCHS}!r}), space={{"k": grid(8, 32)}}, seeds=4)
"""
SCRIPT = str(ROOT / "deploy" / "slurm.sbatch")


@pytest.fixture(scope="module")
def batch() -> Iterator[slurm.Slurm]:
    with slurm.slurm({"one": 2, "two": 2}) as started:
        yield started


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE)
    return path


def variables(folder: Path) -> dict[str, str]:
    shared = {"STUDY_STORAGE": str(folder / "runs"), "STUDY_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return shared | {"PYTHONPATH": str(ROOT), "RAY_HEAD_IP": "127.0.0.2", "MLFLOW_TRACKING_URI": ""}


def half_way(folder: Path, trials: int, timeout: float = 600) -> None:
    """Return once so many trials are under way at once."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        begun = [trial for trial in Store.of("batched", folder / "runs").trials() if trial.status() == "started"]
        if sum(len(trial.journal()) > 2 for trial in begun) >= trials:
            return
        time.sleep(0.2)
    raise AssertionError("too few trials began: " + "".join(path.read_text() for path in folder.glob("*.log")))


def assert_each_once(folder: Path, said: str) -> None:
    """Eight trials, each with one result and every epoch once, here and in MLflow."""
    trials = list(Store.of("batched", folder / "runs").trials())
    assert [trial.status() for trial in trials] == ["finished"] * 8, said
    for trial in trials:
        assert [line["epoch"] for line in trial.journal()] == list(range(1, EPOCHS + 1))
    planned, tracked = states("batched", None, folder / "runs")
    assert planned == 8
    assert sorted(state["trial_id"] for state in tracked) == sorted(trial.id for trial in trials)
    assert {state["status"] for state in tracked} == {"finished"}


@pytest.fixture
def script_of_its_own_machine(tmp_path: Path) -> str:
    """The script in a space of process ids of its own, by which sessions tell machines apart: these nodes are one."""
    header = [line for line in Path(SCRIPT).read_text().splitlines() if line.startswith(("#!", "#SBATCH"))]
    command = f'exec unshare --pid --fork --kill-child --mount-proc bash {SCRIPT} "$@"'
    path = tmp_path / "own.sbatch"
    path.write_text("\n".join([*header, command, ""]))
    return str(path)


def waits(log: Path) -> bool:
    """Whether the session leaves MLflow's database to one of another machine."""
    return "a SQLite file takes one machine at a time" in log.read_text()


def test_of_an_array_and_a_job_beside_it_one_writes_mlflow_and_requeued_half_way_loses_no_trial_and_doubles_none(
    batch: slurm.Slurm, recipe: Path, tmp_path: Path, script_of_its_own_machine: str
) -> None:
    def submit(*options: str) -> str:
        command = ["--cpus-per-task=1", *options, script_of_its_own_machine, str(recipe)]
        return batch.submit(*command, **variables(tmp_path))

    array, beside = submit("--array=0-1", f"--output={tmp_path}/%a.log"), submit(f"--output={tmp_path}/beside.log")
    jobs = {f"{array}_0": tmp_path / "0.log", f"{array}_1": tmp_path / "1.log", beside: tmp_path / "beside.log"}
    half_way(tmp_path, trials=3)  # one of each session
    (writer,) = [job for job, log in jobs.items() if not waits(log)]
    batch.call("scontrol", "requeue", writer)
    batch.wait(900)
    said = "\n".join(path.read_text() for path in jobs.values())
    assert {job: batch.restarts(job) for job in jobs} == {job: int(job == writer) for job in jobs}, said
    assert_each_once(tmp_path, said)


def test_a_cluster_of_two_nodes_that_is_warned_of_its_time_limit_ends_cleanly_and_goes_on_requeued(
    batch: slurm.Slurm, recipe: Path, tmp_path: Path
) -> None:
    options = ["--nodes=2", "--cpus-per-task=1", f"--output={tmp_path}/job.log", SCRIPT, str(recipe)]
    job = batch.submit(*options, **variables(tmp_path))
    half_way(tmp_path, trials=1)
    batch.call("scancel", "--batch", "--signal=USR1", job)  # as Slurm does before the time is over
    batch.wait(900)
    said = (tmp_path / "job.log").read_text()
    assert batch.restarts(job) == 1
    assert said.count("finished trials are kept") == 1
    assert_each_once(tmp_path, said)

"""A study submitted to a cluster of two nodes: the numbers of a local run, its exit status, and what is refused."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from study.storage.store import Store
from tests.clusters import BIN, ROOT, Cluster, cluster
from tests.conftest import TINY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RECIPE = f"""
from study import Study, TrialConfig, grid
study = Study("submitted", base=TrialConfig(**{TINY | {"epochs": 2}!r}), space={{"k": grid(8, 32)}}, seeds=2)
"""
MEASURED = ("time.", "memory.", "train.views_per_s")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("submission")
    (path / "recipe.py").write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Cluster]:
    variables = {"STUDY_STORAGE": str(folder / "runs"), "STUDY_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    variables |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONPATH": str(ROOT)}
    with cluster(folder, nodes=2, variables=variables) as started:
        yield started


def numbers(storage: Path) -> dict[str, dict[str, float]]:
    """Of each trial what does not depend on the clock."""
    found: dict[str, dict[str, float]] = {}
    for trial in Store.of("submitted", storage).trials():
        result = trial.result()
        assert result is not None
        assert result.status == "finished"
        found[trial.id] = {n: v for n, v in result.metrics.items() if not n.startswith(MEASURED)}
    return found


def run(arguments: list[str], environment: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=400, **options)


def test_a_submitted_study_gives_the_numbers_of_a_local_run_and_its_exit_status(running: Cluster, folder: Path) -> None:
    done = running.submit(f"study run {folder}/recipe.py")
    assert done.returncode == 0, done.stdout
    assert "were uploaded; on 127.0.0.2" in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith(("1/4", "2/4", "3/4", "4/4"))]) == 4
    assert len(done.stdout.splitlines()) < 80, done.stdout
    assert "\x1b[2K" not in done.stdout  # no bar is redrawn
    local = {**os.environ, "STUDY_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    local.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "study.cli", "run", str(folder / "recipe.py"), "--storage", str(folder / "local")]
    assert run(command, local, cwd=folder).returncode == 0
    submitted = numbers(folder / "runs")
    assert len(submitted) == 4
    assert submitted == numbers(folder / "local")


def test_a_wrong_study_returns_its_exit_status_and_says_what_to_type(running: Cluster, folder: Path) -> None:
    done = running.submit(f"study run {folder}/recipe.py --set tempreture=1; test $? = 2")
    assert done.returncode == 0, done.stdout
    assert "tempreture: no such key; did you mean 'temperature'?" in done.stdout
    assert running.submit("study run quickstrat").returncode != 0


def test_a_wrong_token_is_refused_in_seconds_with_the_fix(running: Cluster, folder: Path) -> None:
    (folder / "wrong").write_text("0" * 32)
    wrong = running.environment | {"RAY_AUTH_TOKEN_PATH": str(folder / "wrong")}
    started = time.monotonic()
    done = run([str(BIN / "ray"), "job", "submit", "--address", running.dashboard, "--", "true"], wrong)
    assert done.returncode != 0
    assert "token" in done.stderr + done.stdout
    command = [sys.executable, "-m", "study.cli", "run", str(folder / "recipe.py"), "--address", running.address]
    done = run([*command, "--storage", str(folder / "refused")], wrong, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert "does not take this machine's token: put the cluster's into" in done.stderr
    assert time.monotonic() - started < 120


def test_a_cluster_that_nobody_runs_is_refused_in_seconds(running: Cluster, folder: Path) -> None:
    started = time.monotonic()
    command = [sys.executable, "-m", "study.cli", "run", str(folder / "recipe.py"), "--address", "127.0.0.1:1"]
    done = run([*command, "--storage", str(folder / "refused"), "--json"], running.environment, cwd=folder)
    assert done.returncode == 2
    assert "start one with `ray start --head`" in done.stderr
    assert time.monotonic() - started < 60


def test_resources_that_no_node_has_are_refused_in_the_job(running: Cluster, folder: Path) -> None:
    done = running.submit(f"study run {folder}/recipe.py --set gpus=1 --set epochs=1")
    assert done.returncode != 0
    assert "is more than any node has (1 CPUs and 0 GPUs, 1 CPUs and 0 GPUs)" in done.stdout
    assert json.loads((folder / "runs/submitted/plan.json").read_text())["trials"] == 4

"""A job's driver: what it connects to, what was uploaded for it, and a working directory that Ray replaced."""

import json
import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from study import ConfigError
from study.execution import job
from tests.clusters import ROOT

OF_JOB = json.dumps({"metadata": {"job_submission_id": "raysubmit_1"}})


@pytest.fixture
def in_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(job.JOB_VARIABLE, OF_JOB)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.2:1234")
    monkeypatch.delenv("STUDY_STORAGE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_job_connects_to_its_own_cluster(in_job: Path) -> None:
    assert job.cluster_of_job() == "127.0.0.2:1234"


def test_outside_a_job_the_address_for_submissions_is_not_taken_for_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    assert job.cluster_of_job() is None


def test_results_in_the_uploaded_folder_are_refused(in_job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="set STUDY_STORAGE on the cluster"):
        job.check_storage(None)
    job.check_storage("s3://bucket/runs")
    monkeypatch.setenv("STUDY_STORAGE", "/mnt/runs")
    job.check_storage(None)


def test_a_job_tells_what_was_uploaded_and_refuses_too_much(in_job: Path) -> None:
    (in_job / "code.py").write_bytes(b" " * 2**20)
    assert job.described() == "raysubmit_1: 1 files of 1.0 MiB were uploaded; on 127.0.0.2:1234"
    (in_job / "data.tar").write_bytes(b" " * (21 * 2**20))
    with pytest.raises(ConfigError, match=r"22 MiB of code were uploaded, more than 20; the largest file is data\.tar"):
        job.described()


def test_nodes_that_the_autoscaler_can_add_are_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(job.NODES_TO_COME, raising=False)
    assert job.nodes_to_come() == {}
    monkeypatch.setenv(job.NODES_TO_COME, '{"CPU": 8, "GPU": 1}')
    assert job.nodes_to_come() == {"CPU": 8, "GPU": 1}
    monkeypatch.setenv(job.NODES_TO_COME, "CPU=8")
    with pytest.raises(ConfigError, match="must be JSON such as"):
        job.nodes_to_come()


def test_torch_loads_where_the_working_directory_is_gone(tmp_path: Path) -> None:
    """Without `load_torch` oneMKL ends the process."""
    code = (
        "import os\nos.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "from study.execution.job import load_torch\nload_torch()\nimport torch\n"
        "print(os.getcwd(), (torch.ones(64, 64) @ torch.ones(64, 64))[0, 0].item())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PWD": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path} 64.0\n", done.stderr


def test_a_job_goes_on_where_ray_replaced_the_uploaded_folder(tmp_path: Path) -> None:
    """Relative paths, imports and torch, in a driver whose working directory was swapped under it."""
    uploaded = tmp_path / "uploaded"
    uploaded.mkdir()
    (uploaded / "mine.py").write_text("answer = 42")
    code = (
        "import os, shutil, sys\nfrom study.execution import job\n"
        "here = os.getcwd()\nshutil.copytree(here, here + '.new')\n"
        "shutil.rmtree(here)\nos.rename(here + '.new', here)\n"
        "job.enter_own_folder()\nshutil.rmtree(here)\n"
        "import mine, torch\nfrom pathlib import Path\n"
        "ones = torch.ones(64, 64)\n"
        "print(Path('mine.py').absolute().exists(), mine.answer, (ones @ ones).max().item())\n"
        "print(os.getcwd())"
    )
    environment = {**os.environ, "PYTHONPATH": f"{uploaded}:{ROOT}", "PWD": str(uploaded)}
    done = subprocess.run([sys.executable, "-c", code], cwd=uploaded, env=environment, capture_output=True, text=True)
    said, own = done.stdout.splitlines() or (done.stderr, "")
    assert said == "True 42 64.0"
    assert not Path(own).exists()  # removed at the end


@pytest.mark.filterwarnings("ignore")  # Ray's own, at import
def test_what_a_submission_uploads_is_the_code_and_small(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    archive = tmp_path / "code.zip"
    create_package(
        str(ROOT), archive, include_gitignore=True, include_parent_dir=False, excludes=[], logger=logging.getLogger()
    )
    assert archive.stat().st_size < 3 * 2**20
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
    assert {"study/cli/verbs.py", "models/registry.py", "search_spaces/quickstart.py"} <= set(names)
    top = {name.split("/")[0] for name in names}
    assert not top & {"docs", "runs", "mlruns", "mlflow.db", ".git", ".venv", "tests", "requirements.lock"}

"""Preparation of a job of a Ray cluster (`ray job submit … -- study run NAME`). Imports neither ray nor torch."""

import atexit
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from study.config import ConfigError

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it for a job's driver."""
NODES_TO_COME = "STUDY_NODES_TO_COME"
"""Resources of a node that the cluster's autoscaler can add, as JSON: {"CPU": 8, "GPU": 1}."""
UPLOAD_LIMIT_MIB = 20
"""Of the code that travels with a job; Ray refuses hundreds of MiB, and carries each of them to every node."""

TRIES = 10


def job() -> str | None:
    """The job's id where this process is its driver."""
    with suppress(KeyError, ValueError):
        return json.loads(os.environ[JOB_VARIABLE])["metadata"]["job_submission_id"]
    return None


def cluster_of_job() -> str | None:
    """The address of the job's own cluster; a RAY_ADDRESS that a user has set is for `ray job submit`, not for this."""
    return os.environ.get("RAY_ADDRESS") if job() else None


def nodes_to_come() -> dict[str, float]:
    """The resources of a node that is started when a trial waits for it; empty where none is."""
    text = os.environ.get(NODES_TO_COME) or "{}"
    try:
        return {name: float(count) for name, count in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        raise ConfigError([f'{NODES_TO_COME}: must be JSON such as {{"CPU": 8, "GPU": 1}}, got {text!r}']) from None


def check_storage(storage: object) -> None:
    """Refuse results in the folder of the uploaded code, which Ray deletes with the job."""
    if job() and not storage and not os.environ.get("STUDY_STORAGE"):
        raise ConfigError(
            ["storage: a job's own folder is deleted with it; give --storage, or set STUDY_STORAGE on the cluster, "
             "to a bucket (s3://…) or a folder that all nodes share"]
        )  # fmt: skip


def described() -> str:
    """The job's id and what was uploaded for it; ConfigError where that is too much."""
    files = [path for path in Path.cwd().rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    mib = sum(path.stat().st_size for path in files) / 2**20
    if mib > UPLOAD_LIMIT_MIB:
        largest = max(files, key=lambda path: path.stat().st_size).relative_to(Path.cwd())
        raise ConfigError(
            [f"working-dir: {mib:,.0f} MiB of code were uploaded, more than {UPLOAD_LIMIT_MIB}; the largest file is "
             f"{largest}: name it in .rayignore, and point data.root at data on the cluster"]
        )  # fmt: skip
    return f"{job()}: {len(files)} files of {mib:.1f} MiB were uploaded; on {cluster_of_job()}"


def _here() -> str:
    """The working directory's name, also where the folder itself is gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return os.environ.get("PWD", "/")


def enter_own_folder() -> None:
    """Go on in a copy of the uploaded code, which is this process's alone.

    Ray replaces a job's working directory by a new one of the same name when a second runtime environment with the same
    code is set up on the machine. Whoever stood in the old one then has no working directory: paths cannot be made
    absolute, and oneMKL, which torch loads, ends the process.
    """
    uploaded = _here()
    own = tempfile.mkdtemp(prefix="study-job-")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    for attempt in range(TRIES):
        try:
            shutil.copytree(uploaded, own, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            break
        except (OSError, shutil.Error):  # it is being replaced just now
            if attempt == TRIES - 1:
                raise
            time.sleep(0.5)
    os.chdir(own)
    sys.path[:] = [own if path == uploaded else path for path in sys.path]


def load_torch() -> None:
    """Import torch from a folder that cannot go away: see `enter_own_folder`."""
    here = _here()
    os.chdir("/")
    try:
        import torch  # noqa: F401
    finally:
        with suppress(FileNotFoundError):
            os.chdir(here)

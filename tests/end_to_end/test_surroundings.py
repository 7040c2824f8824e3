"""The command where it may not write: a user whom the system does not know, without a home, with a long TMPDIR."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import TINY

pytestmark = pytest.mark.timeout(900)  # on a busy machine
ROOT = Path(__file__).parents[2]
UNKNOWN = 54321
"""A user whom no machine knows; it may read all that these tests may."""
READS = "+dac_read_search"
AS_UNKNOWN = ["setpriv", f"--reuid={UNKNOWN}", f"--regid={UNKNOWN}", "--clear-groups", f"--inh-caps={READS}",
              f"--ambient-caps={READS}"]  # fmt: skip
OWN = ("HOME", "TMPDIR", "RAY_", "STUDY_", "MPLCONFIGDIR", "XDG_")
Study = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """`study VERB mine.py` as a user who may write to a folder of short name alone, with these variables."""
    if os.getuid() == 0 and subprocess.run([*AS_UNKNOWN, "true"], capture_output=True).returncode:
        pytest.skip("neither a user without rights nor one who may become so (setpriv)")
    folder = Path(tempfile.mkdtemp(prefix="s-", dir="/tmp"))
    (folder / "mine.py").write_text(
        "from study import Study, TrialConfig\n"
        f"study = Study('mine', base=TrialConfig(**{TINY | {'epochs': 1, 'evaluations': ['mean_classifier']}!r}))\n"
    )
    (folder / ("long" * 20)).mkdir()
    if os.getuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, UNKNOWN, UNKNOWN)

    def run(verb: str, **variables: str) -> subprocess.CompletedProcess[str]:
        usual = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        places = {name: value.format(folder) for name, value in variables.items()}
        command = [sys.executable, "-m", "study.cli", verb, "mine.py", "--storage", f"{folder}/runs"]
        return subprocess.run(
            [*(AS_UNKNOWN if os.getuid() == 0 else []), *command, *(["--tracking-uri", "off"] * (verb == "run"))],
            env=usual | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | places,
            cwd=folder, capture_output=True, text=True,
        )  # fmt: skip

    yield run
    shutil.rmtree(folder)


LONG = "{}/" + "long" * 20


def test_without_a_home_the_variable_of_the_cache_is_named(study: Study) -> None:
    variables = {} if os.getuid() == 0 else {"HOME": "/proc/nowhere"}  # who is known has a home without HOME
    done = study("plan", **variables)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "/.cache/negatives-study/data cannot be written to" in done.stderr
    assert "set STUDY_CACHE to a folder that can" in done.stderr


def test_with_a_cache_a_trial_needs_neither_a_home_nor_a_short_folder_of_temporary_files(study: Study) -> None:
    done = study("trial", TMPDIR=LONG, STUDY_CACHE="{}/cache")
    assert done.returncode == 0, done.stderr
    assert " finished" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_run_needs_no_home_and_names_a_folder_too_long_for_sockets(study: Study) -> None:
    done = study("run", TMPDIR=LONG, STUDY_CACHE="{}/cache")
    assert done.returncode == 2
    assert "is too long: the path of a socket of Ray" in done.stderr
    assert "set RAY_TMPDIR=/tmp" in done.stderr
    done = study("run", TMPDIR=LONG, STUDY_CACHE="{}/cache", RAY_TMPDIR="{}")
    assert done.returncode == 0, done.stderr
    assert "1/1" in done.stderr

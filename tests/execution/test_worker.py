"""A worker's end is told with its reason, and what would end every worker is refused before one starts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.cli import main
from study.config import ConfigError
from study.execution.connection import _interrupted_afterwards, _token_without_home, check_machine
from study.execution.proposals import _reason
from study.execution.worker import not_found_again
from study.recipes import load
from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
OF_AN_IMPORT = """The actor died unexpectedly before finishing this task.
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Traceback
ray.exceptions.RaySystemError: System error: No module named 'models.registry'; 'models' is not a package
  File "/app/study/config.py", line 17, in <module>
    from models.registry import Registry, did_you_mean
ModuleNotFoundError: No module named 'models.registry'; 'models' is not a package

An unexpected internal error occurred while the worker was executing a task."""


def test_the_error_that_a_worker_died_of_is_the_reason() -> None:
    assert _reason(OF_AN_IMPORT).endswith(
        "of ModuleNotFoundError: No module named 'models.registry'; 'models' is not a package"
    )
    assert "if memory ran out" in _reason("The actor died unexpectedly before finishing this task.\n\tpid: 1")
    assert "ran out of memory" in _reason("Task was killed due to the node running low on memory.")


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["models", "study"])
def test_a_file_that_hides_the_package_from_workers_is_refused(name: str, usual: Path) -> None:
    check_machine()
    (usual / f"{name}.py").write_text("")
    with pytest.raises(ConfigError, match=rf"^{usual}/{name}.py hides this package's `{name}` .*; rename it") as error:
        check_machine()
    assert len(error.value.problems) == 1


def test_a_folder_of_ones_own_models_without_code_hides_nothing(usual: Path) -> None:
    (usual / "models").mkdir()
    (usual / "models" / "resnet.pt").write_bytes(b"")
    check_machine()


def test_a_temporary_folder_too_long_for_sockets_is_refused(usual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = usual / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    with pytest.raises(ConfigError, match=rf"^TMPDIR={long} is too long: .* of at most 107; set RAY_TMPDIR=/tmp"):
        check_machine()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    check_machine()
    monkeypatch.setenv("RAY_TMPDIR", "/nowhere")
    with pytest.raises(ConfigError, match=r"^RAY_TMPDIR=/nowhere cannot be written to; set RAY_TMPDIR"):
        check_machine()


def test_a_cache_that_cannot_be_written_is_refused_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STUDY_CACHE", "/proc/nowhere")
    (tmp_path / "mine.py").write_text(f"from study import *\nstudy = Study('mine', base=TrialConfig(**{TINY!r}))")
    assert main(["plan", str(tmp_path / "mine.py")]) == 2
    assert "set STUDY_CACHE to a folder that can" in capsys.readouterr().err


def test_ray_gets_a_token_of_the_process_where_it_cannot_keep_one_at_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # what is set below goes again after the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    _token_without_home()
    assert "RAY_AUTH_TOKEN" not in os.environ, "Ray keeps its own there"
    monkeypatch.setenv("HOME", "/proc/nowhere")
    _token_without_home()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    _token_without_home()
    assert os.environ["RAY_AUTH_TOKEN"] == "mine"


@pytest.mark.parametrize("theirs", ["models.py", "models/__init__.py"])
def test_a_models_file_or_package_beside_a_script_is_named(tmp_path: Path, theirs: str) -> None:
    (tmp_path / theirs).parent.mkdir(exist_ok=True)
    (tmp_path / theirs).write_text("")
    (tmp_path / "mine.py").write_text("from study import Study")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.stderr.splitlines()[-1].endswith(
        f"{tmp_path}/{theirs.removesuffix('/__init__.py')} hides this package's `models`; rename it, such as my_models"
    )


def test_sigterm_ends_a_command_like_ctrl_c(tmp_path: Path) -> None:
    recipe = f"from study import *\nstudy = Study('mine', base=TrialConfig(**{TINY | {'epochs': 10_000}!r}))"
    (tmp_path / "mine.py").write_text(recipe)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STUDY_STORAGE": str(tmp_path / "runs")}
    command = [sys.executable, "-m", "study.cli", "trial", "mine.py"]
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("runs/mine/*/journal.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        _, told = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 143
    assert told.splitlines()[-1] == "ended; finished trials are kept. To go on: study trial mine.py"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell lets what it starts in the background ignore SIGINT, and that is inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_waits_for_rays_start_and_a_second_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def interrupted(times: int) -> None:
        with _interrupted_afterwards():
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            done.append(times)

    for times in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            interrupted(times)
    monkeypatch.setattr(signal, "raise_signal", done.append)
    with _interrupted_afterwards():
        sys.exit(signal.SIGTERM)  # as Ray does
    assert done == [1, signal.SIGTERM]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("name", ["exp.v2.py", "exp.py"])
def test_a_study_yaml_that_could_not_import_its_components_again_is_announced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(
        "from models.objectives import OBJECTIVES, info_nce\nfrom study import *\n"
        "def mine(positive, negatives, *, temperature, log_weight=None):\n    'Mine.'\n"
        "    return info_nce(positive, negatives, temperature=temperature, log_weight=log_weight)\n"
        f"OBJECTIVES.register('of-{name}', directions='one')(mine)\n"
        f"study = Study('mine', base=TrialConfig(**{TINY | {'objective': f'of-{name}'}!r}))\n"
    )
    told = not_found_again(load(str(tmp_path / name)).trials())
    start = "study.yaml alone will not run again: components are defined in exp.v2, which no import finds"
    assert told.startswith(start) if name == "exp.v2.py" else told == ""

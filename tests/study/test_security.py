"""A study runs no code that it reads as data, writes no secret, and serves this machine alone."""

import ast
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from study import Study, TrialConfig
from study.cli import main
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.tracking.tracker import Tracker
from study.trial.run import run_trial
from tests.clusters import ROOT, free_ports
from tests.conftest import TINY, undrawn

SOURCES = sorted(path for package in ("models", "study", "search_spaces") for path in (ROOT / package).rglob("*.py"))


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


def called(call: ast.Call) -> str:
    return ast.unparse(call.func)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_reads_what_could_run_code(path: Path) -> None:
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if (path.name, called(call)) == ("ranks.py", "pickle.loads"):
            continue  # of the process that started this one, as multiprocessing itself does
        assert called(call) not in ("eval", "exec", "yaml.load", "pickle.load", "pickle.loads", "yaml.unsafe_load")
        assert not called(call).endswith((".extractall", ".unpack_archive"))
        assert options.get("shell") != "True"
        if called(call) == "torch.load":
            assert options["weights_only"] == "True"
        if called(call) == "np.load":
            assert options["allow_pickle"] == "False"


def test_a_checkpoint_that_holds_code_is_set_aside_and_its_code_does_not_run(tmp_path: Path) -> None:
    trial = undrawn(Study("s", base=TrialConfig(**TINY | {"epochs": 1, "evaluations": ["knn"]})).trials()[0])
    folder = Store.of("s", tmp_path).trial(trial.id)
    checkpoint = tmp_path / "s" / trial.id / "checkpoints" / "000001.pt"
    checkpoint.parent.mkdir(parents=True)
    torch.save(Payload(tmp_path / "made"), checkpoint)
    assert len(folder.checkpoints()) == 1
    assert run_trial(trial, folder).status == "finished"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("where", ["study.yaml", "--set"])
def test_yaml_that_holds_code_is_refused_and_its_code_does_not_run(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = f"!!python/object/apply:os.mkdir [{tmp_path / 'made'}]"
    (tmp_path / "study.yaml").write_text(f"name: s\nquestion: {code if where == 'study.yaml' else 'Q'}\n")
    override = ["--set", f"question={code}"] if where == "--set" else []
    assert main(["plan", str(tmp_path / "study.yaml"), *override]) == 2
    assert "YAML" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_no_secret_reaches_params_tags_or_artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    config = TINY | {"epochs": 1, "data": {**TINY["data"], "root": "https://ada:hunter2@host/x?token=hunter2"}}
    store = Store.of("s", tmp_path / "runs")
    folder = store.trial("aaa")
    folder.write_config({"config": {**config, "seed": 0}, "cell": {"data": config["data"]}, "seed": 0})
    reason = "no answer of https://ada:hunter2@host (password=hunter2)"
    now = time.time()
    folder.write_result(TrialResult(status="failed", reason=reason, started=now, ended=now))
    tracker = Tracker("s", store, f"sqlite:///{tmp_path}/mlflow.db", owner="ada")
    tracker.open("name: s\nquestion: see https://ada:hunter2@host\n", {"root": "https://ada:hunter2@host"})
    assert tracker.sync()
    tracked = [tmp_path / "mlflow.db", *(path for path in tmp_path.rglob("*artifacts*/**/*") if path.is_file())]
    assert len(tracked) > 2
    assert all(b"hunter2" not in path.read_bytes() for path in tracked)
    assert b"https://host" in (tmp_path / "mlflow.db").read_bytes()


def test_the_hint_after_an_interrupt_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("study.cli.verbs.load_target", interrupt)
    assert main(["run", "quickstart", "--tracking-uri", "http://ada:hunter2@host:5000"]) == 130
    assert "hunter2" not in capsys.readouterr().err


def listening(process: subprocess.Popen[bytes]) -> set[str]:
    """Addresses at which a process or one of its children listens."""
    found = set()
    for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {line.laddr.ip for line in one.net_connections("tcp") if line.status == psutil.CONN_LISTEN}
    return found


@pytest.mark.slow
def test_mlflows_pages_are_served_on_loopback_alone(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "study.cli", "ui", "--storage", str(tmp_path), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (found := listening(process)) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.5)
        assert found == {"127.0.0.1"}
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(30)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


LOCAL = """
import psutil
from study.execution.connection import connected

with connected(None):
    import ray
    from ray._raylet import AuthenticationMode, get_authentication_mode
    from ray._private.worker import _global_node

    @ray.remote
    class Trial:
        def work(self):
            pass

    trial = Trial.remote()
    ray.get(trial.work.remote())
    assert get_authentication_mode() == AuthenticationMode.TOKEN
    assert not _global_node.webui_url
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        for line in process.net_connections("tcp"):
            if line.status == psutil.CONN_LISTEN:
                print(line.laddr.ip.removeprefix("::ffff:"))
"""


@pytest.mark.slow
def test_ray_on_this_machine_listens_to_it_alone_has_no_dashboard_and_asks_for_a_token(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", LOCAL], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    found = done.stdout.split()
    assert len(found) > 4  # control store, raylet, its agents, driver, worker
    assert set(found) == {"127.0.0.1"}

"""`study ui` serves MLflow's pages on this machine, and leaves nothing behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from study.cli import main
from study.tracking.pages.ui import _run
from tests.clusters import free_ports


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def ui(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").touch()
    command = [sys.executable, "-m", "study.cli", "ui", "--storage", str(tmp_path), "--port", str(port)]
    with (tmp_path / "log").open("w") as log, psutil.Popen(command, stdout=log, stderr=log) as process:
        yield process
        for left in (*family(process), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()


def family(process: psutil.Popen) -> list[psutil.Process]:
    return process.children(recursive=True) if process.is_running() else []


def until(true: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_with_its_server_while_that_starts(ui: psutil.Popen, number: int) -> None:
    until(lambda: family(ui), 60)
    servers = family(ui)
    ui.send_signal(number)
    assert ui.wait(20) == 0
    assert not psutil.wait_procs(servers, 5)[1]


def test_a_signal_that_comes_while_the_server_is_being_made_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[subprocess.Popen] = []
    real = subprocess.Popen

    def popen(command: list[str], **options: object) -> subprocess.Popen:
        made.append(real(command, start_new_session=True))
        os.kill(os.getpid(), signal.SIGTERM)  # before whoever asked for the server has it
        return made[0]

    monkeypatch.setattr(subprocess, "Popen", popen)
    before = signal.getsignal(signal.SIGTERM)  # Ray's, where it was started in this process
    assert _run([sys.executable, "-c", "import time; time.sleep(60)"], {}) == 0
    assert made[0].poll() is not None
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_one_process_serves_the_pages_and_the_port_is_free_after_sigterm(ui: psutil.Popen, port: int) -> None:
    until(lambda: answers(port), 200)
    time.sleep(5)  # in which job runners would come
    servers = family(ui)
    commands = [" ".join(server.cmdline()) for server in servers]
    assert len(servers) == 1, commands
    ui.terminate()
    assert ui.wait(20) == 0
    assert not psutil.wait_procs(servers, 5)[1]
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))


def test_a_taken_port_is_refused_with_one_that_is_free(
    tmp_path: Path, port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert main(["ui", "--storage", str(tmp_path), "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"port {port} of this machine cannot be used (Address already in use); write --port " in said
    another = int(said.rpartition("--port ")[2])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", another))

"""MLflow's pages on this machine, until whoever asked for them ends."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from study.storage.store import default_storage, location
from study.tracking import uri as tracking_uri
from study.tracking.client import SETTINGS
from study.tracking.uri import TrackingRefused, without_secrets

HOST = "127.0.0.1"
ENDS = 5.0
"""Seconds that the server may take to end."""


def serve(uri: str | None, storage: Path | str | None, *, port: int) -> int:
    """MLflow's pages on this machine's loopback, until interrupted or ended; the server's exit status.

    Raises TrackingRefused where the port is taken, where the URI is that of a server, and where it cannot be used.
    """
    uri = tracking_uri.absolute(uri, location(storage) if storage else default_storage())
    if uri.startswith(("http", "databricks")):
        raise TrackingRefused(f"{without_secrets(uri)} serves its own pages: open it in a browser")
    tracking_uri.check(uri)
    if why := _refused(port):
        another = next((n for n in range(port + 1, 65536) if n > 1023 and not _refused(n)), 5000)
        raise TrackingRefused(f"port {port} of this machine cannot be used ({why}); write --port {another}")
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    # By environment: a URI may hold a password, and a command line is open to everyone on the machine.
    return _run(command, {**SETTINGS, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ,
                          "MLFLOW_BACKEND_STORE_URI": uri})  # fmt: skip


def _refused(port: int) -> str:
    """Why nobody can listen there; empty where one can."""
    with closing(socket.socket()) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


class _Ended(Exception):
    """A signal that ends this process, and with it the server."""


def _run(command: list[str], environment: dict[str, str]) -> int:
    """A server in a process group of its own, of which nothing is left afterwards."""

    def end(number: int, frame: Any) -> None:
        raise _Ended

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    server = None
    try:
        server = subprocess.Popen(command, env=environment, start_new_session=True)
        return server.wait()
    except _Ended:
        return 0
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        if server is not None:
            _end(server)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(server: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(ENDS)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()

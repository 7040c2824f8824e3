"""MLflow's pages on this machine, until whoever asked for them ends."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

from study.storage.store import default_storage, location
from study.tracking import uri as tracking_uri
from study.tracking.client import SETTINGS
from study.tracking.uri import TrackingRefused, without_secrets

HOST = "127.0.0.1"
ENDS = 5.0
"""Seconds that the server may take to end."""
LOOKS = 0.2
"""Seconds between two looks at whether a signal asks for the end."""


def serve(uri: str | None, storage: Path | str | None, study: str | None = None, *, port: int) -> int:
    """MLflow's pages on this machine's loopback, until interrupted or ended; the server's exit status. It says where a
    study's page is.

    Raises TrackingRefused where the port is taken, where the URI is that of a server, and where it cannot be used.
    """
    uri = tracking_uri.absolute(uri, location(storage) if storage else default_storage())
    if uri.startswith(("http", "databricks")):
        raise TrackingRefused(f"{without_secrets(uri)} serves its own pages: open it in a browser")
    tracking_uri.check(uri)
    if why := _refused(port):
        another = next((n for n in range(port + 1, 65536) if n > 1023 and not _refused(n)), 5000)
        raise TrackingRefused(f"port {port} of this machine cannot be used ({why}); write --port {another}")
    file = tracking_uri.database(uri)
    if file is not None and not file.exists():
        raise TrackingRefused(
            f"there is no database {file}; `study run NAME` begins one, or say where it is: --tracking-uri, --storage"
        )
    command = [sys.executable, "-m", "study.tracking.pages.server", str(port), *([study] if study else [])]
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


def _run(command: list[str], environment: dict[str, str]) -> int:
    """A server in a process group of its own, of which nothing is left afterwards.

    A signal is only noted, and looked at between waits: one that raised while the server is being made would lose it.
    """
    asked: list[int] = []
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, frame: asked.append(number)) for number in ends}
    server = None
    try:
        server = subprocess.Popen(command, env=environment, start_new_session=True)
        while not asked:
            with suppress(subprocess.TimeoutExpired):
                return server.wait(LOOKS)
        return 0
    finally:
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

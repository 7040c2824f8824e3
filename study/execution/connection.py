"""The connection to Ray: a cluster at an address, or Ray on this machine."""

import importlib
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.machinery import PathFinder
from pathlib import Path

import ray

from study.config import ConfigError
from study.execution import job, ray_compat
from study.machine.environment import cores
from study.planning.study_config import StudyConfig
from study.storage.code import OURS

SOCKET_PATH = 107
"""Bytes that the path of a socket has at most, on Linux."""
SOCKET = "/ray/session_2026-11-26_21-13-54_123456_4194304/sockets/plasma_store"
"""The longest that Ray makes in its folder of temporary files."""
STARTS = 3
"""Attempts to start Ray on this machine before that counts as impossible."""

ray_compat.set_environment()


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Ray: at an address, else on this machine; left as it was if it was connected."""
    if ray.is_initialized():
        yield
        return
    try:
        _connect(address)
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    """On a machine that is busy, Ray gives itself up after 30 s, with a bare Exception; the next start is quicker."""
    if address is None:
        _token_without_home()
    for attempt in range(1, STARTS + 1):
        try:
            with _interrupted_afterwards(), _for_itself() if address is None else nullcontext():
                ray.init(
                    address=address or "local",
                    num_cpus=cores() if address is None else None,
                    include_dashboard=False if address is None else None,
                    log_to_driver=False,
                    logging_level="ERROR",
                )
            return
        except Exception as error:
            ray.shutdown()
            if address is not None or attempt == STARTS:
                raise ConfigError([_refusal(address, error)]) from None


def _token_without_home() -> None:
    """Where Ray cannot keep its token, ~/.ray/auth_token, one that this process and those that it starts alone know."""
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        return
    try:
        folder = Path.home() / ".ray"
        folder.mkdir(parents=True, exist_ok=True)
        kept = (folder / "auth_token").exists() or os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # of a user whom the system does not know
        kept = False
    if not kept:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextmanager
def _for_itself() -> Iterator[None]:
    """Ray that starts within serves this process alone."""
    with ray_compat.on_loopback(), ray_compat.few_processes():
        yield


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """An interrupt within waits for the end, so that all that Ray has started is shut down: half-way it leaves
    processes, or ends in a segmentation fault. A second one does not wait. SIGTERM, which `ray.init` makes an exit of
    its own, does afterwards what it did."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def wait(number: int, frame: object) -> None:
        waiting.append(number)
        if len(waiting) > 1:
            restore()
            signal.raise_signal(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, wait) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit:  # Ray's own answer to SIGTERM
        waiting.append(signal.SIGTERM)
    finally:
        restore()
    if waiting:
        signal.raise_signal(waiting[0])


def _refusal(address: str | None, error: Exception) -> str:
    """Why Ray did not connect, in a line; a cluster that is there says no more to who does not show its token."""
    reason = str(error).partition("\n")[0].rstrip(".")
    if address is None:
        return (
            f"Ray did not start on this machine in {STARTS} attempts ({reason}); when it is less busy, run this again"
        )
    return (
        f"address: no Ray cluster answers at {address!r} ({reason}); if one runs there, it does not take this "
        "machine's token: put the cluster's into ~/.ray/auth_token (or RAY_AUTH_TOKEN_PATH), and set "
        "RAY_AUTH_MODE=token"
    )


def check_machine() -> None:
    """Refuse, before Ray starts on this machine, what its workers would fail of: ConfigError says what to set."""
    problems = [*_hidden(), *_sockets()]
    if problems:
        raise ConfigError(problems)


def _hidden() -> Iterator[str]:
    """Files that a worker would import in place of this package: it looks first where the driver's script is, and in
    the working folder."""
    for folder in dict.fromkeys([str(Path.cwd()), str(Path(sys.argv[0]).resolve().parent)]):
        for name in OURS[:2]:
            found = PathFinder.find_spec(name, [folder])
            ours = sys.modules[name] if name in sys.modules else importlib.import_module(name)
            if found and found.origin and ours.__file__ and not os.path.samefile(found.origin, ours.__file__):
                yield (
                    f"{found.origin} hides this package's `{name}` from the workers; rename it, such as "
                    f"my_{name}, or run from another folder"
                )


def _sockets() -> Iterator[str]:
    """Whether Ray's sockets can be made where temporary files are."""
    folder = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")
    variable = "RAY_TMPDIR" if os.environ.get("RAY_TMPDIR") else "TMPDIR"
    longest = len(os.fsencode(folder)) + len(SOCKET)
    if longest > SOCKET_PATH:
        yield (
            f"{variable}={folder} is too long: the path of a socket of Ray in it has {longest} bytes, of at most "
            f"{SOCKET_PATH}; set RAY_TMPDIR=/tmp, or another short path"
        )
    elif not (folder.is_dir() and os.access(folder, os.W_OK)):
        yield f"{variable}={folder} cannot be written to; set RAY_TMPDIR to a folder that can, such as /tmp"


def check_reachable(address: str | None) -> None:
    """Refuse an address that nobody listens at: Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ConfigError(
            [f"address: no Ray cluster answers at {address!r} ({error}); start one with `ray start --head`, or leave "
             "--address out to run on this machine"]
        ) from None  # fmt: skip


def check_resources(study: StudyConfig) -> None:
    """Refuse what no node of the cluster has, nor one that its autoscaler can add."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    nodes += [job.nodes_to_come()] if job.nodes_to_come() else []
    if any(node.get("CPU", 0) >= study.cpus and node.get("GPU", 0) >= study.gpus for node in nodes):
        return
    have = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
    raise ConfigError(
        [f"cpus={study.cpus:g}, gpus={study.gpus:g} per trial is more than any node has ({have}); lower cpus or gpus"]
    )

"""The connection to Ray: a cluster at an address, or Ray on this machine."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import ray

from study.config import ConfigError
from study.execution import job, ray_compat
from study.machine.environment import cores
from study.planning.study_config import StudyConfig

STARTS = 3
"""Attempts to start Ray on this machine before that counts as impossible."""

ray_compat.set_environment()


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Ray: at an address, else on this machine; left as it was if it was connected."""
    if ray.is_initialized():
        yield
        return
    _connect(address)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    """On a machine that is busy, Ray gives itself up after 30 s, with a bare Exception; the next start is quicker."""
    for attempt in range(1, STARTS + 1):
        try:
            with ray_compat.on_loopback() if address is None else nullcontext():
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

"""Ray clusters of several nodes on this machine's loopback, with token authentication, for tests.

    with cluster(tmp_path, nodes=2) as ray_cluster:
        done = ray_cluster.submit("study run quickstart")
        ray_cluster.nodes[1].kill()

Every process is started here, in a process group of its own, and only those are stopped.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
START_TIMEOUT = 120.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, chosen by the system, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def title(process: psutil.Process) -> str:
    """Ray's name of the process; empty for one that has just ended."""
    try:
        return process.cmdline()[0]
    except (psutil.Error, IndexError):
        return ""


@dataclass
class Node:
    """One raylet with its helpers, children of one `ray start --block`."""

    process: subprocess.Popen[bytes]
    log: Path

    def raylet(self) -> psutil.Process | None:
        """The process whose death is the node's; None while the node starts."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return next((child for child in children if child.name() == "raylet"), None)

    def workers(self) -> list[psutil.Process]:
        """The processes in which tasks and actors run."""
        raylet = self.raylet()
        titles = {child: title(child) for child in raylet.children()} if raylet else {}
        return [child for child, name in titles.items() if name.startswith("ray::") and not name.endswith("Agent")]

    def kill(self) -> None:
        """SIGKILL to the whole node at once, as when its machine loses power."""
        _kill(self._processes())
        self.process.wait(timeout=10)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to what is left."""
        started = self._processes()
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        _kill(started)
        self.process.wait(timeout=10)

    def _processes(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        return []


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # psutil knows a process that took over the number from its own
            process.kill()


@dataclass
class Cluster:
    """A head and more nodes; `environment` is what a client of it needs."""

    address: str
    """of the control store: for `study run --address`"""
    dashboard: str
    """for `ray job submit --address`"""
    environment: dict[str, str]
    folder: Path
    """of the logs"""
    nodes: list[Node] = field(default_factory=list)

    def add_node(self, cpus: int = 1) -> Node:
        """Another raylet."""
        node = _start(self, ["--address", self.address, "--num-cpus", str(cpus)], f"node-{len(self.nodes)}")
        self.nodes.append(node)
        return node

    def alive(self) -> int:
        """Nodes that answer; 0 while the dashboard does not take jobs yet."""
        token = Path(self.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
        request = urllib.request.Request(f"{self.dashboard}/nodes?view=summary")
        request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                nodes = json.load(answer)["data"]["summary"]
        except (OSError, KeyError):
            return 0
        return sum(node["raylet"].get("state") == "ALIVE" for node in nodes)

    def submit(
        self, entrypoint: str, *, working_dir: Path = ROOT, timeout: float = 300, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`ray job submit`, waited for: its exit status and everything that it printed."""
        return subprocess.run(
            [BIN / "ray", "job", "submit", "--address", self.dashboard, "--working-dir", working_dir, "--",
             "sh", "-c", entrypoint],
            env=self.environment | environment, text=True, timeout=timeout,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


@contextmanager
def cluster(
    folder: Path, *, nodes: int = 1, cpus: int = 1, variables: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """A head and `nodes` − 1 more raylets with `cpus` each, stopped at the end whatever happened.

    `variables` join the environment of its processes, and so of every job and trial. Paths of Ray's sockets must be
    short, so its files lie in a folder under /tmp and are removed.
    """
    port, dashboard = free_ports(2)
    token = folder / "token"
    token.write_text(secrets.token_hex(16))
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        **(variables or {}),
    }
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN"):
        environment.pop(name, None)
    made = Cluster(f"127.0.0.2:{port}", f"http://127.0.0.1:{dashboard}", environment, folder)
    head = ["--head", "--port", str(port), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)]
    head += ["--num-cpus", str(cpus), "--ray-client-server-port", str(free_ports(1)[0])]
    sockets = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    head += ["--temp-dir", sockets]
    try:
        made.nodes.append(_start(made, head, "head"))
        _wait(made, 1)
        for _ in range(nodes - 1):
            made.add_node(cpus)
        _wait(made, nodes)
        yield made
    finally:
        for node in reversed(made.nodes):
            node.stop()
        shutil.rmtree(sockets, ignore_errors=True)


def _start(made: Cluster, arguments: list[str], name: str) -> Node:
    log = made.folder / f"{name}.log"
    own = f"127.0.0.{len(made.nodes) + 2}"  # Ray takes 127.0.0.1 for «some address of this machine»
    listening = ["--node-ip-address", own, "--disable-usage-stats", "--object-store-memory", str(100 * 2**20)]
    listening += ["--dashboard-agent-listen-port", str(free_ports(1)[0])]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [BIN / "ray", "start", "--block", *arguments, *listening],
            env=made.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    return Node(process, log)


def _wait(made: Cluster, nodes: int) -> None:
    """Until the head takes jobs and that many nodes are in."""
    deadline = time.monotonic() + START_TIMEOUT
    while made.alive() < nodes:
        fallen = [node for node in made.nodes if node.process.poll() is not None]
        if fallen or time.monotonic() > deadline:
            said = "\n".join(node.log.read_text() for node in fallen or made.nodes)
            raise RuntimeError(f"the cluster did not start:\n{said}")
        time.sleep(0.3)

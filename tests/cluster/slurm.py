"""A Slurm of several nodes on this machine's loopback, for tests: munge, a controller and a daemon for each node.

Every process is started here and only those are stopped; needs root, and the programs of Debian's `slurm-wlm`.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.clusters import BIN, ROOT, free_ports

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
START_TIMEOUT = 60.0
CREDENTIAL = 10
"""Seconds that a job's credential lives: a requeued job waits for its end, by default for two minutes."""

CONFIG = """
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire={credential}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MailProg=/bin/true
FirstJobId={ports[0]}
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why no Slurm can be started here; None: it can."""
    if lacking := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"no {lacking[0]} here: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "only root starts Slurm's daemons"


@dataclass
class Slurm:
    """A controller with its nodes; `environment` is what its commands need."""

    folder: Path
    environment: dict[str, str]

    def call(self, *command: str, **options: str) -> str:
        """One of Slurm's commands; what it printed."""
        done = subprocess.run(
            command, env=self.environment | options, cwd=ROOT, text=True, timeout=60,
            capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, *arguments: str, **variables: str) -> str:
        """`sbatch`; the job's id. `variables` join its environment."""
        return self.call("sbatch", "--parsable", *arguments, **variables).strip()

    def jobs(self) -> dict[str, str]:
        """Jobs that are not over → PENDING, RUNNING, COMPLETING."""
        lines = self.call("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def restarts(self, job: str) -> int:
        """How often a job was requeued."""
        fields = dict(item.partition("=")[::2] for item in self.call("scontrol", "show", "job", job).split())
        return int(fields["Restarts"])

    def wait(self, timeout: float) -> None:
        """Until no job is left."""
        deadline = time.monotonic() + timeout
        while left := self.jobs():
            assert time.monotonic() < deadline, left
            time.sleep(1)


@contextmanager
def slurm(nodes: dict[str, int]) -> Iterator[Slurm]:
    """Nodes by name with so many CPUs each, stopped at the end whatever happened, and all jobs with them.

    Its files lie in a folder under /tmp that everybody can enter, as munge asks for, and are removed.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    for made in (folder, folder / "munge", folder / "state"):
        made.mkdir(exist_ok=True)
        made.chmod(0o755)
    ports = free_ports(len(nodes) + 1)
    lines = [
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} State=UNKNOWN"
        for (name, cpus), port in zip(nodes.items(), ports[1:], strict=True)
    ]
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(folder=folder, ports=ports, credential=CREDENTIAL, nodes="\n".join(lines)))
    environment = {**os.environ, "SLURM_CONF": str(config), "PATH": f"{BIN}:{os.environ['PATH']}"}
    made = Slurm(folder, environment)
    daemons = [_munge(folder), ["slurmctld", "-D"], *(["slurmd", "-D", "-N", name] for name in nodes)]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in daemons:
            with (folder / "daemons.log").open("ab") as log:
                started.append(subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                ))  # fmt: skip
            if command[0] == "munged":
                _until(lambda: (folder / "munge" / "socket").exists())
        _until(lambda: _idle(made) == len(nodes))
        yield made
    finally:
        with suppress(Exception):
            made.call("scancel", "--user=root")
            made.wait(60)
        for process in reversed(started):
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _munge(folder: Path) -> list[str]:
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o600)
    files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={folder}/munge/{name}" for option, name in files.items()]
    return ["munged", "--foreground", f"--key-file={key}", *options]


def _idle(made: Slurm) -> int:
    with suppress(AssertionError):
        return made.call("sinfo", "--noheader", "--Node", "--format=%T").split().count("idle")
    return 0


def _until(ready: Callable[[], bool], timeout: float = START_TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < deadline, "Slurm did not start"
        time.sleep(0.5)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL to it and what it has left."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        for left in children:
            with suppress(psutil.NoSuchProcess):
                left.kill()
    process.kill()
    process.wait(timeout=10)

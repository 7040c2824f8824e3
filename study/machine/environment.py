"""The conditions of a measurement: versions, hardware and the commit of the code."""

import importlib.metadata
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "ray", "optuna", "mlflow")


@cache
def environment() -> dict[str, Any]:
    """Versions (from the packages' metadata: nothing is imported), processor, cores and git commit."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **versions, "cpu": cpu_name(), "cores": cores(), **git()}


def cores() -> int:
    """Cores that this process may use: those of its affinity (taskset, Slurm), and no more than its container's limit.

    A quota that systemd sets on a group within the machine is not seen.
    """
    from joblib import cpu_count

    return int(cpu_count())


def cpu_name() -> str:
    """The processor's model name, as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def git() -> dict[str, Any]:
    """The commit that this package's files are at, and whether they differ from it; empty outside a checkout."""
    folder = Path(__file__).parent
    try:
        commit = _git("rev-parse", "HEAD", folder=folder)
        changed = _git("status", "--porcelain", "--untracked-files=no", folder=folder)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"git_commit": commit, "git_changed": bool(changed)}


def _git(*arguments: str, folder: Path) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()

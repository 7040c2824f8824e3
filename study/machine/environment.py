"""The conditions of a measurement: versions, hardware and the code."""

import importlib.metadata
import platform
from functools import cache
from pathlib import Path
from typing import Any

from study.machine.provenance import provenance

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "ray", "optuna", "mlflow")


@cache
def environment() -> dict[str, Any]:
    """Versions (from the packages' metadata: nothing is imported), processor, cores, and which code this is."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **versions, "cpu": cpu_name(), "cores": cores(), **provenance()}


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

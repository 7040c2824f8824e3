"""The device that a study's trials run on, why CUDA cannot be used where it cannot, and the modes it is used in."""

import ctypes
import os
import re
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.config import ConfigError

if TYPE_CHECKING:
    import torch

NO_FLOAT64 = "Apple's GPU (mps) has no float64, which the statistics are computed in; use the CPU: gpus=0"


def device_of(gpus: float, *, allocate: bool = True) -> "torch.device":
    """Of a trial that is given this share of a GPU: the CPU for 0, whatever is visible. ConfigError without CUDA.

    `allocate`: see `why_no_cuda`.
    """
    device = named("cuda" if gpus else "cpu")
    check_usable(device, f"gpus={gpus:g}", allocate=allocate)
    return device


def named(device: str) -> "torch.device":
    """cpu, cuda or cuda:N; ConfigError for what trials do not run on."""
    import torch

    if device.startswith("mps"):
        raise ConfigError([f"device: {NO_FLOAT64}"])
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ConfigError([f"device: takes cpu, cuda or cuda:N, got {device!r}"])
    return torch.device(device)


def check_usable(device: "torch.device", asked: str, *, allocate: bool = True) -> None:
    """Raise ConfigError, which repeats what was asked for, where that is a GPU and CUDA cannot be used."""
    if device.type == "cuda" and (why := why_no_cuda(str(device), allocate=allocate)):
        raise ConfigError([f"{asked}: {why}"])


def why_no_cuda(device: str = "cuda", *, allocate: bool = True) -> str | None:
    """Why CUDA cannot be used in this process, and what to do, in a line; None: it can.

    Without `allocate` the GPU is not touched: a process that has touched it keeps hundreds of MiB there to its end.
    """
    import torch

    if sys.platform == "darwin":
        return NO_FLOAT64
    if not torch.backends.cuda.is_built():
        return f"torch {torch.__version__} is built without CUDA; install one with it (pytorch.org), or set gpus=0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, which are paragraphs
        failure = _failure(device, allocate)
        return failure and (_known_reason() or failure)


def _failure(device: str, allocate: bool) -> str | None:
    import torch

    try:
        if allocate:
            torch.ones(1, device=device).sum().item()
            return None
        return _no_code() if torch.cuda.is_available() else "CUDA is not available; see what nvidia-smi says"
    except Exception as error:  # torch raises AssertionError, RuntimeError and kinds of its own
        return None if memory_ran_out(error) else str(error).partition("\n")[0] or type(error).__name__


def memory_ran_out(error: Exception) -> bool:
    """Whether a GPU is full: torch has an error of its own for its allocator, not for what CUDA's libraries take."""
    import torch

    beside = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
              "DEVICE_ALLOCATION_FAILED")  # fmt: skip
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in beside)


def _known_reason() -> str | None:
    import torch

    driver, built = _driver(), torch.version.cuda or ""
    if driver is None:
        return "there is no NVIDIA driver on this machine; install one, or set gpus=0"
    if built and int(driver.partition(".")[0]) < int(built.partition(".")[0]):
        return (
            f"the NVIDIA driver takes CUDA up to {driver}, and torch {torch.__version__} is built with {built}; "
            "update the driver, or install a torch that is built with an older CUDA"
        )
    if torch.cuda.device_count() == 0:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        if hidden is not None:
            return f"no GPU is visible (CUDA_VISIBLE_DEVICES={hidden!r}); unset it, or name GPUs of this machine in it"
        return "the NVIDIA driver finds no GPU; see what nvidia-smi says, or set gpus=0"
    return _no_code()


def _no_code() -> str | None:
    """Where torch is not built for this generation of GPUs."""
    import torch

    capability, built = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
    if not built or any(_runs_on(capability, code) for code in built):
        return None
    return (
        f"torch {torch.__version__} is built for {', '.join(built)}, not for compute capability "
        f"{capability[0]}.{capability[1]} ({torch.cuda.get_device_name()}); install one that is (pytorch.org), "
        "or set gpus=0"
    )


def _runs_on(capability: tuple[int, int], code: str) -> bool:
    """Machine code (sm_86) runs on its major version from its minor one on; compute_90 is compiled for all later."""
    kind, _, number = code.partition("_")
    version = divmod(int(number.rstrip("af")), 10)
    if kind == "sm":
        return version[0] == capability[0] and version[1] <= capability[1]
    return version <= capability


def _driver() -> str | None:
    """The newest CUDA that the NVIDIA driver takes, as "13.2"; None without a driver."""
    version = ctypes.c_int()
    with suppress(OSError, AttributeError):
        if ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)):
            return None
        return f"{version.value // 1000}.{version.value % 1000 // 10}"
    return None


def driver_version(told: Path = Path("/proc/driver/nvidia/version")) -> str:
    """The version of NVIDIA's driver, as "560.35.03"; empty where the kernel has none."""
    with suppress(OSError):
        found = re.search(r"Kernel Module\b.*?\s(\d+(?:\.\d+)+)\s", told.read_text())
        return found[1] if found else ""
    return ""


def synchronise(device: "torch.device") -> None:
    """Wait until a GPU has done what it was told, before a clock is read."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def described(device: "torch.device") -> dict[str, str]:
    """Facts of the GPU that a result was computed on; nothing of a CPU."""
    import torch

    if device.type != "cuda":
        return {}
    return {
        "gpu": torch.cuda.get_device_name(device),
        "cuda": torch.version.cuda or "",
        "driver_cuda": _driver() or "",
        "driver": driver_version(),
    }


def set_modes(device: "torch.device") -> dict[str, str]:
    """Choose the process's modes of a GPU, and tell them for the result; nothing on a CPU.

    float32 means float32: no TF32, whose products have 10 bits of mantissa; and products in half precision are summed
    in float32. So a config means the same arithmetic on every GPU. cuDNN takes its deterministic algorithms, and does
    not choose them by the clock: the same config gives the same numbers on one machine.
    """
    import torch

    if device.type != "cuda":
        return {}
    backends: Any = torch.backends  # mypy does not know all of it
    backends.fp32_precision = "ieee"
    backends.cuda.matmul.fp32_precision = "ieee"
    backends.cudnn.conv.fp32_precision = "ieee"
    backends.cudnn.rnn.fp32_precision = "ieee"
    backends.cudnn.allow_tf32 = False  # the old name of the same: while the two differ, whoever reads it fails
    backends.cudnn.benchmark = False
    backends.cudnn.deterministic = True
    backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    return {"float32": "ieee", "cudnn": "deterministic", "reductions": "float32"}

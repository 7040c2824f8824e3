"""Number format of the networks' forward and backward pass, chosen by the hardware."""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from models.registry import UnknownName

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
NEEDS = {
    "bfloat16": "a CPU with AMX or AVX512-BF16, or a GPU from Ampere (compute capability 8.0) on",
    "float16": "a GPU with tensor cores (compute capability 7.0 or more)",
}
FORCE_BFLOAT16 = "STUDY_BFLOAT16"
"""The variable that says, in place of the hardware, whether it multiplies bfloat16: 1 or 0."""


def choose_precision(precision: str, device: torch.device | str) -> str:
    """ "float32", "bfloat16" or "float16": what `precision` means on that device.

    "auto" is the fastest that the hardware multiplies: see `available`. Raises UnknownName for another name, ValueError
    for a format that the hardware would only emulate.
    """
    if precision not in PRECISIONS:
        raise UnknownName("precision", precision, list(PRECISIONS))
    here = available(device)
    if precision == "auto":
        return here[0]
    if precision not in here:
        raise ValueError(
            f"precision {precision!r} needs {NEEDS[precision]}, and {str(device)!r} here would only emulate it, "
            "slowly; give precision='auto' or 'float32'"
        )
    return precision


def available(device: torch.device | str) -> list[str]:
    """The formats that the device multiplies in hardware, the fastest first (`study bench --only precision`).

    On a GPU bfloat16, else float16 (V100, T4). On a CPU bfloat16 where it has AMX, and on AMD's with AVX512-BF16; on an
    Intel CPU with AVX512-BF16 alone it takes longer than float32.
    """
    half = [name for name, has in (("bfloat16", has_bfloat16), ("float16", has_float16)) if has(device)]
    return [*half, "float32"] if torch.device(device).type != "cpu" or _cpu_gains() else ["float32", *half]


def _cpu_gains() -> bool:
    """Whether bfloat16 is faster than float32 on this CPU, where it has it at all."""
    return bool(os.environ.get(FORCE_BFLOAT16)) or torch.cpu._is_amx_tile_supported() or _vendor() == "AuthenticAMD"


def _vendor() -> str:
    """Of the processor, as Linux tells it; "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("vendor_id")), "")


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether the device multiplies bfloat16 in hardware; STUDY_BFLOAT16=1 or 0 overrides it."""
    forced = os.environ.get(FORCE_BFLOAT16, "")
    if forced not in ("", "0", "1"):
        raise ValueError(f"{FORCE_BFLOAT16} is 1 or 0, or not set (then the hardware is asked), got {forced!r}")
    if forced:
        return forced == "1"
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # oneDNN's kernels: AVX512-BF16 dot products or AMX tiles.
    return kind == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def has_float16(device: torch.device | str) -> bool:
    """Whether the device is a GPU that multiplies float16 in tensor cores."""
    return torch.device(device).type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)


def autocast(precision: str, device: torch.device | str) -> AbstractContextManager[object]:
    """Context of the forward pass and loss: autocast to that format, nothing for "float32".

    `precision` is what `choose_precision` returned. Losses take their similarities in float32.
    """
    if precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=DTYPES[precision])


def no_autocast(device: torch.device | str) -> AbstractContextManager[object]:
    """Context of what must not be rounded, whatever is around it: augmentation, similarities, losses."""
    return torch.autocast(torch.device(device).type, enabled=False)

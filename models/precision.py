"""Number format of the forward and backward pass, chosen by the hardware."""

from contextlib import AbstractContextManager, nullcontext

import torch

from models.registry import UnknownName

PRECISIONS = ("auto", "float32", "bfloat16")


def resolve(precision: str, device: torch.device | str) -> str:
    """ "float32" or "bfloat16": what `precision` means on that device.

    "auto" is bfloat16 where the hardware multiplies it (a GPU from Ampere on, a CPU with AMX or AVX512-BF16: about
    three times as fast there) and float32 elsewhere. Raises UnknownName for another name, ValueError for bfloat16
    on hardware that would only emulate it.
    """
    if precision not in PRECISIONS:
        raise UnknownName("precision", precision, list(PRECISIONS))
    if precision == "float32":
        return precision
    if has_bfloat16(device):
        return "bfloat16"
    if precision == "bfloat16":
        raise ValueError(
            f"precision 'bfloat16' needs a CPU with AMX or AVX512-BF16 or a GPU from Ampere on, and {str(device)!r} "
            "here would only emulate it, slowly; give precision='auto' or 'float32'"
        )
    return "float32"


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # oneDNN's kernels: AVX512-BF16 dot products or AMX tiles.
    return kind == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(precision: str, device: torch.device | str) -> AbstractContextManager[object]:
    """Context of the forward pass and loss: bfloat16 autocast for "bfloat16", nothing for "float32".

    `precision` is what `resolve` returned. Losses take their similarities in float32.
    """
    if precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)

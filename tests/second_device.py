"""A GPU that is not there: tensors that say cuda:0 and hold their numbers on the CPU.

It refuses what a GPU refuses (tensors of two devices in one operation, a generator of another device, `.numpy()`),
autocast and mixed types work on it as on CUDA, and it counts what a process would wait for.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

from study.trial.streams import seed_of

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
WAITS = ("_local_scalar_dense", "nonzero", "bincount", "_unique2", "unique_dim", "masked_select", "_linalg_eigh")
"""Operations whose result, or the shape of it, a GPU is waited for; copies to the CPU besides."""


class Away(Tensor):
    """A tensor of that GPU; `held` is its content."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Away":
        away = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=CUDA
        )
        away.held = held
        return away

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **options: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside `SecondDevice`")


class SecondDevice(TorchDispatchMode):
    """Within it tensors may be on that GPU; `waits` counts what it would be waited for, by operation."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.seeds: set[int] = set()  # of the GPU's generators: by that they are known

    def put(self, x: Any) -> Any:
        """A copy of a tensor on the GPU; what is none stays."""
        return Away(x.detach().clone()) if isinstance(x, Tensor) else x

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), func.overloadpacket.__name__
        given = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        away = [x for x in given if isinstance(x, Away)]
        to = kwargs.get("device")
        if away and name not in ("_to_copy", "copy_") and any(x.dim() and not isinstance(x, Away) for x in given):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, cuda:0 and cpu were given")
        there = to.type == "cuda" if to is not None else bool(away)
        self._check_generator(name, kwargs.get("generator"), there)
        if to is not None and there:
            kwargs["device"] = CPU
        back = name == "_to_copy" and bool(away) and not there
        onto_cpu = name == "copy_" and bool(away) and not isinstance(args[0], Away)
        if away and (back or onto_cpu or name in WAITS):
            self.waits[name] += 1
        held = {id(x.held): x for x in away}
        made = func(*tree_map(_content, args), **tree_map(_content, kwargs))
        if not there or onto_cpu:
            return made.clone() if back else made
        return tree_map(lambda x: (held[id(x)] if id(x) in held else Away(x)) if isinstance(x, Tensor) else x, made)

    def _check_generator(self, name: str, generator: Any, there: bool) -> None:
        if generator is not None and there is not (generator.initial_seed() in self.seeds):
            wanted, found = ("cuda", "cpu") if there else ("cpu", "cuda")
            raise RuntimeError(f"{name}: expected a '{wanted}' device type for generator but found '{found}'")


def backward(loss: Tensor) -> None:
    """`loss.backward()`, node by node: torch's own engine asks a real GPU for its streams."""
    order, seen = [], set()

    def visit(node: Any) -> None:  # what a node hands on to stands before it
        if node in seen:
            return
        seen.add(node)
        for following, _ in node.next_functions:
            if following is not None:
                visit(following)
        order.append(node)

    visit(loss.grad_fn)
    gradients: dict[Any, dict[int, Tensor]] = {loss.grad_fn: {0: torch.ones_like(loss)}}
    for node in reversed(order):
        given = gradients.pop(node, {})
        inputs = [given.get(i) for i in range(max(given, default=0) + 1)]
        of_python = isinstance(node, torch.autograd.function.BackwardCFunction)
        made = node.apply(*inputs) if of_python else node(*inputs)
        for (following, number), gradient in zip(node.next_functions, _tuple(made), strict=False):
            if following is not None and gradient is not None:
                meant = following._input_metadata[number]
                gradient = gradient.sum_to_size(meant.shape).to(meant.dtype)
                sums = gradients.setdefault(following, {})
                sums[number] = sums[number] + gradient if number in sums else gradient


def _tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def _content(x: Any) -> Any:
    return x.held if isinstance(x, Away) else x


@contextmanager
def second_device(*, capability: tuple[int, int] = (9, 0)) -> Iterator[SecondDevice]:
    """`device="cuda"` works within: a GPU of that compute capability that the CPU computes for."""
    mode = SecondDevice()

    def generator(device: torch.device | str, *words: int) -> torch.Generator:
        if torch.device(device).type == "cuda":
            mode.seeds.add(seed_of(*words))
        return torch.Generator().manual_seed(seed_of(*words))

    torch._C._ensureCUDADeviceGuardSet()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("training", "timing"):
            patch.setattr(f"study.trial.{module}.generator", generator)
        patch.delenv("STUDY_BFLOAT16", raising=False)  # the GPU is asked
        patch.setattr(Tensor, "pin_memory", lambda x: x)
        patch.setattr(Tensor, "backward", backward)
        save, load = torch.save, torch.load
        patch.setattr(torch, "save", lambda state, file: save(tree_map(_content, state), file))
        patch.setattr(torch, "load", lambda file, map_location, **options: tree_map(mode.put, load(file, **options)))
        patch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
        patch.setattr("study.trial.views.memory_of", lambda device: 2**34)
        patch.setattr("study.machine.devices.why_no_cuda", lambda *args, **options: None)
        patch.setattr("study.machine.devices.set_modes", lambda device: {})
        patch.setattr(
            "study.machine.devices.described", lambda device: {"gpu": "none"} if device.type == "cuda" else {}
        )
        for name, value in {
            "_lazy_init": None, "is_bf16_supported": capability >= (8, 0), "get_device_capability": capability,
            "synchronize": None, "reset_peak_memory_stats": None, "max_memory_allocated": 0, "set_rng_state": None,
            "get_rng_state": None, "empty_cache": None,
        }.items():  # fmt: skip
            patch.setattr(torch.cuda, name, lambda *args, _value=value, **options: _value)
        overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)  # what `.to` makes is of another class
        try:
            with torch.backends.cudnn.flags(enabled=False), mode:
                yield mode
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrite)

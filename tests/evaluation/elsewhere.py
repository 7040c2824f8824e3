"""A device that is not the CPU, on the CPU: it refuses what a GPU refuses and counts what makes one wait."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

HERE = torch.device("meta")  # what its tensors give as their device: numpy and copies by accident fail there
WAITS = ("_local_scalar_dense", "nonzero", "bincount", "_unique2", "unique_dim", "masked_select")


class Away(Tensor):
    """A tensor of that device; `held` is its content."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Away":
        away = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=HERE
        )
        away.held = held
        return away

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside `Elsewhere`")


class Elsewhere(TorchDispatchMode):
    """Within it tensors may be on that device (`put`); `waits` counts what a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def put(self, x: Tensor | None) -> Tensor | None:
        return None if x is None else Away(x.detach().clone())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), func.overloadpacket.__name__
        given = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        away = [x for x in given if isinstance(x, Away)]
        to = kwargs.get("device")
        moves = name in ("_to_copy", "copy_")
        if away and not moves and any(x.dim() and not isinstance(x, Away) for x in given):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
        if to == HERE:
            kwargs["device"] = torch.device("cpu")
        back = bool(away) and name == "_to_copy" and to is not None and to.type == "cpu"
        self.waits += bool(away) and (back or name in WAITS)
        inner = {id(x.held): x for x in away}
        made = func(*tree_map(_content, args), **tree_map(_content, kwargs))
        if back or not (away or to == HERE):
            return made.clone() if back else made
        return tree_map(lambda x: (inner[id(x)] if id(x) in inner else Away(x)) if isinstance(x, Tensor) else x, made)


def _content(x: Any) -> Any:
    return x.held if isinstance(x, Away) else x

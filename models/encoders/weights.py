"""Pretrained weights from a local file: nothing is fetched, and no code in a file is run."""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from models.augment import MEAN, STD

State = Mapping[str, Tensor]
_WITHOUT = ContextVar("weights files are left alone", default=False)
_NAMED = 3


@contextmanager
def architecture_only() -> Iterator[None]:
    """Within, encoders are made as with their weights file, which is not read: a state is loaded into them later."""
    token = _WITHOUT.set(True)
    try:
        yield
    finally:
        _WITHOUT.reset(token)


class Renormalised(nn.Module):
    """A network that was trained on images of another mean and standard deviation [3] than ours."""

    factor: Tensor
    offset: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        of_mean, of_std = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
        self.register_buffer("factor", STD / of_std, persistent=False)
        self.register_buffer("offset", (MEAN - of_mean) / of_std, persistent=False)
        self.net = net

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (x − MEAN) / STD as (x − mean) / std, through the network."""
        return self.net(torch.addcmul(self.offset, inputs, self.factor))


def load(
    net: nn.Module, path: str, *, without: Sequence[str] = (), convert: Callable[[State], State] | None = None
) -> None:
    """Load a file's state dict into the network, all of it but the entries that begin `without` (a classifier's).

    `convert` makes it fit, such as position embeddings of another image size. ValueError, in a line, where entries
    differ.
    """
    if _WITHOUT.get():
        return
    state = {name: value for name, value in read(path).items() if not name.startswith(tuple(without))}
    try:
        state = dict(convert(state)) if convert else state
    except Exception as error:  # a converter takes for granted that the file is of its kind
        raise ValueError(f"weights: {path} is of another network ({type(error).__name__}: {error})") from None
    if problem := mismatch(state, net.state_dict()):
        raise ValueError(f"weights: {path} does not fit the network: {problem}; give the weights of this very network")
    if spoilt := [name for name, value in state.items() if not value.isfinite().all()]:
        raise ValueError(f"weights: {path} has NaN or infinite numbers in {_some(spoilt)}; take an earlier checkpoint")
    net.load_state_dict(state, strict=False)  # files from before torch counted batches lack that count


def mismatch(state: State, wanted: State) -> str:
    """The entries that differ, in one line; an empty string where all fit."""
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    beyond = [name for name in state if name not in wanted]
    other = [
        f"{name} ({list(state[name].shape)}, not {list(value.shape)})"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    found = ((missing, "not in the file"), (beyond, "not in the network"), (other, "of another shape"))
    return "; ".join(f"{len(names)} {what}: {_some(names)}" for names, what in found if names)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def read(path: str) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a state dict that torch saved (also under `state_dict` or `model`)."""
    try:
        content = _content(path)
    except FileNotFoundError:
        raise ValueError(f"weights: there is no file {path}; download it first, nothing is fetched") from None
    except (pickle.UnpicklingError, RuntimeError, OSError, ValueError) as error:
        why = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"weights: {path} cannot be read as a state dict ({why}); save net.state_dict(), which holds tensors alone"
        ) from None
    for key in ("state_dict", "model_state_dict", "model"):
        content = content[key] if isinstance(content, Mapping) and isinstance(content.get(key), Mapping) else content
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"weights: {path} is no state dict: name → tensor; save net.state_dict()")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _content(path: str) -> Any:
    if not path.endswith(".safetensors"):
        return torch.load(path, map_location="cpu", weights_only=True)
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise ValueError("it needs the package safetensors; pip install safetensors") from None
    return load_file(path)

"""An encoder and the size of the data: what that decides of it, and whether it can be made for it."""

import functools
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.encoders import ENCODERS, as_encoder, example, seeded
from models.encoders.weights import architecture_only
from study.data import DataShape


def absolute(path: str) -> str:
    """A file's place, whatever the working folder of those who read it is."""
    return str(Path(path).expanduser().absolute())


def content_digest(parameter: str, path: str) -> str:
    """The first 24 digits of the SHA-256 of a file; ValueError where it cannot be read."""
    try:
        state = Path(path).stat()
        return _digest(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        why = error.strerror or error
        raise ValueError(
            f"{parameter}: {path} cannot be read ({why}); give a file that is here: none is fetched"
        ) from None


@functools.cache
def _digest(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:24]


def for_size(encoder: dict[str, Any], shape: DataShape) -> dict[str, Any]:
    """The encoder, with each parameter that is "auto" as the size of the images decides it."""
    decided = ENCODERS.trait(encoder["name"], "by_size") or {}
    if shape.modality != "image":
        return encoder
    return encoder | {n: by(shape.size, encoder) for n, by in decided.items() if encoder[n] == "auto"}


def misfit(name: str, build: Callable[..., Any], shape: DataShape) -> str:
    """The reason why an encoder cannot be made for such data, in a line; an empty string where it can.

    It is made and run as shapes alone: memory is a matter of where it will run. Only a file of weights is read.
    """
    if ENCODERS.trait(name, "any_size") or ENCODERS.trait(name, "modality") != shape.modality:
        return ""
    facts = {"vocabulary_size": 2, "input_size": shape.size}
    given = {n: fact for n, fact in facts.items() if n in inspect.signature(build).parameters}
    try:
        try:
            with torch.device("meta"), architecture_only():
                _try(build, given, shape)
        except (RuntimeError, NotImplementedError):  # also of what shapes do not tell: is it so on a processor?
            with architecture_only():
                seeded(lambda: _try(build, given, shape), seed=0)
        if getattr(build, "keywords", {}).get("weights") is not None:
            build(**given)
    except ValueError as error:
        return f"encoder: {error}" if name in str(error) else f"encoder: {name}: {error}"
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return ""
        size, why = "×".join(map(str, shape.size)), f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        return (
            f"encoder: {name} cannot be made for {shape.modality}s of {size} ({why}); mend what is named, give the "
            "data another size (data.image_size, where it has one), or choose another encoder"
        )
    return ""


@torch.no_grad()
def _try(build: Callable[..., Any], given: dict[str, Any], shape: DataShape) -> None:
    """Make it, and run it as in evaluations and as in a training."""
    batch = example(shape.size)
    encoder = as_encoder(build(**given), batch)
    features = encoder.train()(batch)
    if not isinstance(features, torch.Tensor):
        raise ValueError(
            f"in training it returns a {type(features).__name__}, not features [B, F]; leave out what returns more, "
            "such as encoder.options={aux_logits: false}"
        )

"""An encoder and the size of the data: what that decides of it, and whether it can be made for it."""

import functools
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from models.encoders import ENCODERS, Encoder, as_encoder, example, seeded
from models.encoders.chunked import mixes_examples
from models.encoders.weights import architecture_only
from study.data import DataShape
from study.planning.study_config import Saved, StudyConfig
from study.trial.trial import Trial

MOST_MIB = 2048
"""MiB of a study's encoders up to which all of them are saved where the study does not say."""
SMALL_MIB, SMALL_PIXELS = 64, 256**2
"""Of weights and of an image up to which an encoder is tried for real: to run one as shapes alone, torch first loads
its compiler, which takes longer than all the rest of a plan."""


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


def saved(study: StudyConfig, trials: Sequence[Trial]) -> tuple[Saved, str]:
    """Whose encoders a study saves, and a line on it: where it does not say, all of them if they are small together."""
    if study.save_encoders is not None or not trials:
        return study.save_encoders or "none", ""
    keys = [_key(trial) for trial in trials]
    sizes = {key: _mib(trial) for key, trial in dict(zip(keys, trials, strict=True)).items()}
    number = len(study.seeds) * (study.cells or 0) if study.searches else len(trials)
    total = sum(sizes[key] for key in keys) / len(trials) * number
    if total <= MOST_MIB:
        return "all", f"encoders: all are saved, {total:,.1f} MiB (save_encoders: all, best or none)"
    return "best", f"encoders: the best trial's is saved: all take {total / 1024:,.1f} GiB (save_encoders=all does it)"


def _key(trial: Trial) -> str:
    return json.dumps([trial.config[name] for name in ("encoder", "head", "data")], sort_keys=True)


def _mib(trial: Trial) -> float:
    """MiB of an encoder and its head."""
    data = trial.parts.data
    shape = data.shape()
    words = data.load().vocabulary_size if shape.modality == "text" else None
    encoder = _tried(trial.parts.encoder, shape, words or 2)
    with torch.device("meta"):
        head = trial.parts.head(encoder.feature_dim)
    return sum(t.nbytes for net in (encoder, head) for t in net.state_dict().values()) / 2**20


MANY = 200_000
"""Examples from which on a plan tells what their features take."""


def features_note(encoder: Callable[..., Any], head: Callable[..., Any], shape: DataShape) -> str:
    """The memory of all that an evaluation holds of the examples, of large data sets: float32 features, embeddings, and
    the mean of the views' embeddings; empty of others."""
    examples = shape.train + shape.test + shape.validation
    if examples < MANY or shape.modality != "image":
        return ""
    h = _tried(encoder, shape).feature_dim
    with torch.device("meta"):
        d = int(head(h)(torch.zeros(2, h)).shape[1])
    gib = examples * (h + 2 * d) * 4 / 2**30
    return (
        f"evaluation: features and embeddings of {examples:,} examples take {gib:,.1f} GiB of memory for each trial; "
        "data.train_size lowers it"
    )


def misfit(name: str, build: Callable[..., Any], shape: DataShape) -> str:
    """The reason why an encoder cannot be made for such data, in a line; an empty string where it can.

    A large one is made and run as shapes alone: memory is a matter of where it will run. A file of weights is read.
    """
    if ENCODERS.trait(name, "any_size") or ENCODERS.trait(name, "modality") != shape.modality:
        return ""
    try:
        _tried(build, shape)
        if getattr(build, "keywords", {}).get("weights") is not None:
            build(**_given(build, shape))
    except ValueError as error:
        of = f"{name}: " if ":" in name and name not in str(error) else ""
        return f"encoder: {of}{error}"
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return ""
        if isinstance(error, NotImplementedError) and '"forward"' in str(error):
            return f"encoder: {name} has no forward; define forward(self, x), which returns features [B, F]"
        size, why = "×".join(map(str, shape.size)), f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        return (
            f"encoder: {name} cannot be made for {shape.modality}s of {size} ({why}); mend what is named, give the "
            "data another size (data.image_size, where it has one), or choose another encoder"
        )
    return ""


def too_large_for(side: int, name: str, build: Callable[..., Any], shape: DataShape) -> str:
    """The reason why an encoder that fits cannot take small views of that side, in a line; an empty string where it
    can, and for side 0, of none."""
    if not side or ENCODERS.trait(name, "any_size") or ENCODERS.trait(name, "modality") != shape.modality:
        return ""
    try:
        _tried(build, shape, side=side)
        return ""
    except Exception as error:
        why = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
    return (
        f"encoder: {name} takes images of {'×'.join(map(str, shape.size))}, and no small views of {side}×{side} "
        f"({why}); give the augmentation another small_size, or choose an encoder of any size, such as resnet18"
    )


def undivided(name: str, build: Callable[..., Any], shape: DataShape) -> str:
    """The reason why an encoder that fits cannot take a batch in chunks, in a line; an empty string where it can."""
    if ENCODERS.trait(name, "modality") != shape.modality:
        return ""
    inputs = _drawn(example(shape.size, count=3), words=9)
    with architecture_only():
        encoder = seeded(lambda: as_encoder(build(**_given(build, shape, words=9)), inputs), seed=0)
    if not mixes_examples(encoder, inputs):
        return ""
    return (
        f"encoder_chunk: {name} mixes the examples of a batch, as batch normalisation does: chunks of one would have "
        "other features; leave encoder_chunk out, or choose an encoder with layer or group normalisation, such as "
        "torchvision:vit_b_16"
    )


def _tried(build: Callable[..., Any], shape: DataShape, words: int = 2, *, side: int = 0) -> Encoder:
    """The encoder without its weights file, if that can be made and run; as shapes alone, where it is large.

    `side`: of small views that it is to take, too; 0: of none.
    """
    given = _given(build, shape, words)
    with architecture_only():
        try:
            with torch.device("meta"):
                if not _is_small(build(**given), shape):
                    return _try(build, given, shape, side)
        except (RuntimeError, NotImplementedError):  # also of what shapes do not tell: is it so on a processor?
            pass
        return seeded(lambda: _try(build, given, shape, side), seed=0)


def _is_small(network: Any, shape: DataShape) -> bool:
    weights = network.parameters() if isinstance(network, torch.nn.Module) else ()
    return sum(weight.nbytes for weight in weights) <= SMALL_MIB * 2**20 and math.prod(shape.size) <= SMALL_PIXELS


def _given(build: Callable[..., Any], shape: DataShape, words: int = 2) -> dict[str, Any]:
    facts = {"vocabulary_size": words, "input_size": shape.size}
    return {n: fact for n, fact in facts.items() if n in inspect.signature(build).parameters}


@torch.no_grad()
def _try(build: Callable[..., Any], given: dict[str, Any], shape: DataShape, side: int) -> Encoder:
    """Make it, and run it as in evaluations, whose last batch may be of one, and as in a training."""
    batch = _drawn(example(shape.size), given.get("vocabulary_size", 2))
    encoder = as_encoder(build(**given), batch)
    if (one := encoder.eval()(batch[:1])).ndim != 2:
        raise ValueError(f"it makes {list(one.shape)} of one example, not [1, F]; flatten(1) where it squeezes")
    features = encoder.train()(batch)
    if not isinstance(features, torch.Tensor):
        raise ValueError(
            f"in training it returns a {type(features).__name__}, not features [B, F]; leave out what returns more, "
            "such as encoder.options={aux_logits: false}"
        )
    if features.dtype != torch.float32:
        raise ValueError(f"it makes features of {str(features.dtype).removeprefix('torch.')}; end it with .float()")
    if not (batch.is_meta or (one.isfinite().all() and features.isfinite().all())):
        raise ValueError(
            "it makes NaN or infinite features of random inputs; mend it where it overflows, divides by zero, or "
            "takes roots or logarithms of negative numbers"
        )
    if side and (width := encoder(example((side, side))).shape[1]) != encoder.feature_dim:
        raise ValueError(f"it makes {width} features of them, and {encoder.feature_dim} of others; pool, flatten")
    return encoder


def _drawn(inputs: torch.Tensor, words: int) -> torch.Tensor:
    """Inputs of that form at random, always the same: from N(0, 1), or ids of so many words without padding."""
    if inputs.is_meta:
        return inputs
    draw = torch.Generator().manual_seed(0)
    if inputs.is_floating_point():
        return inputs.normal_(generator=draw)
    return inputs.random_(1, max(words, 2), generator=draw)

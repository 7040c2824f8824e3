"""A trained encoder, as its trial evaluated it: network, preprocessing and precision, from a file of the store."""

from __future__ import annotations

import functools
import inspect
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from models.augment import NoAugmentation
from models.encoders import ENCODERS, as_encoder, example
from models.encoders.weights import architecture_only
from models.heads import HEADS
from models.methods.method import unit_rows
from models.precision import autocast
from models.registry import did_you_mean
from study.config import ConfigError, split_component
from study.data.pixels import UnreadableImage, as_decoded, decode_image
from study.metric_names import validation_of
from study.results.comparison import Best
from study.storage.store import Store, TrialFolder

BATCH = 500
"""Images that pass the encoder at once, as in a trial's own evaluation."""
CHANNELS = (1, 3, 4)
OneImage = Image.Image | np.ndarray | Tensor | Path | str | bytes
AGAIN = (
    "encoders stay as save_encoders said when the study ran; finished trials do not run again, so run it with "
    "save_encoders=all in another storage"
)


@dataclass(frozen=True)
class Preprocessing:
    """An image to the tensor that the trial's encoder saw of it, like a transform of torchvision."""

    size: tuple[int, int]
    """(H, W) of the trial's images: others have their centre cut to that shape and resized (bicubic, anti-aliased)"""

    def __call__(self, image: OneImage | Sequence[OneImage]) -> Tensor:
        """float [3, H, W], normalised, of one image; [B, 3, H, W] of a list of images, or of an array [B, …] of them.

        An image: a file, its bytes, one of Pillow, or an array or tensor of uint8, or of floats from 0 to 1: [H, W],
        [H, W, 3] or [3, H, W].
        """
        if isinstance(image, list | tuple) or (isinstance(image, np.ndarray | Tensor) and image.ndim == 4):
            return self.tensor(np.stack([self.pixels(one) for one in image]))
        return self.tensor(self.pixels(image)[None].copy())[0]  # type: ignore[arg-type]

    def pixels(self, image: OneImage) -> np.ndarray:
        """uint8 [H, W, 3] of the image, as the trial's data have it."""
        if isinstance(image, np.ndarray | Tensor):
            image = _of_array(image.numpy(force=True) if isinstance(image, Tensor) else image)
        if isinstance(image, Image.Image):
            return as_decoded(image, self.size)
        if isinstance(image, bytes):
            return decode_image(image, self.size)[0]
        try:
            return decode_image(Path(image).read_bytes(), self.size)[0]
        except UnreadableImage as error:
            raise UnreadableImage(f"{image}: {error}") from None

    def tensor(self, pixels: np.ndarray | Tensor) -> Tensor:
        """float [B, 3, H, W], normalised, of uint8 [B, H, W, 3] of the right size."""
        return NoAugmentation()(torch.as_tensor(pixels))


def _of_array(given: np.ndarray) -> Image.Image:
    values = given[..., None] if given.ndim == 2 else given
    if values.ndim == 3 and values.shape[2] not in CHANNELS:
        values = np.moveaxis(values, 0, 2)  # planes first, as torch has them
    whole = values.dtype == np.uint8
    shares = values.dtype.kind == "f" and values.size and values.min() >= 0 and values.max() <= 1
    if values.ndim != 3 or values.shape[2] not in CHANNELS or not (whole or shares):
        span = f" from {given.min():g} to {given.max():g}" if given.size else ""
        raise ValueError(
            "an image is uint8, or floats from 0 to 1, [H, W], [H, W, 3] or [3, H, W], not "
            f"{given.dtype} {list(given.shape)}{span}"
        )
    values = values if whole else np.rint(values * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(values.squeeze(2) if values.shape[2] == 1 else values))


class TrainedEncoder(nn.Module):
    """An encoder in evaluation mode, with `preprocess` for new images (None of text, which takes token ids [B, L])."""

    def __init__(self, encoder: nn.Module, head: nn.Module, about: dict[str, Any]) -> None:
        super().__init__()
        self.encoder, self.head, self.about = encoder, head, about
        self.preprocess = Preprocessing(tuple(about["size"])) if about["modality"] == "image" else None
        self.eval().requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Features h float32 [B, F] of preprocessed inputs, in the precision of the trial."""
        return self._through(inputs)[0]

    def embed(self, inputs: Tensor) -> Tensor:
        """Unit embeddings z float32 [B, D]: the features through the projection head that the contrast was made in."""
        if not self.about["head_trained"]:
            raise ConfigError([f"{self.about['method']} trains no projection head: there is no z; take the features"])
        return self._through(inputs)[1]

    def of_pixels(self) -> nn.Module:
        """The features of images uint8 [B, H, W, 3] of the right size, normalisation and all in one module."""
        return _OfPixels(self)

    def _through(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        self._check(inputs)
        with torch.no_grad(), autocast(self.about["precision"], inputs.device):
            h = self.encoder(inputs)
            z = self.head(h)
        return h.float(), unit_rows(z)

    def _check(self, inputs: Tensor) -> None:
        wanted = (3, *self.preprocess.size) if self.preprocess else tuple(self.about["size"])
        kind = torch.float32 if self.preprocess else None
        known = isinstance(inputs, Tensor)
        if known and inputs.shape[1:] == wanted and inputs.shape[0] and inputs.dtype == (kind or inputs.dtype):
            return
        form = ", ".join(map(str, ("B", *wanted)))
        made = "float32 [{}], as encoder.preprocess makes them: encoder(encoder.preprocess([image]))"
        given = f"{str(inputs.dtype).removeprefix('torch.')} {list(inputs.shape)}" if known else type(inputs).__name__
        raise ValueError(f"inputs are {made.format(form) if kind else f'token ids [{form}]'}; got {given}")


class OfStudy(Protocol):
    """The parts of a study's `Results` that an encoder is looked for by."""

    @property
    def study(self) -> str: ...
    @property
    def store(self) -> Store | None: ...
    @property
    def frame(self) -> pd.DataFrame: ...
    @property
    def finished(self) -> pd.DataFrame: ...
    def shown(self) -> list[str]: ...
    def upwards(self, metric: str) -> bool: ...


class _OfPixels(nn.Module):
    def __init__(self, encoder: TrainedEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder(NoAugmentation()(images))


def trained_encoder(results: OfStudy, trial: str | Best | None = None) -> TrainedEncoder:
    """The encoder of a trial by its id, of a cell such as `best()` (its first seed that has one), or of the best trial.

    In evaluation mode, with the preprocessing of its trial: `encoder(encoder.preprocess(image)[None])` are the features
    h that the trial evaluated. ConfigError where none was saved, see `save_encoders` of a study.
    """
    if results.store is None:
        raise ConfigError(["a table holds no encoders: take the results of the study, study.results()"])
    if isinstance(trial, str):
        known = list(results.frame["trial_id"])
        if trial not in known and trial not in (folder.id for folder in results.store.trials()):
            raise ConfigError([f"results.frame has no trial_id {trial!r}{did_you_mean(trial, known)}"])
        return load(results.store.trial(trial))
    if trial is not None and not isinstance(trial, Best):
        raise ConfigError(
            [f"an encoder is asked for by a trial's id, which is a text, or by best(); got a {type(trial).__name__}"]
        )
    if folder := saved_of(results, trial):
        return load(folder)
    which = "no trial" if trial is None else f"no trial of {trial.cell}"
    raise ConfigError([f"{which} of {results.study} has a saved encoder; {AGAIN}"])


def saved_of(results: OfStudy, cell: Best | None = None) -> TrialFolder | None:
    """The first of the cell's trials, or the best of all, that has its encoder saved."""
    folders = map(results.store.trial, _candidates(results, cell)) if results.store else ()
    return next((folder for folder in folders if folder.encoder.exists()), None)


def _candidates(results: OfStudy, cell: Best | None) -> list[str]:
    """The ids of trials to look for an encoder at: of a cell by seed, else of all, the best first."""
    finished = results.finished
    if cell is not None:
        for path, value in cell.cell.items():
            finished = finished[finished[path].isin([value])]
        return list(finished.sort_values("seed")["trial_id"])
    if not (shown := results.shown()):
        return list(finished["trial_id"])
    by = next(name for name in (validation_of(shown[0]), shown[0]) if name in finished)
    return list(finished.sort_values(by, ascending=not results.upwards(shown[0]), kind="stable")["trial_id"])


def load(folder: TrialFolder) -> TrainedEncoder:
    """The encoder that a trial left; ConfigError where there is none, it is damaged, or its code is not here."""
    try:
        content = folder.encoder.read_bytes()
    except FileNotFoundError:
        if (status := folder.status()) != "finished":
            raise ConfigError([f"trial {folder.id} is {status}: it leaves an encoder when it has finished"]) from None
        raise ConfigError(
            [f"trial {folder.id} has no saved encoder ({folder.encoder} is not there); {AGAIN}"]
        ) from None
    try:
        if damaged := zipfile.ZipFile(io.BytesIO(content)).testzip():  # torch does not compare checksums
            raise ValueError(f"{damaged} is damaged")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        about = state["about"]
    except Exception as error:
        raise ConfigError([f"{folder.encoder} cannot be read ({error}); run the trial anew"]) from None
    encoder, head = _networks(about)
    try:
        encoder.load_state_dict(state["encoder"])
        head.load_state_dict(state["head"])
    except RuntimeError as error:
        name, why = split_component(about["encoder"])[0], " ".join(str(error).split())
        raise ConfigError(
            [f"trial {folder.id} ran with other code of its encoder {name}; go back to it ({why})"]
        ) from None
    return TrainedEncoder(encoder, head, about)


def _networks(about: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
    """The architecture, from the names and parameters that the trial resolved."""
    name, parameters = split_component(about["encoder"])
    if name not in ENCODERS:
        raise ConfigError(
            [f"encoder {name} is not known here: import the module that registers it first (name its Python file)"]
        )
    entry = ENCODERS.get(name)
    facts = {"input_size": tuple(about["size"]), "vocabulary_size": about["vocabulary_size"]}
    known = inspect.signature(entry).parameters
    build = functools.partial(entry, **parameters, **{n: fact for n, fact in facts.items() if n in known})
    with torch.random.fork_rng(devices=[]), architecture_only():
        encoder = as_encoder(build(), example(about["size"]))
        of_head, given = split_component(about["head"])
        return encoder, HEADS[of_head](encoder.feature_dim, **given)

"""A trial's networks, built on the CPU from its seed and put on the device."""

import dataclasses
import functools
import inspect
from typing import Any

import torch

from models.contrast import Contrast
from models.encoders import as_encoder, example, seeded
from models.encoders.shared import share
from models.methods import Learner, TrainingContext
from study.data import Dataset
from study.semantics import ClassSemantics
from study.trial.streams import Stream, generator, seed_of
from study.trial.trial import Trial


def learner_of(
    trial: Trial, data: Dataset, semantics: ClassSemantics, *, steps: int, device: torch.device, ranks: int = 1
) -> Learner:
    """The method's networks, with initial weights that are the same on every device and rank."""
    parts, seed = trial.parts, trial.seed
    build = supply(parts.encoder, data)
    encoder = seeded(lambda: as_encoder(build(), example(data.shape.size)), seed=seed_of(seed, Stream.ENCODER))
    encoder.chunk = trial.config["encoder_chunk"]
    if ranks > 1:
        share(encoder, rows=trial.config["batch_size"] // ranks if parts.method.rows_apart else None)
    head = seeded(lambda: parts.head(encoder.feature_dim), seed=seed_of(seed, Stream.HEAD))
    context = TrainingContext(
        batch_size=trial.config["batch_size"],
        train_count=len(data.train),
        classes=len(data.classes),
        steps=steps,
        generator=generator("cpu", seed, Stream.METHOD),
    )
    contrast = contrast_of(trial, data, semantics, device)
    learner = seeded(lambda: parts.method.learner(encoder, head, contrast, context), seed=seed_of(seed, Stream.METHOD))
    return learner.to(device)


def contrast_of(trial: Trial, data: Dataset, semantics: ClassSemantics, device: torch.device) -> Contrast | None:
    """The trial's, told what it may observe of the classes, and their similarity if it selects by meaning."""
    contrast = trial.parts.contrast
    if contrast is None or data.train.labels is None:
        return contrast
    measure, matrix = contrast.strategy.needs_similarity, None
    if measure is not None:
        matrix = torch.from_numpy(semantics.similarities[measure]).to(device, torch.float32)
    return dataclasses.replace(contrast, class_similarity=matrix, classes=len(data.classes))


def supply(component: Any, data: Dataset) -> Any:
    """The component with what the data decides (vocabulary_size, input_size) filled in, where it takes that."""
    facts: dict[str, Any] = {"input_size": data.shape.size} if data.modality == "image" else {}
    facts |= {"vocabulary_size": data.vocabulary_size} if data.vocabulary_size else {}
    if dataclasses.is_dataclass(component) and not isinstance(component, type):
        known = {f.name for f in dataclasses.fields(component)}
        return dataclasses.replace(component, **{n: v for n, v in facts.items() if n in known})
    known = set(inspect.signature(component.func).parameters)
    return functools.partial(component, **{n: v for n, v in facts.items() if n in known})

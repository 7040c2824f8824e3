"""Transfer: the trial's classifiers on the frozen features of a second data set."""

import time
import zlib
from pathlib import Path
from typing import Any

import torch

from study.evaluation import Findings
from study.evaluation.classifier import Classifier, transfer_name
from study.trial.encode import AFTER_TRAINING
from study.trial.probes.frozen import second
from study.trial.streams import Stream, generator, layers_draw
from study.trial.training import Training


def transfer(training: Training, cache: Path | None) -> Findings:
    """`transfer.<dataset>.*`: each classifier among the evaluations, fitted to h of the second set's training examples.

    The encoder is frozen; a penalty is chosen on the second set's held-out examples (Kornblith et al. 2019, 1805.08974;
    Chen et al. 2020, 2002.05709, appendix B.8). Every classifier has draws of its own.
    """
    found = Findings({})
    for dataset, source in training.trial.parts.transfer.items():
        name, started = f"transfer.{dataset}", time.perf_counter()
        training.part = f"evaluating {name}"
        with layers_draw(training.device, training.seed, *AFTER_TRAINING):
            rows = second(training, source, cache).features(training)
        seed = int(torch.randint(2**62, (), generator=generator("cpu", training.seed, Stream.EVALUATION)))
        for one in training.trial.parts.evaluations.values():
            if isinstance(one, Classifier):
                draw = torch.Generator().manual_seed(seed ^ zlib.crc32(f"{name}.{one.name}".encode()))
                found.add(one.classify(transfer_name(f"{one.name}.features", dataset), rows, generator=draw))
        found.seconds[name] = time.perf_counter() - started
    return found


def described(training: Training, cache: Path | None) -> dict[str, Any]:
    """Each second data set as a result tells of it; a part of nothing where there is none."""
    of = {name: source.load(cache).facts for name, source in training.trial.parts.transfer.items()}
    return {"transfer": of} if of else {}

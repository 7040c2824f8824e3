"""Accuracy on the way: kNN of a few held-out examples among a few training examples, every so many epochs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from study.data import DataShape, Split
from study.data.dataset import subset
from study.evaluation.accuracy import accuracies
from study.evaluation.knn import Knn, nearest_classes
from study.trial.encode import AFTER_TRAINING, both
from study.trial.streams import layers_draw
from study.trial.training import Training
from study.trial.views import Examples

SHARE = 0.02
"""Of the training's arithmetic, for all that a trial's measurements encode; kNN itself is left 1 % more."""
PASSES = 2
"""Forward passes that the training of a view costs at least: 3 where gradients go back, 1 of a network that follows."""


class Sizes(NamedTuple):
    """Examples of a measurement."""

    bank: int
    """of the training split, which answer"""
    queries: int
    """of the held-out ones, which ask"""


def sizes(shape: DataShape, *, views: float, batch_size: int, epochs: int, every: int) -> Sizes:
    """As many as pass the encoder in SHARE of the training: (bank + queries) · measurements ≤ SHARE · PASSES · views of
    the training. Half of them ask, as far as there are held-out examples; the rest answers. `views` of an example, of
    the size of its image."""
    trained = PASSES * views * (shape.train // batch_size) * batch_size * epochs
    affordable = int(SHARE * trained / -(-epochs // every))
    queries = min(affordable // 2, shape.validation)
    return Sizes(min(affordable - queries, shape.train), queries)


class Quick:
    """The measurement of a training: `knn.quick.validation.*`. It leaves networks, modes and generators as they are."""

    def __init__(self, training: Training) -> None:
        config, data = training.trial.config, training.data
        assert data.validation is not None  # resolve refuses data without
        self.every = int(config["accuracy_every"])
        numbers = sizes(
            data.shape,
            views=training.views,
            batch_size=training.batch_size,
            epochs=training.epochs,
            every=self.every,
        )
        self._bank = _some(training, data.train, numbers.bank)
        self._queries = _some(training, data.validation, numbers.queries)
        self.neighbours = max(1, min(Knn.neighbours, numbers.bank // len(data.classes)))

    def __call__(self, training: Training) -> dict[str, float]:
        """Accuracy in percent, with the seconds that the training took so far and those that this took.

        Nothing after an epoch that is neither an n-th one nor the last.
        """
        if training.epoch % self.every and training.epoch != training.epochs:
            return {}
        started, training.part = time.perf_counter(), "evaluating the accuracy on the way"
        with modes_kept(training.learner), layers_draw(training.device, training.seed, *AFTER_TRAINING):
            bank, queries = (F.normalize(both(training, rows)[0]) for rows in (self._bank, self._queries))
        best = nearest_classes(
            queries,
            bank,
            _labels(self._bank),
            len(training.data.classes),
            neighbours=self.neighbours,
            temperature=Knn.temperature,
        )
        found = accuracies("knn.quick.validation", best, _labels(self._queries))  # waits for a GPU
        return found | {"time.train_s": training.seconds, "time.quick_s": time.perf_counter() - started}


@contextmanager
def modes_kept(module: nn.Module) -> Iterator[None]:
    """Each part is put back into the mode, of training or of evaluation, that it was in."""
    before = [(part, part.training) for part in module.modules()]
    yield
    for part, training in before:
        part.training = training


def _some(training: Training, split: Split, count: int) -> Examples:
    return Examples(subset(split, count), training.device)


def _labels(examples: Examples) -> Tensor:
    assert isinstance(examples.labels, torch.Tensor)
    return examples.labels

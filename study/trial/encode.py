"""Features and embeddings of the splits, and their evaluations."""

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from models.augment import NoAugmentation
from models.methods.method import unit_rows
from models.precision import autocast
from study.evaluation import Encoded, Findings
from study.evaluation import evaluate as evaluate_encoded
from study.evaluation.evaluation import Blocks, FeatureViews, HeldOut, OfRepresentations, Representation
from study.evaluation.negatives import Negatives
from study.storage.store import TrialFolder
from study.trial.streams import Stream, generator, layers_draw
from study.trial.training import Training, check_finite
from study.trial.views import Examples, Wanted, encode_batch, sent, view_of

AFTER_TRAINING = (Stream.EVALUATION, 1)
"""The stream of the layers' draws in evaluations, which are of no epoch: a word more than those have."""


@torch.no_grad()
def represent(training: Training, split: Examples, *, view: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Features h [b, F] and unit embeddings z [b, D] of a split, batch by batch, in evaluation mode.

    `view`: the number of an augmented view, the same draw whenever it is asked for; None: the examples themselves.
    Where memory runs out, fewer pass the encoder at once.
    """
    learner, device = training.learner, training.device
    learner.eval()
    key = (training.seed, Stream.EVALUATION, 0 if view is None else view + 1, len(split))
    draw = generator("cpu", *key)
    count = encode_batch(training.data.shape.size)
    blocks = Blocks(count)
    for start in range(0, len(split), count):
        if view is None:
            x = view_of(NoAugmentation(), split.part(start, start + count), generator=draw)
        else:
            here = torch.arange(start, min(start + count, len(split)))
            there = sent(here, device)
            ((x,),) = split.views(here, there, Wanted(training.augmentation, 1), generator=draw, key=key)

        def through(rows: slice, x: Tensor = x) -> tuple[Tensor, Tensor]:
            with autocast(training.precision, device):
                h = learner.encoder(x[rows])
                z = learner.head(h)
            return h.float(), unit_rows(z)

        yield from blocks(len(x), through)


def encode(training: Training) -> Encoded:
    """The splits, un-augmented and in A augmented views."""
    config = training.trial.config
    views = range(config["evaluation_views"])
    features_train, embeddings_train = both(training, training.train)
    features_test, embeddings_test = both(training, training.test)
    asked: Sequence[Representation] = ("embeddings", "features") if _of_features(training) else ("embeddings",)
    test = [
        torch.stack(drawn) for drawn in zip(*(_rows(training, training.test, v, asked) for v in views), strict=True)
    ]
    mean = [torch.zeros(len(training.train), rows.shape[2], device=training.device) for rows in test]
    for view in views:
        for total, rows in zip(mean, _rows(training, training.train, view, asked), strict=True):
            total += rows / len(views)
    return Encoded(
        features_train=features_train,
        features_test=features_test,
        embeddings_train=embeddings_train,
        embeddings_test=embeddings_test,
        mean_views_train=mean[0],
        views_test=test[0],
        feature_views=FeatureViews(mean[1], test[1]) if len(asked) > 1 else None,
        head_trained=training.trial.parts.method.trains_head,
        labels_train=training.train.labels,
        labels_test=training.test.labels,
        classes=training.semantics.names,
        temperature=training.trial.parts.temperature.at(1.0),
        k=config["k"] or None,
        synsets=training.semantics.synsets,
        similarities=training.semantics.similarities,
        validation=_held_out(training),
    )


def _held_out(training: Training) -> HeldOut | None:
    split = training.validation
    if split is None or split.labels is None:
        return None
    features, embeddings = both(training, split)
    return HeldOut(features, embeddings, split.labels)


def both(training: Training, split: Examples) -> tuple[Tensor, Tensor]:
    """Features h [N, F] and unit embeddings z [N, D] of a split as it is; Diverged where they are not finite."""
    h, z = zip(*represent(training, split), strict=True)
    for rows, what in ((h, "features"), (z, "embeddings")):
        check_finite(torch.stack([some.isfinite().all() for some in rows]).all(), what, training.epoch)
    return torch.cat(h), torch.cat(z)


def _rows(training: Training, split: Examples, view: int, of: Sequence[Representation]) -> list[Tensor]:
    """Unit rows of a view, of each of these representations."""
    batches = [
        [unit_rows(h) if space == "features" else z for space in of] for h, z in represent(training, split, view=view)
    ]
    return [torch.cat(rows) for rows in zip(*batches, strict=True)]


def _of_features(training: Training) -> bool:
    """Whether an evaluation is made of features as unit rows."""
    parts = training.trial.parts
    made = (e for e in parts.evaluations.values() if isinstance(e, OfRepresentations))
    return any("features" in evaluation.spaces(head_trained=parts.method.trains_head) for evaluation in made)


def evaluate(training: Training) -> Findings:
    """Every evaluation of the trained encoder; what is reported is of the test split, what is chosen of neither."""

    def running(name: str) -> None:
        training.part = f"evaluating {name}"

    training.part = "encoding both splits"
    with layers_draw(training.device, training.seed, *AFTER_TRAINING):
        return evaluate_encoded(
            training.trial.parts.evaluations.values(),
            encode(training),
            generator=generator("cpu", training.seed, Stream.EVALUATION),
            running=running,
        )


def on_the_way(training: Training, folder: TrialFolder) -> dict[str, float]:
    """The scalars of the evaluation `negatives` after the present epoch, if the config asks for them then.

    Its tables are written under their names and `.epoch_<n>`. Nothing after the last epoch, when every evaluation is
    made anyway.
    """
    every, probe = training.trial.config["negatives_every"], training.trial.parts.evaluations.get("negatives")
    if every is None or training.epoch % every or training.epoch == training.epochs:
        return {}
    assert isinstance(probe, Negatives)  # resolve refuses negatives_every without it
    training.part = "evaluating negatives"
    h, z = both(training, training.test)
    started, found = time.perf_counter(), Findings({})
    for space in probe.spaces(head_trained=training.trial.parts.method.trains_head):
        rows = unit_rows(h) if space == "features" else z
        found.add(probe.describe(rows, training.test.labels, training.semantics).named(space))
    for name, table in found.tables.items():
        folder.write_table(f"{name}.epoch_{training.epoch}", table)
    return found.metrics | {"time.negatives_s": time.perf_counter() - started}

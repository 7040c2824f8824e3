"""Similarity of pairs of classes by the untrained encoder, and by the vectors of the classes' names."""

import torch

from models.methods.method import unit_rows
from study.evaluation.negatives import Negatives
from study.semantics.pairs import UNTRAINED, WORDS, class_similarity, pair_rows
from study.storage.store import TrialFolder
from study.trial.encode import AFTER_TRAINING, both
from study.trial.streams import layers_draw
from study.trial.training import Training

TABLE = "negatives.untrained"


@torch.no_grad()
def untrained(training: Training, folder: TrialFolder) -> None:
    """Write the table of that name, to be called before the first step.

    Nothing where the evaluation `negatives` is not asked for, or the meaning of the classes is not known; nothing new
    where the trial has it, as it was begun before.
    """
    labels, parts = training.test.labels, training.trial.parts
    known = labels is not None and training.semantics.similarities
    if not known or not isinstance(parts.evaluations.get("negatives"), Negatives) or folder.table(TABLE):
        return
    training.part = "evaluating negatives on the untrained encoder"
    with layers_draw(training.device, training.seed, *AFTER_TRAINING):
        rows = unit_rows(both(training, training.test)[0])
    assert labels is not None
    similarity = class_similarity(rows.cpu().numpy(), labels.cpu().numpy(), len(training.semantics.names))
    words = {} if parts.meaning.words is None else {WORDS: parts.meaning.words}
    folder.write_table(TABLE, pair_rows({UNTRAINED: similarity, **words}))

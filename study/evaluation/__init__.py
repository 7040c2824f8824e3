"""Evaluations of a trained encoder, one per file."""

from study.evaluation import contrastive as contrastive
from study.evaluation import geometry as geometry
from study.evaluation import knn as knn
from study.evaluation import linear as linear
from study.evaluation import mean_classifier as mean_classifier
from study.evaluation import negatives as negatives
from study.evaluation.evaluation import (
    EVALUATIONS,
    Blocks,
    Encoded,
    Evaluation,
    Findings,
    Metric,
    Table,
    evaluate,
    reported,
)

from study.evaluation import bounds as bounds  # isort: skip  # last: the order of registration is part of trials' ids

__all__ = ["EVALUATIONS", "Blocks", "Encoded", "Evaluation", "Findings", "Metric", "Table", "evaluate", "reported"]

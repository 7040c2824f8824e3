"""The test examples that are queries, and what the evaluation makes of them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from study import TrialConfig
from study.evaluation.negatives import Negatives, evenly_spread
from study.planning.resolve import resolve
from study.semantics import ClassSemantics
from study.trial.encode import encode
from study.trial.training import Training


@pytest.mark.parametrize("order", ["sorted", "in turn", "shuffled"])
def test_queries_are_spread_evenly_over_the_classes_whatever_the_order(order: str) -> None:
    labels = np.repeat(np.arange(50), 40)
    if order == "in turn":
        labels = labels.reshape(50, 40).T.ravel()
    if order == "shuffled":
        labels = np.random.default_rng(0).permutation(labels)
    rows = evenly_spread(2000, 200, labels)
    assert len(np.unique(rows)) == 200
    assert set(np.bincount(labels[rows])) <= {3, 4, 5}


def test_without_labels_queries_are_spread_over_the_split() -> None:
    assert evenly_spread(101, 5, None).tolist() == [0, 25, 50, 75, 100]
    assert evenly_spread(3, 500, None).tolist() == [0, 1, 2]


def test_every_class_is_a_query_also_where_there_are_more_classes_than_queries() -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randperm(120, generator=draw) % 40
    z = F.normalize(torch.randn(120, 8, generator=draw))
    semantics = ClassSemantics(tuple(f"c{c}" for c in range(40)))
    table = Negatives(queries=10).describe(z, labels, semantics).tables["negatives.difficulty"]
    assert len(table) == 40
    assert all(np.isfinite(row[name]) for row in table for name in semantics.names)


def test_a_trials_statistics_are_of_unit_rows_whatever_its_networks_compute_in(
    tiny: TrialConfig, each_precision: str
) -> None:
    trial = resolve(tiny)
    training = Training(trial, trial.parts.data.load(), torch.device("cpu"))
    training.train_epoch()
    assert training.precision == each_precision
    encoded = encode(training)
    z = encoded.embeddings_test
    torch.testing.assert_close(z.norm(dim=1), torch.ones(len(z)))  # to float32's precision in both
    metrics = Negatives().evaluate(encoded, generator=torch.Generator()).metrics
    assert metrics["negatives.pool.same_class_share"] == pytest.approx(4 / 99)  # five of each of 20 shapes
    assert all(np.isfinite(value) for value in metrics.values())

import math

import pytest
import torch
from torch.nn import functional as F

from study.evaluation import knn
from study.evaluation.knn import Knn, knn_votes, nearest_classes


def votes_one_by_one(queries, bank, labels, classes, k, t):
    """The definition, a query and a neighbour at a time."""
    votes = [[0.0] * classes for _ in queries]
    for vote, q in zip(votes, queries, strict=True):
        s = [sum(a * b for a, b in zip(q, x, strict=True)) for x in bank.tolist()]
        for j in sorted(range(len(s)), key=lambda j: -s[j])[:k]:
            vote[labels[j]] += math.exp((s[j] - max(s)) / t)
    return votes


@pytest.mark.parametrize("k", [1, 7, 1000])
def test_votes_are_those_of_the_definition(k, generator):
    queries, bank = (F.normalize(torch.randn(n, 5, generator=generator).double()) for n in (10, 40))
    labels = torch.randint(4, (40,), generator=generator)
    votes = knn_votes(queries, bank, labels, 4, neighbours=k, temperature=0.07)
    expected = votes_one_by_one(queries.tolist(), bank, labels.tolist(), 4, k, 0.07)
    torch.testing.assert_close(votes, torch.tensor(expected, dtype=torch.float64))


def test_blocks_of_queries_have_the_classes_of_all_at_once(generator, monkeypatch):
    queries, bank = (F.normalize(torch.randn(n, 5, generator=generator).double()) for n in (10, 40))
    labels = torch.randint(12, (40,), generator=generator)
    whole = knn_votes(queries, bank, labels, 12, neighbours=40, temperature=0.5)
    monkeypatch.setattr(knn, "BLOCK", 3 * 40)  # blocks of three queries
    best = nearest_classes(queries, bank, labels, 12, neighbours=40, temperature=0.5)
    assert torch.equal(best, whole.topk(5).indices)


def test_a_nearer_neighbour_outvotes_many_that_are_farther():
    bank = F.normalize(torch.tensor([[1.0, 0.1], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]))
    labels = torch.tensor([1, 0, 0, 0])
    query = torch.tensor([[1.0, 0.0]])
    assert knn_votes(query, bank, labels, 2, neighbours=4, temperature=0.07).argmax() == 1
    assert knn_votes(query, bank, labels, 2, neighbours=4, temperature=10.0).argmax() == 0


def test_small_temperatures_do_not_overflow(make_encoded, generator):
    metrics = Knn(temperature=0.005).evaluate(make_encoded(), generator=generator).metrics
    assert metrics["knn.features.top1"] > 90


def test_features_are_normalised(make_encoded, generator):
    encoded = make_encoded()
    before = Knn().evaluate(encoded, generator=generator).metrics
    encoded.features_train.mul_(torch.linspace(0.1, 10, len(encoded.features_train))[:, None])
    assert Knn().evaluate(encoded, generator=generator).metrics == before


@pytest.mark.parametrize("parameters", [{"neighbours": 0}, {"temperature": 0.0}, {"temperature": float("nan")}])
def test_parameters_out_of_range_are_refused(parameters):
    with pytest.raises(ValueError, match=f"{next(iter(parameters))} must be"):
        Knn(**parameters)

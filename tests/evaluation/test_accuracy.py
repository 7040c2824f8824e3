import numpy as np
import pytest
import torch
from scipy import stats

from study.evaluation.accuracy import accuracies, best_classes, confusion_by_meaning, confusion_matrix, confusion_tables


def test_top1_and_top5_by_hand():
    scores = -torch.arange(11.0).expand(4, 11)  # class 0 first, then 1, …
    assert accuracies("p", best_classes(scores), torch.tensor([0, 1, 4, 5])) == {"p.top1": 25.0, "p.top5": 75.0}


def test_top5_is_left_out_with_ten_classes():
    assert accuracies("p", best_classes(torch.eye(10)), torch.arange(10)) == {"p.top1": 100.0}


def test_confusion_has_the_class_in_rows():
    predicted, labels = torch.tensor([1, 1, 0, 2]), torch.tensor([0, 0, 0, 2])
    assert confusion_matrix(predicted, labels, 3).tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_tables_name_classes_and_leave_out_what_does_not_occur():
    confusion = confusion_matrix(torch.tensor([1, 1, 0, 2]), torch.tensor([0, 0, 0, 2]), 3)
    tables = confusion_tables("p", confusion, ("cat", "dog", "owl"), {})
    assert tables["p.by_class"] == [
        {"class": "cat", "count": 3, "accuracy": pytest.approx(100 / 3)},
        {"class": "owl", "count": 1, "accuracy": 100.0},
    ]
    assert tables["p.confusion"] == [
        {"class": "cat", "predicted": "cat", "count": 1, "share": pytest.approx(100 / 3)},
        {"class": "cat", "predicted": "dog", "count": 2, "share": pytest.approx(200 / 3)},
        {"class": "owl", "predicted": "owl", "count": 1, "share": 100.0},
    ]


def test_the_table_of_confusion_names_the_similarity_of_the_pair():
    wup = np.array([[1.0, 0.5], [0.5, 1.0]])
    tables = confusion_tables("p", torch.tensor([[1, 2], [0, 3]]), ("cat", "dog"), {"wup": wup})
    assert [row["wup"] for row in tables["p.confusion"]] == [1.0, 0.5, 1.0]


def test_confusion_follows_meaning_as_spearman_has_it():
    draw = np.random.default_rng(0)
    confusion = draw.integers(0, 6, (9, 9))  # with ties
    wup = draw.integers(1, 5, (9, 9)) / 5
    wup = (wup + wup.T) / 2
    share = confusion / confusion.sum(axis=1, keepdims=True)
    upper = np.triu_indices(9, k=1)
    expected = stats.spearmanr((share + share.T)[upper], wup[upper]).statistic
    found = confusion_by_meaning("p", torch.from_numpy(confusion), {"wup": wup})
    assert found == {"p.confusion_spearman_wup": pytest.approx(expected, abs=1e-12)}


@pytest.mark.parametrize(("sign", "rho"), [(1, 1.0), (-1, -1.0)])
def test_confusion_planted_along_or_against_meaning_correlates_perfectly(sign, rho):
    near = np.zeros((5, 5), dtype=np.int64)
    near[np.triu_indices(5, k=1)] = np.random.default_rng(0).permutation(10)
    near += near.T
    confusion = torch.from_numpy(100 + sign * near)
    confusion += torch.diag(1000 - confusion.sum(dim=1))  # as many images of every class
    found = confusion_by_meaning("p", confusion, {"wup": near / 10})
    assert found["p.confusion_spearman_wup"] == pytest.approx(rho)


def test_confusion_that_does_not_vary_has_no_correlation():
    assert confusion_by_meaning("p", torch.eye(4).long(), {"wup": np.random.default_rng(0).random((4, 4))}) == {}
    assert confusion_by_meaning("p", torch.eye(4).long(), {}) == {}

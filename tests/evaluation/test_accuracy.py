import pytest
import torch

from study.evaluation.accuracy import accuracies, confusion_matrix, confusion_tables


def test_top1_and_top5_by_hand():
    scores = -torch.arange(11.0).expand(4, 11)  # class 0 first, then 1, …
    assert accuracies("p", scores, torch.tensor([0, 1, 4, 5])) == {"p.top1": 25.0, "p.top5": 75.0}


def test_top5_is_left_out_with_ten_classes():
    assert accuracies("p", torch.eye(10), torch.arange(10)) == {"p.top1": 100.0}


def test_confusion_has_the_class_in_rows():
    predicted, labels = torch.tensor([1, 1, 0, 2]), torch.tensor([0, 0, 0, 2])
    assert confusion_matrix(predicted, labels, 3).tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_tables_name_classes_and_leave_out_what_does_not_occur():
    scores = torch.eye(3)[torch.tensor([1, 1, 0, 2])]
    tables = confusion_tables("p", scores, torch.tensor([0, 0, 0, 2]), ("cat", "dog", "owl"))
    assert tables["p.by_class"] == [
        {"class": "cat", "count": 3, "accuracy": pytest.approx(100 / 3)},
        {"class": "owl", "count": 1, "accuracy": 100.0},
    ]
    assert tables["p.confusion"] == [
        {"class": "cat", "predicted": "cat", "count": 1, "share": pytest.approx(100 / 3)},
        {"class": "cat", "predicted": "dog", "count": 2, "share": pytest.approx(200 / 3)},
        {"class": "owl", "predicted": "owl", "count": 1, "share": 100.0},
    ]

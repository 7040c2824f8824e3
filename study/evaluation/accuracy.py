"""Accuracy from scores: top-1, top-5, class by class, and what is taken for what."""

from collections.abc import Sequence

import torch
from torch import Tensor

from study.evaluation.evaluation import Metric, Table


def accuracy_metrics(prefix: str, classifier: str) -> dict[str, Metric]:
    """The declarations of what `accuracies` reports under that prefix."""
    return {
        f"{prefix}.top1": Metric("max", "%", f"test accuracy of {classifier}"),
        f"{prefix}.top5": Metric("max", "%", f"test images with their class among the five best of {classifier}"),
    }


def accuracies(prefix: str, scores: Tensor, labels: Tensor) -> dict[str, float]:
    """`<prefix>.top1` and, with more than 10 classes, `<prefix>.top5`, in percent.

    Shapes: scores [M, C] (a class with a greater score is preferred), labels int64 [M].
    """
    tops = (1, 5) if scores.shape[1] > 10 else (1,)
    best = scores.topk(max(tops), dim=1).indices  # [M, 1 or 5]
    hits = best == labels[:, None]
    return {f"{prefix}.top{n}": 100 * hits[:, :n].any(dim=1).double().mean().item() for n in tops}


def confusion_matrix(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts of test images by class (row) and predicted class (column). Shape: int64 [M], [M] → [C, C]."""
    return torch.bincount(labels * classes + predicted, minlength=classes * classes).view(classes, classes)


def confusion_tables(prefix: str, scores: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, Table]:
    """`<prefix>.by_class`: a row a class; `<prefix>.confusion`: a row a pair (class, predicted) that occurs.

    Shapes: scores [M, C], labels int64 [M]. `accuracy` and `share` are percent of the images of the class.
    """
    confusion = confusion_matrix(scores.argmax(dim=1), labels, len(classes)).cpu()
    count = confusion.sum(dim=1)  # [C]
    share = 100 * confusion.double() / count.clamp(min=1)[:, None]
    by_class: Table = [
        {"class": name, "count": count[c].item(), "accuracy": share[c, c].item()}
        for c, name in enumerate(classes)
        if count[c] > 0
    ]
    pairs: Table = [
        {"class": classes[c], "predicted": classes[p], "count": confusion[c, p].item(), "share": share[c, p].item()}
        for c, p in confusion.nonzero().tolist()
    ]
    return {f"{prefix}.by_class": by_class, f"{prefix}.confusion": pairs}

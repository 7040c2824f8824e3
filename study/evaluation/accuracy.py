"""Accuracy from scores: top-1, top-5, class by class, and what is taken for what."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from study.evaluation.evaluation import Metric, Table
from study.semantics.ranking import ranks

MEASURE = "wup"
"""The similarity of meaning that confusion is held against."""


def accuracy_metrics(prefix: str, classifier: str) -> dict[str, Metric]:
    """The declarations of what `accuracies` reports under that prefix, of test and of the held-out examples."""
    found = {}
    for at, of in ((prefix, "test"), (f"{prefix}.validation", "held-out")):
        found[f"{at}.top1"] = Metric("max", "%", f"{of} accuracy of {classifier}")
        among = "with their class among the five best"
        found[f"{at}.top5"] = Metric("max", "%", f"{of} images {among} of {classifier}")
    return found


def best_classes(scores: Tensor) -> Tensor:
    """The class with the greatest score, with more than 10 classes the five. Shape: [M, C] → int64 [M, 1 or 5]."""
    return scores.topk(5 if scores.shape[1] > 10 else 1, dim=1).indices


def accuracies(prefix: str, best: Tensor, labels: Tensor) -> dict[str, float]:
    """`<prefix>.top1` and, with more than 10 classes, `<prefix>.top5`, in percent.

    Shapes: int64 [M, 1 or 5], as `best_classes` has them, labels int64 [M].
    """
    hits = (best == labels[:, None]).cumsum(dim=1).double().mean(dim=0).tolist()  # among the n first, n = 1 … 5
    return {f"{prefix}.top{n}": 100 * hits[n - 1] for n in (1, 5) if n <= len(hits)}


def confusion_matrix(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts of test images by class (row) and predicted class (column). Shape: int64 [M], [M] → [C, C]."""
    return torch.bincount(labels * classes + predicted, minlength=classes * classes).view(classes, classes)


def confusion_tables(
    prefix: str, confusion: Tensor, classes: Sequence[str], similarities: Mapping[str, np.ndarray]
) -> dict[str, Table]:
    """`<prefix>.by_class`: one row per class; `<prefix>.confusion`: one row per pair (class, predicted) that occurs.

    Shape: confusion int64 [C, C]. `accuracy` and `share` are percent of the images of the class; `similarities`
    (measure → [C, C]) adds the pair's similarity in wup.
    """
    counts, shares = confusion.tolist(), confusion_share(confusion).tolist()
    by_class: Table = [
        {"class": name, "count": sum(counts[c]), "accuracy": shares[c][c]}
        for c, name in enumerate(classes)
        if any(counts[c])
    ]
    wup = similarities.get(MEASURE)
    pairs: Table = [
        {"class": classes[c], "predicted": classes[p], "count": counts[c][p], "share": shares[c][p]}
        | ({} if wup is None else {MEASURE: float(wup[c, p])})
        for c, p in confusion.nonzero().tolist()
    ]
    return {f"{prefix}.by_class": by_class, f"{prefix}.confusion": pairs}


def confusion_share(confusion: Tensor) -> Tensor:
    """Percent of the images of a class (row) that are taken for another (column), float64 [C, C]; 0 without images."""
    return 100 * confusion.double() / confusion.sum(dim=1).clamp(min=1)[:, None]


def confusion_metrics(prefix: str, classifier: str) -> dict[str, Metric]:
    """The declaration of what `confusion_by_meaning` reports under that prefix."""
    what = f"ρ over pairs of classes of how often {classifier} confuses them and their similarity of meaning"
    return {f"{prefix}.confusion_spearman_{MEASURE}": Metric(None, "", what)}


def confusion_by_meaning(prefix: str, confusion: Tensor, similarities: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Spearman's ρ, over unordered pairs of classes, of confusion (mean share of both directions) and similarity.

    Shape: confusion int64 [C, C]. Nothing without similarities, or where one of the two does not vary.
    """
    wup = similarities.get(MEASURE)
    if wup is None or len(confusion) < 3:
        return {}
    share = confusion_share(confusion).cpu()  # where the similarities are
    first, second = torch.triu_indices(len(confusion), len(confusion), offset=1)
    near = np.asarray(wup, dtype=np.float64)[first, second]
    both = np.stack([ranks((share + share.T)[first, second].numpy()), ranks(near)])
    rho = torch.corrcoef(torch.from_numpy(both))[0, 1].item()
    return {} if np.isnan(rho) else {f"{prefix}.confusion_spearman_{MEASURE}": rho}

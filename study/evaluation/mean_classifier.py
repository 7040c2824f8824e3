"""Mean classifier: each class is represented by the mean embedding of its training images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from study.evaluation.accuracy import accuracies, accuracy_metrics, best_classes
from study.evaluation.evaluation import EVALUATIONS, Blocks, Encoded, Findings, Metric, OfRepresentations, of_both

BLOCK = 2**23  # scores held at once: 32 MiB in float32


def class_means(mean_views: Tensor, labels: Tensor, classes: int) -> Tensor:
    """µ_c = mean over the training images of class c of f̄(x), not normalised again (Arora 2019, 1902.09229, §2).

    Shapes: mean_views [N, D] (f̄, the mean over augmented views of unit z), labels int64 [N] → [C, D]. A class without
    images is a row of NaN.
    """
    sums = mean_views.new_zeros(classes, mean_views.shape[1]).index_add_(0, labels, mean_views)
    return sums / torch.bincount(labels, minlength=classes)[:, None]


@EVALUATIONS.register("mean_classifier")
@dataclass(frozen=True, kw_only=True)
class MeanClassifier(OfRepresentations):
    """Mean classifier µ on embeddings: accuracy on test images, cross-entropy L_sup on their augmented views."""

    needs_labels: ClassVar[bool] = True
    reports: ClassVar[Mapping[str, Metric]] = of_both(
        {
            **accuracy_metrics("mean_classifier", "the mean classifier on un-augmented embeddings"),
            "mean_classifier.loss": Metric(
                "min", "nats", "L_sup: cross-entropy of z·µ_c/t over all classes, on augmented test views"
            ),
        }
    )

    def unavailable(self, encoded: Encoded) -> str | None:
        if encoded.labels_train is not None:
            counts = torch.bincount(encoded.labels_train, minlength=len(encoded.classes)).tolist()
            empty = [name for name, count in zip(encoded.classes, counts, strict=True) if count == 0]
            if empty:
                return f"no training image of {', '.join(empty)}"
        return super().unavailable(encoded)

    def measure(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        labels_train, labels_test = encoded.labels()
        mu = class_means(encoded.mean_views_train, labels_train, len(encoded.classes))  # [C, D]
        blocks, m = Blocks(BLOCK // len(mu)), len(labels_test)

        def losses(rows: slice) -> Tensor:  # summed, a view each
            scores = (z[rows] @ mu.T / encoded.temperature for z in encoded.views_test)
            return torch.stack([F.cross_entropy(s, labels_test[rows], reduction="sum") for s in scores])

        def top(z: Tensor) -> Tensor:
            return torch.cat(list(blocks(len(z), lambda rows: best_classes(z[rows] @ mu.T))))

        metrics = accuracies("mean_classifier", top(encoded.embeddings_test), labels_test)
        if held := encoded.validation:
            metrics |= accuracies("mean_classifier.validation", top(held.embeddings), held.labels)
        loss = (torch.stack(list(blocks(m, losses))).sum(dim=0) / m).mean()
        return Findings(metrics | {"mean_classifier.loss": loss.item()})

"""Linear probe: multinomial logistic regression on cached features and embeddings, to its optimum by L-BFGS."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from study.evaluation.accuracy import (
    accuracies,
    accuracy_metrics,
    best_classes,
    confusion_by_meaning,
    confusion_matrix,
    confusion_metrics,
    confusion_tables,
)
from study.evaluation.classifier import Classifier, Labelled
from study.evaluation.evaluation import EVALUATIONS, Blocks, Findings, Metric

BLOCK = 2**23  # scores held at once: 32 MiB in float32


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear classifier of standardised features: scores = W (h − mean)/std + b."""

    weight: Tensor  # [C, F]
    bias: Tensor  # [C]
    mean: Tensor  # [F] of the training features
    std: Tensor  # [F], 1 where a feature is constant
    penalty: float  # λ, chosen on held-out examples

    def scores(self, features: Tensor) -> Tensor:
        """Logits. Shape: [M, F] → [M, C]."""
        return F.linear((features - self.mean) / self.std, self.weight, self.bias)

    def best(self, features: Tensor) -> Tensor:
        """The classes with the greatest scores, as `best_classes` has them. Shape: [M, F] → int64 [M, 1 or 5]."""
        blocks = Blocks(BLOCK // max(self.weight.shape))
        return torch.cat(list(blocks(len(features), lambda rows: best_classes(self.scores(features[rows])))))


def logistic_regression(
    x: Tensor,
    labels: Tensor,
    penalty: float,
    *,
    start: tuple[Tensor, Tensor],
    tolerance: float,
    max_iterations: int = 500,
) -> tuple[Tensor, Tensor]:
    """W and b that minimise −(1/N) Σ_i log softmax(W x_i + b)[y_i] + (λ/2)‖W‖², from `start`, by L-BFGS.

    Shapes: x [N, F] with columns of mean about 0, labels int64 [N] → W [C, F], b [C]. The search runs over V, W = V Pᵀ
    with P Pᵀ = (xᵀx/(N C) + λ)⁻¹, the inverse of the curvature at W = 0 (Böhning 1992): the optimum is the same, in
    3 to 6 times fewer steps on convolutional features. It ends where no entry of the gradient in V exceeds `tolerance`.
    Memory beside x: some [C, F] and [F, F], and blocks of the scores.
    """
    n, classes = len(x), len(start[1])
    root, p = _preconditioner(x, classes, penalty)  # [F, F] each
    v, b = start[0] @ root, start[1].clone()
    blocks, columns = Blocks(BLOCK // classes), torch.arange(n, device=x.device)

    def loss_and_gradient() -> float:
        w = v @ p.T  # [C, F]

        def of(rows: slice) -> tuple[Tensor, Tensor, Tensor]:
            own = labels[rows], columns[: rows.stop - rows.start]  # the label of each column
            residual = torch.addmm(
                b[:, None], w, x[rows].T
            )  # [C, n]: narrow products are 3 times faster this way round
            residual = residual.log_softmax(dim=0)
            loss = residual[own].sum()
            residual.exp_()[own] -= 1
            return loss, residual @ x[rows], residual.sum(dim=1)

        loss, by_weight, by_bias = x.new_zeros(()), torch.zeros_like(w), torch.zeros_like(b)
        for parts in blocks(n, of):
            for total, part in zip((loss, by_weight, by_bias), parts, strict=True):
                total += part
        v.grad, b.grad = (by_weight / n + penalty * w) @ p, by_bias / n
        return float(penalty / 2 * w.square().sum() - loss / n)

    lbfgs = torch.optim.LBFGS(
        [v, b],
        max_iter=max_iterations,
        tolerance_grad=tolerance,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    lbfgs.step(loss_and_gradient)
    return v @ p.T, b


def _preconditioner(x: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """L and P = L⁻ᵀ with L Lᵀ = xᵀx/(N C) + λ. Shape: x [N, F] → [F, F], [F, F]."""
    curvature = (x.T @ x).double() / (len(x) * classes)
    curvature.diagonal().add_(max(penalty, 1e-4))  # the floor keeps its float32 sums positive definite
    root = torch.linalg.cholesky(curvature)
    eye = torch.eye(len(root), dtype=root.dtype, device=root.device)
    return root.to(x.dtype), torch.linalg.solve_triangular(root.T, eye, upper=True).to(x.dtype)


def stratified_split(labels: Tensor, held_out: float, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices to fit on and indices held out: of each class that share, at least one where it has two or more.

    Shape: int64 [N] → int64 [N − H], int64 [H].
    """
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    by_class = order[labels[order].argsort(stable=True)]  # a class after the other, each in random order
    of, count = labels[by_class], torch.bincount(labels)
    place = torch.arange(len(labels), device=labels.device) - (count.cumsum(0) - count)[of]  # within the class
    share = (held_out * count.double()).round().long().clamp(min=1).minimum(count - 1)  # [C]
    held = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    held[by_class] = place < share[of]
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def fit_probe(
    features: Tensor,
    labels: Tensor,
    classes: int,
    *,
    penalties: tuple[float, ...],
    held_out: float,
    generator: torch.Generator,
    validation: tuple[Tensor, Tensor] | None = None,
) -> Probe:
    """The probe at the penalty with the least cross-entropy on the held-out examples, fitted to all of train.

    Shapes: features [N, F], labels int64 [N], validation [V, F] and int64 [V]; without it, the share `held_out` of
    train is held out for the choice. The search goes from the middle penalty to its neighbours as long as the
    cross-entropy falls, each fit starting at the one before. The features are copied once.
    """
    std, mean = torch.std_mean(features, dim=0, correction=0)
    std = torch.where(std > 0, std, 1.0)
    if validation is None:
        fitted, held = stratified_split(labels, held_out, generator=generator)
        order, n = torch.cat([fitted, held]), len(fitted)
        x, y = features[order].sub_(mean).div_(std), labels[order]
        chosen_on = x[n:], y[n:]
    else:
        x, y, n = (features - mean).div_(std), labels, len(labels)
        chosen_on = (validation[0] - mean).div_(std), validation[1]
    weights = (x.new_zeros(classes, x.shape[1]), x.new_zeros(classes))

    def fit(penalty: float, start: tuple[Tensor, Tensor]) -> tuple[float, tuple[Tensor, Tensor]]:
        found = logistic_regression(x[:n], y[:n], penalty, start=start, tolerance=1e-3)
        return _cross_entropy(*chosen_on, *found).item(), found

    ascending = sorted(penalties)
    middle = at = len(ascending) // 2
    least, best = fit(ascending[at], weights)
    for step in (-1, 1):
        while at == middle or (at - middle) * step > 0:
            if not 0 <= at + step < len(ascending):
                break
            loss, weights = fit(ascending[at + step], best)
            if not loss < least:
                break
            least, best, at = loss, weights, at + step
    weight, bias = logistic_regression(x, y, ascending[at], start=best, tolerance=1e-4)
    return Probe(weight, bias, mean, std, ascending[at])


def _cross_entropy(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Mean of −log softmax(W x_i + b)[y_i]. Shapes: [N, F], [N], [C, F], [C] → []."""

    def of(rows: slice) -> Tensor:
        return F.cross_entropy(F.linear(x[rows], weight, bias), labels[rows], reduction="sum")

    return sum(Blocks(BLOCK // len(bias))(len(x), of), x.new_zeros(())) / len(x)


@EVALUATIONS.register("linear")
@dataclass(frozen=True, kw_only=True)
class Linear(Classifier):
    """Linear probe on features and on embeddings; its penalty is chosen on the held-out examples, never on test."""

    penalties: tuple[float, ...] = (1e1, 3e0, 1e0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
    """L2 penalties λ to choose from, for standardised features and the mean cross-entropy"""
    held_out: float = 0.1
    """share of each training class on which the penalty is chosen where the data holds none out, in (0, 1)"""

    reports: ClassVar[Mapping[str, Metric]] = {
        **accuracy_metrics("linear.features", "the linear probe on features h"),
        **confusion_metrics("linear.features", "the linear probe on features"),
        "linear.features.penalty": Metric(None, "", "L2 penalty that the probe on features chose"),
        **accuracy_metrics("linear.embeddings", "the linear probe on embeddings z"),
        **confusion_metrics("linear.embeddings", "the linear probe on embeddings"),
        "linear.embeddings.penalty": Metric(None, "", "L2 penalty that the probe on embeddings chose"),
        **accuracy_metrics("linear.floor", "the linear probe on features of the untrained encoder"),
        "linear.floor.penalty": Metric(None, "", "L2 penalty that the probe of the untrained encoder chose"),
    }

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) <= 0:
            raise ValueError(
                f"linear: penalties must be one or more numbers above 0, got {self.penalties}; try (0.01,)"
            )
        if not 0 < self.held_out < 1:
            raise ValueError(f"linear: held_out must lie in (0, 1), got {self.held_out}; try 0.1")

    def classify(self, prefix: str, data: Labelled, *, generator: torch.Generator) -> Findings:
        count, held = len(data.classes), data.held_out
        fitted = fit_probe(
            *data.train, count, penalties=self.penalties, held_out=self.held_out, generator=generator, validation=held
        )
        x, y = data.test
        best = fitted.best(x)
        metrics = accuracies(prefix, best, y) | {f"{prefix}.penalty": fitted.penalty}
        if held is not None:
            metrics |= accuracies(f"{prefix}.validation", fitted.best(held[0]), held[1])
        confusion = confusion_matrix(best[:, 0], y, count).cpu()
        metrics |= confusion_by_meaning(prefix, confusion, data.similarities)
        return Findings(metrics, confusion_tables(prefix, confusion, data.classes, data.similarities))

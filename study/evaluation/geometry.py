"""Geometry of the embeddings on the sphere: alignment, uniformity, tolerance."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from study.evaluation.evaluation import EVALUATIONS, Blocks, Encoded, Findings, Metric, OfRepresentations, of_both

BLOCK = 2048  # rows of a block of the pairwise products: 16 MiB in float32


def alignment(x: Tensor, y: Tensor, alpha: float = 2.0) -> Tensor:
    """E‖x − y‖^α over positive pairs (Wang & Isola 2020, 2005.10242, §4.1). Shapes: [M, D], [M, D] → []."""
    return (x - y).square().sum(dim=1).pow(alpha / 2).mean()


def uniformity(z: Tensor, t: float = 2.0) -> Tensor:
    """log E e^{−t‖x−y‖²} over unordered pairs without self (Wang & Isola 2020, 2005.10242, §4.1).

    Shape: z [M, D] unit rows, M ≥ 2 → [], in float64. It is least, −2t in the limit, for points spread evenly.
    """

    def potentials(rows: slice) -> Tensor:  # of these rows with one another and with all later ones
        x, later = z[rows], z[rows.stop :].split(rows.stop - rows.start)
        within = (2 * t * (x @ x.T - 1)).exp()  # ‖x − y‖² = 2 − 2 x·y
        total = within.triu_(diagonal=1).sum(dtype=torch.float64)
        for y in later:
            total += (2 * t * (x @ y.T - 1)).exp().sum(dtype=torch.float64)
        return total

    total = sum(Blocks(BLOCK)(len(z), potentials), z.new_zeros((), dtype=torch.float64))
    return (total / (len(z) * (len(z) - 1) / 2)).log()


def tolerance(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """E[x·y 1{same class}] over all pairs, and E[x·y | same class] (Wang & Liu 2021, 2012.09740).

    Both over unordered pairs without self. Shapes: z [M, D] unit rows, M ≥ 2, labels int64 [M] → [], []. The second
    is NaN where no two images share a class. By Σ_{i≠j} z_i·z_j = ‖Σ z_i‖² − Σ ‖z_i‖² within each class.
    """
    z = z.double()
    sums = z.new_zeros(int(labels.max()) + 1, z.shape[1]).index_add_(0, labels, z)  # [C, D]
    total = sums.square().sum() - z.square().sum()
    count = torch.bincount(labels).double()
    return total / (len(z) * (len(z) - 1)), total / (count * (count - 1)).sum()


@EVALUATIONS.register("geometry")
@dataclass(frozen=True, kw_only=True)
class Geometry(OfRepresentations):
    """Alignment of the views of a test image, uniformity and (with labels) tolerance of the test embeddings."""

    reports: ClassVar[Mapping[str, Metric]] = of_both(
        {
            "geometry.alignment": Metric("min", "", "E‖z − z⁺‖² between two augmented views of a test image"),
            "geometry.uniformity": Metric("min", "", "log E e^{−2‖x−y‖²} over pairs of test images"),
            "geometry.tolerance": Metric(None, "", "E[x·y 1{same class}] over all pairs of test images"),
            "geometry.tolerance_same_class": Metric(None, "", "E[x·y | same class] over pairs of test images"),
        }
    )

    def measure(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        z = encoded.embeddings_test
        pairs = [alignment(x, y) for x, y in combinations(encoded.views_test, 2)]
        metrics = {
            "geometry.alignment": torch.stack(pairs).mean().item(),
            "geometry.uniformity": uniformity(z).item(),
        }
        if encoded.labels_test is not None:
            over_all, within = tolerance(z, encoded.labels_test)
            metrics["geometry.tolerance"] = over_all.item()
            metrics["geometry.tolerance_same_class"] = within.item()
        return Findings(metrics)

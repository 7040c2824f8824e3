"""The evaluation that holds a trained encoder against the bounds: terms and slack at the trial's K and others."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from study.bounds import BOUNDS
from study.bounds.estimate import Estimate, bound_row, estimate_bounds
from study.evaluation.evaluation import EVALUATIONS, Encoded, Evaluation, Findings, Metric
from study.evaluation.mean_classifier import class_means

TERMS = {
    "contrastive_loss": "L_cont(K) of the test split, one-directional, as the bounds take it",
    "supervised_loss": "L_sup: cross-entropy of the mean classifier over all classes",
    "sup_conditional": "L_sup over the draws in which all classes are present",
    "sub_conditional": "L_sub: cross-entropy over the classes present, where not all are",
    "gap": "d(f) = (1/t) E[min(0, z·(µ_y − f̄(x)))]",
    "log_collisions": "E ln(Col+1) of the draws",
    "collision_upper": "upper bound of the collision term: mean |s(i,j) − s(i,i⁺)| over j of i's class",
}
COSINES = ("collision_upper",)  # a pure number; the other terms are in nats
COLDEST = 0.005
READINGS = {
    "contrastive_lower": ("what L_cont cannot be below", "nats"),
    "slack": ("L_cont minus the lower bound; below 0 the bound is violated", "nats"),
    "supervised_upper": ("what L_sup cannot be above", "nats"),
    "supervised_upper_closed": ("the same from L_cont, K and the class counts alone", "nats"),
}


def _reports() -> dict[str, Metric]:
    units = {name: "" if name in COSINES else "nats" for name in TERMS}
    terms = {f"bounds.{name}": Metric(None, units[name], what) for name, what in TERMS.items()}
    terms |= {f"bounds.{name}_se": Metric(None, units[name], f"standard error of {name}") for name in TERMS}
    terms["bounds.collision"] = Metric(None, "", "τ_K, the probability of a collision, exact")
    terms["bounds.coverage"] = Metric(None, "", "υ_{K+1}, the probability that all classes are present, exact")
    terms["bounds.expected_log_collisions"] = Metric(None, "nats", "E ln(Col+1), exact")
    terms["bounds.replacement"] = Metric(None, "", "1 where negatives are drawn with replacement, 0 where without")
    for bound, (reading, (what, unit)) in itertools.product(BOUNDS, READINGS.items()):
        terms[f"bounds.{bound}.{reading}"] = Metric(None, unit, f"{BOUNDS.describe(bound)}: {what}")
        terms[f"bounds.{bound}.{reading}_se"] = Metric(None, unit, f"standard error of {reading} over draws")
    return terms


class _Reports(Mapping[str, Metric]):
    """The metrics of the bounds that are registered when it is asked: a user's may come later than this file."""

    def __getitem__(self, name: str) -> Metric:
        return _reports()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_reports())

    def __len__(self) -> int:
        return len(_reports())


@EVALUATIONS.register("bounds")
@dataclass(frozen=True, kw_only=True)
class Bounds(Evaluation):
    """Theoretical bounds on test draws at the trial's K and a profile of others; µ is that of the training split."""

    profile: tuple[int, ...] = (4, 16, 32, 64, 128, 256, 512, 1024)
    """the K at which the table is made, besides the trial's own"""
    replacement: bool = False
    """draw negatives with replacement: all probabilities and closed forms are then those of such draws"""

    needs_labels: ClassVar[bool] = True

    def __getstate__(self) -> dict[str, Any]:
        """With the bounds that are registered here: a worker, which gets it by value, knows none of a user's."""
        return vars(self) | {"_bounds": dict(BOUNDS)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, bound in state.pop("_bounds").items():
            if name not in BOUNDS:
                BOUNDS.register(name)(bound)
        vars(self).update(state)

    needs_head: ClassVar[bool] = True
    reports: ClassVar[Mapping[str, Metric]] = _Reports()

    def __post_init__(self) -> None:
        if not self.profile or min(self.profile) < 1:
            raise ValueError(f"bounds: profile must list numbers of negatives of at least 1, got {self.profile}")

    def unavailable(self, encoded: Encoded) -> str | None:
        if (reason := super().unavailable(encoded)) is not None:
            return reason
        if encoded.temperature < COLDEST:
            return f"at t = {encoded.temperature:g} below {COLDEST} e^(2/t) overflows"
        for split, labels in zip(("training", "test"), encoded.labels(), strict=True):
            absent = sorted(set(range(len(encoded.classes))) - set(labels.unique().tolist()))
            if absent:
                return f"classes absent from the {split} split: {', '.join(encoded.classes[c] for c in absent)}"
        return None

    def evaluate(self, encoded: Encoded, *, generator: torch.Generator) -> Findings:
        labels_train, labels_test = encoded.labels()
        most = len(labels_test) - 1
        asked = sorted({*self.profile, encoded.k or 1})
        ks = [k for k in asked if self.replacement or k <= most]
        if not ks:
            return Findings({}, skipped={"bounds": _beyond(asked, most)})
        seed = int(torch.randint(2**31, (), generator=generator))
        estimate = estimate_bounds(
            encoded.views_test.cpu().numpy(),
            labels_test.cpu().numpy(),
            ks,
            temperature=encoded.temperature,
            generator=np.random.default_rng(seed),
            class_means=class_means(encoded.mean_views_train, labels_train, len(encoded.classes)).cpu().numpy(),
            replacement=self.replacement,
        )
        reports = dict(self.reports)
        metrics = self._at(estimate, ks.index(encoded.k)) if encoded.k in ks else {}
        return Findings(
            {name: value for name, value in metrics.items() if name in reports and not math.isnan(value)},
            {"bounds.terms": estimate.table(), "bounds.profile": estimate.bounds()},
            {"bounds": _beyond([k for k in asked if k > most], most)} if len(ks) < len(asked) else {},
        )

    def _at(self, estimate: Estimate, i: int) -> dict[str, float]:
        found = {f"bounds.{name}": float(value) for name, value in estimate.table()[i].items()}
        found["bounds.replacement"] = float(self.replacement)
        for name in BOUNDS:
            row = bound_row(name, BOUNDS[name](), estimate.terms[i])
            found |= {f"bounds.{name}.{key}": float(v) for key, v in row.items() if not isinstance(v, str)}
        return found


def _beyond(ks: list[int], most: int) -> str:
    return (
        f"at K = {', '.join(map(str, ks))}: more than the {most} other test samples to draw without replacement; "
        "take a larger test split, or {name: bounds, replacement: true}"
    )

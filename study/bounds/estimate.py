"""The terms of every bound, for any list of K, from one pass over cached embeddings of the test split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from study.bounds.bound import BOUNDS, Bound, BoundTerms, why_infinite
from study.bounds.draws import ENOUGH_KEYS, MEASURED, Draw, Matrix, draw_terms
from study.bounds.priors import Array, whole_numbers, with_replacement, without_replacement
from study.bounds.probabilities import (
    collision_free_coverage,
    collision_probability,
    coverage_probability,
    expected_log_collisions,
)

BLOCKS = 40  # independent blocks of anchors and keys; the standard errors are those of a mean over blocks


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The terms at each K with replicates over independent blocks of draws, and what does not depend on K."""

    terms: tuple[BoundTerms, ...]  # one a K; measured terms are arrays [R]
    expected_log_collisions: tuple[float, ...]  # E ln(Col+1) exactly, beside the measured one
    collision_upper: float  # upper bound of the collision term, see `collision_upper_bound`
    collision_upper_se: float
    replacement: bool

    def table(self) -> list[dict[str, float]]:
        """One row per K: every term with its standard error (`…_se`), L_sup and L_sub also as conditional means."""
        return [self._row(terms, exact) for terms, exact in zip(self.terms, self.expected_log_collisions, strict=True)]

    def _row(self, terms: BoundTerms, exact: float) -> dict[str, float]:
        row: dict[str, float] = {"k": terms.k}
        for name in MEASURED:
            row[name], row[f"{name}_se"] = mean_and_error(getattr(terms, name))
        for name, seen in (("sup", terms.covered), ("sub", 1 - terms.covered)):
            row[f"{name}_conditional"], row[f"{name}_conditional_se"] = ratio_and_error(getattr(terms, name), seen)
        row |= {"coverage": terms.coverage, "collision": 1 - terms.no_collision, "expected_log_collisions": exact}
        return row | {"collision_upper": self.collision_upper, "collision_upper_se": self.collision_upper_se}

    def bounds(self) -> list[dict[str, float | str]]:
        """A row a (K, bound): both readings in the data form, the closed one, slack = L_cont − lower bound, each with
        its standard error, and the reason where L_sup has no upper bound."""
        return [bound_row(name, BOUNDS[name](), terms) for terms in self.terms for name in BOUNDS]


def bound_row(name: str, bound: Bound, terms: BoundTerms) -> dict[str, float | str]:
    """One bound on one set of terms; `violated` says that L_cont is below the bound by over two standard errors.

    That is of this row by itself: of many rows whose bounds hold with equality some are violated by chance (2 % each).
    `Results.slack` and the report count with p-values that are adjusted for the number of rows.
    """
    lower, upper = bound.contrastive_lower(terms), bound.supervised_upper(terms)
    row: dict[str, float | str] = {"k": terms.k, "bound": name}
    row["contrastive_lower"], row["contrastive_lower_se"] = mean_and_error(lower)
    row["slack"], row["slack_se"] = slack, error = mean_and_error(terms.contrastive_loss - lower)
    row["supervised_upper"], row["supervised_upper_se"] = mean_and_error(upper)
    closed = bound.supervised_upper_closed(terms.contrastive_loss, terms.k, terms.draws, terms.temperature)
    row["supervised_upper_closed"], row["supervised_upper_closed_se"] = mean_and_error(closed)
    row["violated"] = float(slack < -2 * error)
    row["reason"] = why_infinite(bound, terms.k, len(terms.priors), upper)
    return row


def mean_and_error(replicates: ArrayLike) -> tuple[float, float]:
    """Mean and its standard error over replicates [R]; no error (NaN) for one number, 0 where the mean is infinite."""
    values = np.atleast_1d(np.asarray(replicates, dtype=np.float64))
    scale = float(np.abs(values).max())
    if scale == 0 or not np.isfinite(scale):
        return float(values[0]), 0.0
    values = values / scale  # bounds reach 1e200, whose square overflows
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return scale * float(values.mean()), scale * float(error)


def ratio_and_error(numerator: Array, denominator: Array) -> tuple[float, float]:
    """Ratio of two means over replicates [R], with its standard error to first order; NaN where the second is 0."""
    if denominator.mean() == 0:
        return np.nan, np.nan
    ratio = float(numerator.mean() / denominator.mean())
    return ratio, mean_and_error((numerator - ratio * denominator) / denominator.mean())[1]


def estimate_bounds(
    embeddings: Matrix,
    labels: ArrayLike,
    ks: Sequence[int],
    *,
    temperature: float,
    generator: np.random.Generator,
    class_means: Matrix | None = None,
    replacement: bool = False,
) -> Estimate:
    """L_cont(K), L_sup, L_sub, d(f), and the other terms of the bounds at every K, all from the same draws.

    embeddings [A, N, D]: A ≥ 2 views of N test samples, unit rows. labels [N] in 0 … C−1.
    class_means: µ [C, D] = means over *training* samples and views, not normalised; the theorems then hold up to
    the difference between training and test means. Else those of `embeddings`.
    Each test sample (but a remainder of under N/40) is an anchor once, in a random view, with another of its views
    as positive; f̄ is estimated by the mean of the anchor's other A − 1 views, and the bias of d that this brings is
    taken off by the jackknife (A ≥ 3; with two views d is too low, and the lower bounds with it). Each block of
    anchors draws its own keys, in random views; without replacement from the N − 1 other samples (K ≤ N − 1), else
    from all N, itself included. The probabilities, and closed forms beside data forms, are those of the same scheme.
    Nozawa & Sato 2021 (2102.06866) estimate the same on batches of K+1 samples (`study.bounds.draws.given_batch`).
    """
    views, labels, ks = _checked(embeddings, labels, ks, temperature, replacement)
    class_counts, count = np.bincount(labels), len(labels)
    means = class_means_of(views, labels) if class_means is None else np.asarray(class_means, dtype=views.dtype)
    if means.shape != (len(class_counts), views.shape[2]):
        raise ValueError(
            f"class_means must be [C, D] = {(len(class_counts), views.shape[2])} for the classes of the test split, "
            f"not {means.shape}; number the classes 0 … C−1 in both splits"
        )
    keys = max(*ks, min(ENOUGH_KEYS, count - 1))
    order, size = generator.permutation(count), max(1, count // BLOCKS)
    blocks = [order[start : start + size] for start in range(0, count - size + 1, size)]
    draws = (_random_draw(views, labels, block, keys, replacement, generator) for block in blocks)
    replicates = [draw_terms(draw, means, temperature, ks) for draw in draws]
    scheme = with_replacement(class_counts / count) if replacement else without_replacement(class_counts)
    terms = [
        BoundTerms(
            k=k,
            temperature=temperature,
            priors=scheme.priors,
            class_counts=None if replacement else class_counts,
            coverage=float(coverage_probability(k + 1, scheme)),
            no_collision=float(collision_probability(k, scheme, complement=True)),
            log_free_coverage=float(collision_free_coverage(k, scheme, log=True)),
            **{name: np.array([replicate[i][name] for replicate in replicates], np.float64) for name in MEASURED},
        )
        for i, k in enumerate(ks)
    ]
    upper, upper_error = collision_upper_bound(views[0], views[1], labels)
    return Estimate(
        terms=tuple(terms),
        expected_log_collisions=tuple(float(expected_log_collisions(k, scheme)) for k in ks),
        collision_upper=upper,
        collision_upper_se=upper_error,
        replacement=replacement,
    )


def class_means_of(embeddings: Matrix, labels: ArrayLike) -> Matrix:
    """µ_c [C, D] = mean over samples of class c and over views of unit rows [A, N, D]; not re-normalised."""
    labels, samples = np.asarray(labels), embeddings.mean(axis=0)
    return np.stack([samples[labels == c].mean(axis=0) for c in range(int(labels.max()) + 1)])


def collision_upper_bound(view: Matrix, other: Matrix, labels: ArrayLike) -> tuple[float, float]:
    """Mean over samples i of Σ_{j≠i, same class} |s(i,j) − s(i,i⁺)|/(n_c−1), and its standard error; in cosine units.

    view, other [N, D]: two views, unit rows. A class of one sample has no term. Nozawa & Sato 2021, 2102.06866.
    """
    labels, deviations = np.asarray(labels), []
    for c in np.unique(labels):
        mine, theirs = view[labels == c], other[labels == c]
        if len(mine) == 1:
            continue
        for start in range(0, len(mine), 1024):  # rows at a time: [1024, n_c]
            similarity = mine[start : start + 1024] @ theirs.T
            positive = similarity[np.arange(len(similarity)), start + np.arange(len(similarity))]
            deviations.append(np.abs(similarity - positive[:, None]).sum(axis=1) / (len(mine) - 1))
    return mean_and_error(np.concatenate(deviations)) if deviations else (np.nan, np.nan)


def _random_draw(
    views: Matrix, labels: Matrix, block: Matrix, keys: int, replacement: bool, generator: np.random.Generator
) -> Draw:
    number, count, _ = views.shape
    view = generator.integers(number, size=len(block))
    positive = generator.integers(1, number, size=len(block))
    others = views[(view + np.arange(1, number)[:, None]) % number, block]  # [A − 1, b, D]
    drawn = generator.integers(count, size=keys + 1) if replacement else generator.permutation(count)[: keys + 1]
    own = np.zeros(len(block), dtype=np.int64)
    if not replacement:
        place = np.zeros(count, dtype=np.int64)
        place[drawn] = np.arange(keys + 1)
        own = place[block]
    return Draw(
        anchors=views[view, block],
        positives=others[positive - 1, np.arange(len(block))],
        others=others,
        labels=labels[block],
        keys=views[generator.integers(number, size=keys + 1), drawn],
        key_labels=labels[drawn],
        own=own,
    )


def _checked(
    embeddings: Matrix, labels: ArrayLike, ks: Sequence[int], temperature: float, replacement: bool
) -> tuple[Matrix, Matrix, list[int]]:
    if temperature < 0.005:
        raise ValueError(f"temperature must be at least 0.005, not {temperature}; e^(2/t) overflows below")
    exact = np.float64 if 2 / temperature > 80 else np.float32  # e^{(s_k − s⁺)/t} stays below 1e38
    views = np.asarray(embeddings)
    views = views.astype(np.promote_types(views.dtype, exact), copy=False)
    if views.ndim != 3 or views.shape[0] < 2:
        raise ValueError(f"embeddings must be [A, N, D] with A ≥ 2 views, not of shape {views.shape}; add views")
    off = float(np.abs(np.linalg.norm(views, axis=2) - 1).max())
    if not off < 1e-2:
        raise ValueError(f"embeddings must have unit rows, but a norm is off by {off:.3g}; divide rows by their norm")
    labels = whole_numbers(labels, "labels")
    if labels.shape != views.shape[1:2]:
        raise ValueError(f"labels must be [N] = [{views.shape[1]}], not of shape {labels.shape}")
    absent = np.flatnonzero(np.bincount(labels) == 0)
    if absent.size:
        raise ValueError(f"classes {absent.tolist()} are absent from the test split; number the present ones 0 … C−1")
    most = None if replacement else len(labels) - 1
    numbers = [int(k) for k in whole_numbers(list(ks), "k", most=most)]
    if not numbers or min(numbers) < 1:
        raise ValueError(f"ks must hold at least one K ≥ 1, not {list(ks)}; a bound needs negatives")
    return views, labels, numbers

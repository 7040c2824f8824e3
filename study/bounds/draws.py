"""One draw of anchors and keys, and every term of every bound from it, at any number of K at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Matrix = np.ndarray[Any, np.dtype[Any]]

ENOUGH_KEYS = 4096  # that a small K shares in groups; more keys would not narrow its error by much

MEASURED = (  # the terms of `BoundTerms` that a draw measures
    "contrastive_loss",
    "supervised_loss",
    "sup",
    "sub",
    "free_sup",
    "free_sub",
    "log_collisions",
    "gap",
    "covered",
    "free",
)


@dataclass(frozen=True)
class Draw:
    """b anchors, each with a positive, that share L + 1 keys; the first key is the spare.

    Negatives of an anchor are the keys from 1 on, in groups of K. Without replacement an anchor must not meet itself:
    the key that is its own sample is replaced by the spare, which by symmetry leaves a uniform K-subset of the others.
    """

    anchors: Matrix  # z [b, D], unit rows
    positives: Matrix  # z⁺ [b, D]: another view of the same samples
    others: Matrix  # [m, b, D]: other views of the same samples, whose mean estimates f̄(x); with m = 1, f̄ itself
    labels: Matrix  # y [b]
    keys: Matrix  # [L + 1, D], unit rows
    key_labels: Matrix  # [L + 1]
    own: Matrix  # [b]: the row in keys of the anchor's own sample; 0 if that is the spare, or not to be replaced


def given_batch(view: Matrix, other: Matrix, view_means: Matrix, labels: Matrix) -> Draw:
    """The batch as the original study uses it: n = K+1 samples, all anchors in one view, all keys in the other."""
    return Draw(view, other, view_means[None], labels, other, labels, np.arange(len(labels)))


def draw_terms(draw: Draw, class_means: Matrix, temperature: float, ks: Sequence[int]) -> list[dict[str, float]]:
    """For each K, means over anchors and groups of K of the measured terms of `BoundTerms`.

    class_means: µ [C, D], not normalised. One similarity product serves every K.
    """
    count = len(draw.labels)
    rows = np.arange(count)
    positive = np.einsum("bd,bd->b", draw.anchors, draw.positives)
    ratios = draw.anchors @ draw.keys.T  # [b, L+1]
    ratios -= positive[:, None]
    ratios /= temperature
    np.exp(ratios, out=ratios)  # e^{(s_k − s⁺)/t}
    ratios[rows, draw.own] = ratios[:, 0]
    logits = draw.anchors @ class_means.T / temperature  # z·µ_c/t  [b, C]
    odds = np.exp(logits - logits[rows, draw.labels][:, None])  # e^{(z·µ_c − z·µ_y)/t}  [b, C]
    above = np.einsum("bd,mbd->mb", draw.anchors, class_means[draw.labels] - draw.others) / temperature
    shared = {"supervised_loss": np.log(odds.sum(axis=1)).mean(), "gap": _clipped_mean(above).mean()}
    return [shared | _terms_of_k(draw, ratios, odds, k) for k in ks]


def _clipped_mean(values: Matrix) -> Matrix:
    """min(0, E v) [b] from m draws of v [m, b], with the bias that the mean of so few has taken off.

    min(0, ·) is concave, so that min(0, mean of m) is too low, over anchors by about c/m; m times it less m − 1 times
    its mean over the m sets of m − 1 draws is free of c/m (the jackknife: Quenouille 1956, "Notes on bias in
    estimation"). One draw tells nothing of its bias.
    """
    m = len(values)
    of_all = np.minimum(values.mean(axis=0), 0)
    if m == 1:
        return of_all
    without_one = np.minimum((values.sum(axis=0) - values) / (m - 1), 0).mean(axis=0)
    return m * of_all - (m - 1) * without_one


def _terms_of_k(draw: Draw, ratios: Matrix, odds: Matrix, k: int) -> dict[str, float]:
    count, classes = odds.shape
    rows, groups = np.arange(count), max(1, min(ratios.shape[1] - 1, ENOUGH_KEYS) // k)
    used = groups * k
    # L_cont: −s⁺/t + log(e^{s⁺/t} + Σ_k e^{s_k/t})
    contrastive = np.log1p(ratios[:, 1 : used + 1].reshape(count, groups, k).sum(axis=2))  # [b, G]
    group = np.repeat(np.arange(groups), k)
    counts = np.bincount(group * classes + draw.key_labels[1 : used + 1], minlength=groups * classes)
    counts = counts.reshape(groups, classes)
    present = (counts > 0).astype(odds.dtype)  # [G, C], before the anchor's own class and the spare are counted
    own_class_missing = 1 - present[:, draw.labels].T  # [b, G]
    # Where the spare replaces the anchor's own sample: one collision less, unless it is of the same class.
    spare = draw.key_labels[0]
    moved = rows[(draw.own > 0) & (draw.own <= used)]
    at = (draw.own[moved] - 1) // k
    collisions = counts[:, draw.labels].T.copy()  # Col [b, G]
    collisions[moved, at] -= draw.labels[moved] != spare
    newly = (counts[at, spare] == 0) & (draw.labels[moved] != spare)
    moved, at = moved[newly], at[newly]
    # ℓ_present: −z·µ_y/t + log Σ_{c present} e^{z·µ_c/t}, the anchor's class being present
    sums = odds @ present.T + own_class_missing
    sums[moved, at] += odds[moved, spare]
    seen = present.sum(axis=1) + own_class_missing
    seen[moved, at] += 1
    loss = np.log(sums)  # [b, G]
    covered, free = np.round(seen) == classes, collisions == 0
    return {
        "contrastive_loss": contrastive.mean(),
        "sup": (loss * covered).mean(),
        "sub": (loss * ~covered).mean(),
        "free_sup": (loss * (covered & free)).mean(),
        "free_sub": (loss * (~covered & free)).mean(),
        "log_collisions": np.log1p(collisions).mean(),
        "covered": covered.mean(),
        "free": free.mean(),
    }

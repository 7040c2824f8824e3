"""Whether a strategy that goes by class leaves its anchors negatives: the share that it leaves none, before it runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import gammaln

from models.negatives import Strategy
from models.registry import UnknownName
from study.data import DataShape, DataSource
from study.trial.class_synsets import Meaning

MOST = 0.5
"""The share of anchors without negatives above which a trial is refused."""

NAMED = 5
"""Classes that are named at most."""

Array = np.ndarray


@dataclass(frozen=True)
class Offer:
    """The candidates of an anchor: K draws of a pool that shows `instances` of the others, each in `copies` draws.

    Instances and rows are drawn without replacement, as batches, queues and banks draw them. A queue's instances are
    taken for distinct as far as it is no longer than an epoch, and its first random rows for replaced.
    """

    k: int
    instances: int
    copies: int = 1
    rows_a_draw: int = 1

    @property
    def rows(self) -> int:
        """The largest K."""
        return self.instances * self.copies

    def empty(self, met: Array, counts: Array) -> Array:
        """P that an anchor of each class is offered nothing that it can meet. Shapes: bool [C, C], counts [C] → [C]."""
        of_class = met @ counts - met.diagonal()  # the anchor is none of its own negatives
        chance = {m: self._none_of(m, int(counts.sum()) - 1) for m in set(of_class.tolist())}
        return np.array([chance[m] for m in of_class.tolist()])

    def _none_of(self, met: int, others: int) -> float:
        """P that none of the K shows one of those `met` instances among `others`.

        Hypergeometric in hypergeometric: Σ_x Hyp(x; others, met, I) · C(c (I − x), K) / C(c I, K).
        """
        x = np.arange(max(0, self.instances - (others - met)), min(self.instances, met) + 1)  # of them in the pool
        in_pool = _log_choose(met, x) + _log_choose(others - met, self.instances - x)
        left = self.copies * (self.instances - x)
        fits = left >= self.k
        log_p = in_pool[fits] - _log_choose(others, self.instances)
        log_p += _log_choose(left[fits], self.k) - _log_choose(self.rows, self.k)
        return float(min(np.exp(log_p).sum(), 1.0))


def _log_choose(n: Array | int, k: Array | int) -> Array:
    chosen: Array = gammaln(np.add(n, 1)) - gammaln(np.add(k, 1)) - gammaln(np.subtract(n, k) + 1)
    return chosen


def check_classes(
    strategy: Strategy, name: str, source: DataSource, shape: DataShape, meaning: Meaning, offer: Offer
) -> tuple[list[str], list[str]]:
    """Problems and notes of a strategy that goes by the class of negatives."""
    if not shape.labelled:
        return [], []
    problems, matrix, scale = _similarity(strategy, shape, meaning)
    classes_met = None if problems else strategy.classes_met(shape.classes, matrix)
    if classes_met is None:
        return problems, []
    met = classes_met.numpy()
    if not met.any():
        return [f"negatives: the band selects nothing{scale}; choose lo and hi within that"], []
    counts = np.bincount(source.load().train.labels, minlength=shape.classes)  # type: ignore[arg-type]
    empty = offer.empty(met, counts)
    share = float(empty @ counts) / counts.sum()
    told = f"of the anchors without negatives at K = {offer.k}{_worst(empty, shape.class_names)}{scale}"
    if share > MOST:
        return [f"negatives: {name} leaves {share:.1%} {told}; {_instead(offer, met, counts)}"], []
    if share * counts.sum() < 1:  # less than one anchor an epoch
        return [], []
    return [], [f"negatives: {name} leaves about {share:.2%} {told}; they have no part in the loss (train.empty_share)"]


def _similarity(strategy: Strategy, shape: DataShape, meaning: Meaning) -> tuple[list[str], torch.Tensor | None, str]:
    """Problems, the [C, C] matrix of the measure that the strategy needs, and its range in words."""
    measure = strategy.needs_similarity
    if measure is None:
        return [], None, ""
    if not meaning.synsets:
        needs = f"negatives: selecting by {measure} needs the synset of every class: {meaning.off}"
        needs += f"; {meaning.remedy}" if meaning.remedy else ""
        return [needs] if meaning.off else [], None, ""
    try:
        matrix = meaning.semantics(shape.class_names, measures=[measure]).similarities[measure]
    except (ValueError, UnknownName) as error:
        return [f"negatives: {error}"], None, ""
    between = matrix[~np.eye(len(matrix), dtype=bool)] if len(matrix) > 1 else matrix
    scale = (
        f": {measure} between the classes goes from {between.min():.3g} to {between.max():.3g}, and is "
        f"{matrix.diagonal().min():.3g} or more of a class with itself"
    )
    return [], torch.from_numpy(matrix).float(), scale


def _worst(empty: Array, names: Sequence[str]) -> str:
    """The classes of which more than MOST are without negatives, where not all are."""
    found = [f"{names[c]} {empty[c]:.0%}" for c in np.argsort(-empty, kind="stable") if empty[c] > MOST]
    if not found or len(found) == len(names):
        return ""
    more = f" and {len(found) - NAMED} classes more" if len(found) > NAMED else ""
    return f" (of {', '.join(found[:NAMED])}{more})"


def _instead(offer: Offer, met: Array, counts: Array) -> str:
    """The smallest K above it at which no more than MOST of the anchors are without negatives, in words."""

    def enough(k: int) -> bool:
        return bool(replace(offer, k=k).empty(met, counts) @ counts <= MOST * counts.sum())

    if not enough(offer.rows):
        return "no K of this pool leaves half of them any: choose a larger pool, or a strategy that keeps more classes"
    low, high = offer.k, offer.rows
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return f"raise k to {high}, the smallest that leaves no more than half so"

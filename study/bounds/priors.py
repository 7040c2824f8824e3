"""Arguments of the probabilities, checked: sampling schemes, class priors and numbers of draws."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Sampling:
    """A scheme of draws: independent ones from class priors, or ones without replacement from a finite set.

    Made by `with_replacement` or `without_replacement`. As an array it is π [C]: what takes priors takes it.
    """

    sizes: Array
    """π_c [C] with replacement, the counts N_c [C] without"""
    total: int | None
    """N, the samples of the finite set; None with replacement"""

    @property
    def name(self) -> str:
        return "with_replacement" if self.total is None else "without_replacement"

    @property
    def priors(self) -> Array:
        """π [C]: of the anchor, and of each draw by itself, in both schemes."""
        return self.sizes / (self.total or 1)

    @property
    def most(self) -> int | None:
        """The largest K, N − 1; None with replacement, where there is none."""
        return None if self.total is None else self.total - 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.priors, dtype=dtype)

    def __len__(self) -> int:
        return len(self.sizes)


def with_replacement(priors: int | ArrayLike) -> Sampling:
    """Independent draws from `priors`, an int C (uniform) or π [C]: the setting of the theorems."""
    return Sampling(class_priors(priors), None)


def without_replacement(class_counts: ArrayLike) -> Sampling:
    """Draws from a set of N = Σ N_c samples, of class_counts [C] a class, none of them twice: as batches, queues, banks
    and the evaluations draw. The anchor is one of the draws, so that its K negatives are K of the N − 1 others."""
    counts = np.asarray(class_counts)
    if counts.ndim != 1 or counts.size == 0 or not np.array_equal(counts, np.floor(counts)):
        raise ValueError(f"class_counts must be whole numbers [C], not {class_counts!r}; pass np.bincount(labels)")
    absent = np.flatnonzero(counts < 1)
    if absent.size:
        raise ValueError(
            f"class_counts must be at least 1, but is {counts[absent[0]]} for class {absent[0]}; leave it out"
        )
    return Sampling(counts.astype(np.float64), int(counts.sum()))


def sampling(priors: int | ArrayLike) -> Sampling:
    """The scheme itself, or `with_replacement` of an int or an array."""
    return priors if isinstance(priors, Sampling) else with_replacement(priors)


def class_priors(priors: int | ArrayLike) -> Array:
    """π [C]: the uniform prior for an int C, a scheme's, or the array itself, which must be positive and sum to 1."""
    if isinstance(priors, Sampling):
        return priors.priors
    if isinstance(priors, int | np.integer):
        if priors < 1:
            raise ValueError(f"priors as an int is the number of classes, at least 1, not {priors}; pass C or an array")
        return np.full(int(priors), 1.0 / int(priors))
    pi = np.asarray(priors, dtype=np.float64)
    if pi.ndim != 1 or pi.size == 0:
        raise ValueError(f"priors must be an int C or an array [C], not of shape {pi.shape}; pass one number per class")
    bad = np.flatnonzero(~(pi > 0))
    if bad.size:
        raise ValueError(f"priors must be positive, but class {bad[0]} has {pi[bad[0]]}; leave such classes out")
    if abs(pi.sum() - 1) > 1e-9:
        raise ValueError(f"priors must sum to 1, not {pi.sum():.12g}; pass priors / priors.sum()")
    return pi


def whole_numbers(values: ArrayLike, name: str, *, most: int | None = None) -> np.ndarray[Any, np.dtype[np.int64]]:
    """`values` as integers ≥ 0 of the same shape, at most `most` where draws are without replacement."""
    array = np.asarray(values)
    if array.size and not (np.isfinite(array).all() and (array >= 0).all() and (array == np.floor(array)).all()):
        raise ValueError(f"{name} must be whole and at least 0, not {values!r}; pass an int or an array of ints")
    if most is not None and array.size and array.max() > most:
        raise ValueError(
            f"{name} is at most {most} without replacement, not {int(array.max())}; "
            "take fewer, a larger set, or draw with replacement"
        )
    return array.astype(np.int64)


def distinct(sizes: Array) -> tuple[Array, Array]:
    """The different sizes and how many classes have each: classes of equal size are computed once."""
    unique, multiplicity = np.unique(sizes, return_counts=True)
    return unique, multiplicity.astype(np.float64)

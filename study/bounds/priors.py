"""Arguments of the probabilities, checked: class priors, class counts, and numbers of draws."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[np.float64]]


def class_priors(priors: int | ArrayLike) -> Array:
    """π [C]: the uniform prior for an int C, else the array itself, which must be positive and sum to 1."""
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


def class_totals(class_counts: ArrayLike, priors: int | ArrayLike | None = None) -> Array:
    """N_c [C] of a finite set that is drawn from without replacement; `priors`, if given too, must agree with them."""
    counts = np.asarray(class_counts)
    if counts.ndim != 1 or counts.size == 0 or not np.array_equal(counts, np.floor(counts)):
        raise ValueError(f"class_counts must be whole numbers [C], not {class_counts!r}; pass np.bincount(labels)")
    absent = np.flatnonzero(counts < 1)
    if absent.size:
        raise ValueError(
            f"class_counts must be at least 1, but is {counts[absent[0]]} for class {absent[0]}; leave it out"
        )
    if priors is not None:
        expected = np.size(counts) if isinstance(priors, int | np.integer) else counts / counts.sum()
        if not (np.shape(expected) == np.shape(priors) and np.allclose(expected, priors, rtol=1e-9, atol=0)):
            raise ValueError(
                "priors disagree with class_counts, whose priors are class_counts / sum; pass one of the two"
            )
    return counts.astype(np.float64)


def class_sizes(priors: int | ArrayLike | None, class_counts: ArrayLike | None) -> tuple[Array, int | None]:
    """(π, None) for draws with replacement, (N_c, N) for draws without."""
    if class_counts is not None:
        counts = class_totals(class_counts, priors)
        return counts, int(counts.sum())
    if priors is None:
        raise ValueError("neither priors nor class_counts is given; pass C, an array of priors, or class_counts=")
    return class_priors(priors), None


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

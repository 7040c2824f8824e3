"""Bounds over the trials of a study: what the fits read, the fits, the comparison of theories, slack."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import stdtr

from study.analysis.variance import LEVEL, holm
from study.bounds.estimate import BLOCKS
from study.bounds.priors import Sampling, with_replacement, without_replacement
from study.results.frames import configured_k

if TYPE_CHECKING:
    from study.analysis.fit import Fit

ACCURACY = "mean_classifier.top1"
"""Metric that an inverted bound is ranked against: the accuracy of the classifier that the bounds are about."""
ROUNDING = 1e-5
"""Nats: slack of bounds that hold with equality, as of collapsed encoders, is 0 up to float32's rounding."""


class Fits(tuple["Fit", ...]):
    """Fits of one bound, a group each; printed one after another."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    __repr__ = __str__


def losses(finished: pd.DataFrame, varying: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Table that the fits read, one row per finished trial with negatives, and the columns that name its curve over K.

    Columns: what varies, seed, k, temperature (at the end), contrastive_loss (L_cont of the test split at the
    trial's K, nats), gap (d(f)), `<bound>_supervised_upper`, and every metric.
    """
    source = "bounds.contrastive_loss" if "bounds.contrastive_loss" in finished else "contrastive.loss"
    if source not in finished or not (kept := finished[source].notna() & (configured_k(finished) > 0)).any():
        raise ValueError(
            "no finished trial has a contrastive loss on test: run the study first, with the evaluation `bounds`"
        )
    frame = finished[kept]
    added = {"k": configured_k(frame).astype(int), "temperature": frame["train.temperature"]}
    added["contrastive_loss"] = frame[source]
    if "bounds.gap" in frame:
        added["gap"] = frame["bounds.gap"]
    for column in frame.columns:
        if column.startswith("bounds.") and column.endswith(".supervised_upper"):
            added[f"{column.split('.')[1]}_supervised_upper"] = frame[column]
    frame, by = frame.copy().assign(**added), [path for path in varying if path != "k"]
    curves = frame.groupby(by, dropna=False)["k"].transform("nunique") > 1 if by else frame["k"] > 0
    return (frame[curves] if curves.any() else frame), by  # a lone K is no curve, and hinders no other


def priors(trials: pd.DataFrame) -> Sampling:
    """π, the class shares of the test split that these trials share; ValueError where they differ, or one is 0.

    With the scheme that their negatives were drawn by: without replacement from the split, unless the evaluation was
    set to draw with (`bounds.replacement`) or a K is beyond it.
    """
    splits = [text for text in trials["class_counts"].unique() if text != "[]"]
    if not splits:
        raise ValueError("the test split has no labels, but the bounds are about classes; take data with labels")
    if len(splits) > 1:
        raise ValueError(
            f"trials of one curve over K have {len(splits)} different test splits (column class_counts); filter "
            "the table, as in Results(results.frame.query('seed == 0'))"
        )
    try:
        numbers = [int(number) for number in json.loads(splits[0])]
    except (ValueError, TypeError):
        raise ValueError(f"column class_counts holds lists such as [500, 500], got {splits[0]!r}") from None
    if absent := [c for c, number in enumerate(numbers) if number == 0]:
        raise ValueError(
            f"classes {absent} (by number, from 0) are absent from the test split, but the bounds are about all "
            f"{len(numbers)}; take a test split with every class"
        )
    finite = without_replacement(numbers)
    independent = "bounds.replacement" in trials and bool((trials["bounds.replacement"] == 1).any())
    beyond = configured_k(trials).max() > sum(numbers) - 1
    return with_replacement(finite.priors) if independent or beyond else finite


def fit(frame: pd.DataFrame, by: list[str], bound: str, *, resamples: int) -> Fits:
    """The bound fitted to each curve of `losses`, with d at its measured value and the classes of its test split."""
    from study.analysis.fit import fit_bound
    from study.bounds import BOUNDS

    draw = np.random.default_rng(0)
    fixed: dict[str, float | str] = {"d": "gap"} if "gap" in frame and "d" in BOUNDS[bound].parameters else {}
    return Fits(
        found
        for trials, shares in _by_test_split(frame, by)
        for found in fit_bound(trials, bound, priors=shares, generator=draw, by=by, fixed=fixed, resamples=resamples)
    )


def compare_bounds(frame: pd.DataFrame, by: list[str], *, accuracy: str, resamples: int) -> pd.DataFrame:
    """`study.analysis.compare.compare_bounds` of the curves on each test split."""
    from study.analysis.compare import compare_bounds

    draw = np.random.default_rng(0)
    compared = [
        compare_bounds(
            trials,
            priors=shares,
            generator=draw,
            by=by,
            accuracy=accuracy if accuracy in trials else None,
            fixed={"d": "gap"} if "gap" in trials else None,
            resamples=resamples,
        )
        for trials, shares in _by_test_split(frame, by)
    ]
    return pd.concat(compared, ignore_index=True)


def slack(finished: pd.DataFrame) -> pd.DataFrame:
    """L_cont minus each lower bound at the trial's own K, one row per finished trial and bound: trial_id, k, bound,
    slack, slack_se (nats), p_adjusted, violated (p_adjusted ≤ 5 %).

    p: that a bound which holds seems violated as far, by Student's t over the blocks of draws, one-sided; adjusted for
    the number of rows (Holm 1979): where no bound is violated, any is called violated in at most 5 % of studies.
    """
    names = [c.split(".")[1] for c in map(str, finished) if c.startswith("bounds.") and c.endswith(".slack")]
    columns = ["trial_id", "k", "bound", "slack", "slack_se"]
    parts = [pd.DataFrame(columns=columns)]
    for name in names:
        values = (finished[f"bounds.{name}.{column}"] for column in ("slack", "slack_se"))
        row = (finished["trial_id"], configured_k(finished), name, *values)
        parts.append(pd.DataFrame(dict(zip(columns, row, strict=True))).dropna())
    table = pd.concat(parts[1:] or parts, ignore_index=True)
    p = violation_p_values(table["slack"].to_numpy(dtype=float), table["slack_se"].to_numpy(dtype=float))
    table["p_adjusted"] = holm(p)
    return table.assign(violated=table["p_adjusted"] <= LEVEL)


def violation_p_values(slack: np.ndarray, error: np.ndarray) -> np.ndarray:
    """P(T ≤ (slack + ROUNDING)/error) with BLOCKS − 1 degrees of freedom: small where slack is far below 0."""
    return stdtr(BLOCKS - 1, (slack + ROUNDING) / np.maximum(error, np.finfo(float).tiny))


def _by_test_split(frame: pd.DataFrame, by: list[str]) -> Iterator[tuple[pd.DataFrame, Sampling]]:
    """(rows of `losses`, π) of the curves on each test split."""
    for _, curve in frame.groupby(by, dropna=False) if by else [((), frame)]:
        priors(curve)
    for _, rows in frame.groupby("class_counts", sort=False):
        yield rows, priors(rows)

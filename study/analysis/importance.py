"""Which hyper-parameters moved a metric: functional ANOVA over finished trials, and response curves; with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

BINS = 8
"""A parameter with more distinct values than twice as many, as of a random search, is cut into so many."""
FEWEST_CELLS = 4


def importance(
    frame: pd.DataFrame,
    parameters: Sequence[str],
    metric: str,
    *,
    generator: np.random.Generator,
    trees: int = 256,
) -> pd.DataFrame:
    """Columns parameter, importance, low, high: how much of the metric's variance each column explains by itself,
    relative to the others (shares sum to 1; what parameters only explain together is left out), largest first.

    First-order functional ANOVA of a random forest (Hutter, Hoos & Leyton-Brown 2014) on all trials of `frame`. A
    tree F, grown on a bootstrap resample of the trials, explains by x_i alone V_i = Var f_i(x_i), f_i(x_i) the mean of
    F over all other parameters, each uniform over its observed values; its shares are V_i / Σ_j V_j. The importance is
    their mean over the trees, the interval their 2.5–97.5 % range: that of the resamples, each with one tree.
    Names are ordered by their mean metric (Fisher 1958), so that a split may part them in any way that pays.
    """
    from sklearn.ensemble import RandomForestRegressor

    rows = frame[np.isfinite(frame[metric].astype(float))]
    varying = [name for name in parameters if len(rows[name].unique()) > 1]
    _check(rows, parameters, varying, metric)
    target = rows[metric].to_numpy(dtype=float)
    codes = np.column_stack([_codes(rows[name], target) for name in varying])
    forest = RandomForestRegressor(trees, random_state=int(generator.integers(2**31))).fit(codes, target)
    explained = np.array([_explained(tree.tree_, codes.max(axis=0) + 1) for tree in forest.estimators_])
    explained = explained[explained.sum(axis=1) > 0]  # a resample of equal values explains nothing
    shares = explained / explained.sum(axis=1, keepdims=True)
    low, high = np.quantile(shares, [0.025, 0.975], axis=0)
    table = pd.DataFrame({"parameter": varying, "importance": shares.mean(axis=0), "low": low, "high": high})
    return table.sort_values("importance", ascending=False, ignore_index=True)


def _check(rows: pd.DataFrame, parameters: Sequence[str], varying: Sequence[str], metric: str) -> None:
    cells = len(rows[list(varying)].drop_duplicates()) if varying else min(len(rows), 1)
    if len(varying) < 2:
        what = f"only {varying[0]} varies: all is due to it" if varying else f"of {list(parameters)} none vary"
        raise ValueError(f"importance compares two parameters or more, but {what}; let another one vary")
    if cells < FEWEST_CELLS:
        raise ValueError(
            f"importance needs at least {FEWEST_CELLS} cells with {metric}, not {cells}; run more of the space"
        )
    if rows[metric].nunique() < 2:
        raise ValueError(f"importance has nothing to explain: {metric} is {rows[metric].iloc[0]:g} in every trial")


def response_curve(
    frame: pd.DataFrame, parameters: Sequence[str], parameter: str, metric: str, *, by: Sequence[str] = ()
) -> pd.DataFrame:
    """Columns *by, parameter, mean, low, high, n, over: the metric at each value of a parameter with a 95 % interval of
    Student's t over n replicates; many values, as of a random search, are cut into bins and named by their medians.

    Where each value meets the same cells of the other `parameters`, as in a grid, `over` is "seeds": trials of one
    seed are averaged over those cells. Else `over` is "cells", each the mean of its seeds: what the others change is
    then part of the interval.
    """
    rows = frame[np.isfinite(frame[metric].astype(float))]
    others = [name for name in parameters if name not in (parameter, *by)]
    values = binned(rows[parameter])
    crossed = values.equals(rows[parameter]) and _crossed(rows, [*by, parameter], others)
    replicate = ["seed"] if crossed else list(parameters)
    keys = [rows[name] for name in by] + [values]
    each = rows[metric].groupby([*keys, *(rows[name].rename(f"of {name}") for name in replicate)], dropna=False).mean()
    groups = each.groupby(level=list(range(len(keys))), dropna=False)
    table = pd.DataFrame({"mean": groups.mean(), "error": groups.sem(), "n": groups.count()})
    half = table.pop("error") * student.ppf(0.975, np.maximum(table["n"] - 1, 1))
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    return table.assign(over="seeds" if crossed else "cells").reset_index()


def binned(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Values as they are if they are few or no numbers, else each bin's median."""
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= 2 * BINS:
        return values
    return values.groupby(pd.qcut(values, BINS, duplicates="drop"), observed=True).transform("median")


def _crossed(rows: pd.DataFrame, at: Sequence[str], others: Sequence[str]) -> bool:
    """Whether every value of `at` meets the same combinations of the other parameters."""
    if not others:
        return True
    met = [frozenset(map(tuple, of[list(others)].astype(str).to_numpy())) for _, of in rows.groupby(list(at))]
    return len(set(met)) <= 1


def _codes(column: "pd.Series[Any]", target: np.ndarray) -> np.ndarray:
    """Values as their ranks 0, 1, 2 …: numbers by size, names by the mean of the target."""
    numbers = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numbers and column.notna().all():
        return np.unique(column.to_numpy(), return_inverse=True)[1]
    _, names = np.unique(column.astype(str), return_inverse=True)
    means = np.bincount(names, target) / np.bincount(names)
    return np.argsort(np.argsort(means, kind="stable"))[names]


def _explained(tree: Any, sizes: np.ndarray) -> np.ndarray:
    """Var f_i for each parameter i of so many values: f_i sums a leaf's value times its share of the others' values."""
    values, low, high = _leaves(tree, sizes)
    widths = (high - low) / sizes
    found = np.empty(len(sizes))
    for i, size in enumerate(sizes):
        weighted = values * np.delete(widths, i, axis=1).prod(axis=1)
        steps = np.bincount(low[:, i], weighted, size + 1) - np.bincount(high[:, i], weighted, size + 1)
        found[i] = np.cumsum(steps)[:size].var()
    return found


def _leaves(tree: Any, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The leaves' values, and in each parameter the ranks low ≤ rank < high that they hold: leaves × parameters."""
    low = np.zeros((tree.node_count, len(sizes)), dtype=int)
    high = np.tile(sizes, (tree.node_count, 1))
    inner = tree.children_left >= 0
    level = np.array([0])
    while len(level := level[inner[level]]):
        left, right, split = tree.children_left[level], tree.children_right[level], tree.feature[level]
        low[left] = low[right] = low[level]
        high[left] = high[right] = high[level]
        high[left, split] = low[right, split] = np.floor(tree.threshold[level]).astype(int) + 1
        level = np.concatenate([left, right])
    return tree.value[~inner, 0, 0], low[~inner], high[~inner]

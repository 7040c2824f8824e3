"""Importance of parameters: functional ANOVA of random searches, and response curves; with intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from study.analysis.intervals import half_width
from study.analysis.variance import PERMUTATIONS, SEED, holm, permutation_p_values, search_design, verdict

if TYPE_CHECKING:
    import optuna

BINS = 8
"""A parameter with more distinct values than twice as many, as of a random search, is cut into so many."""
FEWEST_CELLS = 4
DEPTH = 8
"""Of a tree: deeper splits part single trials, cost most of the time, and tell of no parameter by itself."""


def importance(
    frame: pd.DataFrame,
    parameters: Sequence[str],
    metric: str,
    *,
    generator: np.random.Generator,
    trees: int = 32,
    permutations: int = PERMUTATIONS,
) -> pd.DataFrame:
    """Columns parameter, share, low, high, p_value, p_adjusted, permutations, verdict: how much of the metric's
    variance each column explains by itself, relative to the others (shares sum to 1; what parameters only explain
    together, and what none explains, is left out), largest first. For random searches; of a grid, see
    `variance_components`.

    First-order functional ANOVA (Hutter, Hoos & Leyton-Brown 2014) by Optuna's evaluator, on the trials of `frame`
    imported into a study of Optuna's. It is asked tree by tree, each grown on a bootstrap resample of the trials: the
    share is the mean of the trees' shares, the interval their 2.5–97.5 % range, that of the resamples with one
    tree each. Every value weighs the same; many numbers, as of a random search, are cut into bins.

    Shares of pure noise sum to 1 as well, so each parameter is tested: `permutation_p_values` of the cells' means with
    a quadratic response to each (`search_design`), permuted over the cells; p_adjusted over the parameters by Holm
    (1979). A column `seed` is not tested.
    """
    rows = frame[np.isfinite(frame[metric].astype(float))]
    varying = [name for name in parameters if len(rows[name].unique()) > 1]
    _check_trials(rows, parameters, varying, metric)
    imported = _imported(rows, varying, metric)
    seeds = [int(seed) for seed in generator.integers(2**31, size=trees)]
    shares = pd.DataFrame([found for seed in seeds if (found := _of_trees(imported, varying, seed))])[varying]
    columns = {"share": shares.mean(), "low": shares.quantile(0.025), "high": shares.quantile(0.975)}
    tested = [name for name in varying if name != SEED]
    means = rows.groupby(tested, dropna=False, sort=False)[metric].mean().reset_index()
    p = search_p_values(means, tested, metric, generator=generator, permutations=permutations)
    table = pd.DataFrame(columns).rename_axis("parameter")
    table["p_value"] = pd.Series(p, tested)
    table["p_adjusted"] = pd.Series(holm(p), tested)
    table["permutations"], table["verdict"] = permutations, ""
    smallest = float(np.isnan(p).any())
    table.loc[tested, "verdict"] = [verdict(of, smallest) for of in table.loc[tested, "p_adjusted"]]
    return table.reset_index().sort_values("share", ascending=False, ignore_index=True)


def search_p_values(
    cells: pd.DataFrame, parameters: list[str], metric: str, *, generator: np.random.Generator, permutations: int
) -> np.ndarray:
    """p of each parameter from the cells' means; NaN where there are no more cells than the responses have terms."""
    design = search_design(cells, parameters)
    if not design.residual.shape[1]:
        return np.full(len(parameters), np.nan)
    outcomes = cells[metric].to_numpy(dtype=float)
    return permutation_p_values(outcomes, design, generator=generator, permutations=permutations)


def _check_trials(rows: pd.DataFrame, parameters: Sequence[str], varying: Sequence[str], metric: str) -> None:
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
    half = half_width(table.pop("error"), table["n"])
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


def _imported(rows: pd.DataFrame, parameters: Sequence[str], metric: str) -> "optuna.Study":
    """The trials as a study of Optuna's, each value as its rank r, which has the space from r − ½ to r + ½."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(verbosity)
    target = rows[metric].to_numpy(dtype=float)
    ranks = {name: _ranks(rows[name], target) for name in parameters}
    spaces = {name: optuna.distributions.FloatDistribution(-0.5, of.max() + 0.5) for name, of in ranks.items()}
    study.add_trials(
        optuna.trial.create_trial(params=dict(zip(ranks, of_trial, strict=True)), distributions=spaces, value=value)
        for *of_trial, value in np.column_stack([*ranks.values(), target]).tolist()
    )
    return study


def _ranks(column: "pd.Series[Any]", target: np.ndarray) -> np.ndarray:
    """Values as their ranks 0, 1, 2 …: numbers by size, names by the mean of the target (Fisher 1958), so that a split
    may part them in any way that pays; one-hot codes cost Optuna's evaluator two to the number of names."""
    numbers = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numbers and column.notna().all():
        return np.unique(binned(column).to_numpy(), return_inverse=True)[1]
    _, names = np.unique(column.astype(str), return_inverse=True)
    means = np.bincount(names, target) / np.bincount(names)
    return np.argsort(np.argsort(means, kind="stable"))[names]


def _of_trees(study: "optuna.Study", parameters: list[str], seed: int, *, trees: int = 1) -> dict[str, float]:
    """Parameter → its share by these trees; empty where the resample of one has nothing to explain."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    try:
        return get_param_importances(
            study, evaluator=FanovaImportanceEvaluator(n_trees=trees, max_depth=DEPTH, seed=seed), params=parameters
        )
    except RuntimeError:  # no variance in the tree
        return {}

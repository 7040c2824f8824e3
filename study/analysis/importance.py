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
    resamples: int = 20,
    trees: int = 64,
) -> pd.DataFrame:
    """Columns parameter, importance, low, high: how much of the metric's variance each column explains by itself,
    relative to the others (shares sum to 1; what parameters only explain together is left out), largest first.

    Functional ANOVA (Hutter, Hoos & Leyton-Brown 2014) by Optuna's evaluator, on the trials of `frame` imported into
    an in-memory study: values on a grid and of continuous ranges alike. The interval is the 2.5–97.5 % range over
    bootstrap resamples of the trials, each with its own forest.
    """
    rows = frame[np.isfinite(frame[metric].astype(float))]
    varying = [name for name in parameters if len(rows[name].unique()) > 1]
    _check(rows, parameters, varying, metric)
    distributions = {name: _distribution(rows[name]) for name in varying}
    whole = _fanova(rows, distributions, metric, int(generator.integers(2**31)), trees)
    draws = []
    for _ in range(resamples):
        sample = rows.iloc[generator.integers(len(rows), size=len(rows))]
        if len(sample[metric].unique()) > 1:
            draws.append(_fanova(sample, distributions, metric, int(generator.integers(2**31)), trees))
    low, high = np.quantile(draws or [[np.nan] * len(varying)], [0.025, 0.975], axis=0)
    table = pd.DataFrame({"parameter": varying, "importance": whole, "low": low, "high": high})
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


def _distribution(column: pd.Series) -> Any:
    import optuna

    values = column.dropna()
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and len(values) == len(column):
        low, high = float(values.min()), float(values.max())
        return optuna.distributions.FloatDistribution(low, high, log=low > 0 and high / low >= 10)
    return optuna.distributions.CategoricalDistribution(sorted({str(value) for value in column}))


def _fanova(rows: pd.DataFrame, distributions: dict[str, Any], metric: str, seed: int, trees: int) -> list[float]:
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(verbosity)
    numeric = optuna.distributions.FloatDistribution
    for row in rows.to_dict("records"):
        values = {n: float(row[n]) if isinstance(d, numeric) else str(row[n]) for n, d in distributions.items()}
        study.add_trial(optuna.trial.create_trial(params=values, distributions=distributions, value=float(row[metric])))
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=trees, seed=seed)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(distributions))
    return [shares[name] for name in distributions]

"""Which hyper-parameters moved a metric: functional ANOVA over finished trials, and response curves; with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student


def importance(
    frame: pd.DataFrame,
    parameters: Sequence[str],
    metric: str,
    *,
    generator: np.random.Generator,
    resamples: int = 20,
    trees: int = 64,
) -> pd.DataFrame:
    """Columns parameter, importance, low, high: the share of the metric's variance that each column explains alone.

    Functional ANOVA (Hutter, Hoos & Leyton-Brown 2014) by Optuna's evaluator, on the trials of `frame` imported into
    an in-memory study. The interval is the 2.5–97.5 % range over bootstrap resamples of the trials, each with its own
    forest. Shares sum to 1, most important first.
    """
    varying = [name for name in parameters if len(frame[name].unique()) > 1]
    rows = frame[np.isfinite(frame[metric].astype(float))]
    if not varying or len(rows) < 4:
        raise ValueError(
            f"importance needs at least 4 finished trials and a parameter that varies; there are {len(rows)}, "
            f"and of {list(parameters)} {varying or 'none'} vary: widen the space or pass other parameters"
        )
    distributions = {name: _distribution(rows[name]) for name in varying}
    whole = _fanova(rows, distributions, metric, int(generator.integers(2**31)), trees)
    draws = []
    for _ in range(resamples):
        sample = rows.iloc[generator.integers(len(rows), size=len(rows))]
        if len(sample[metric].unique()) > 1:
            draws.append(_fanova(sample, distributions, metric, int(generator.integers(2**31)), trees))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    table = pd.DataFrame({"parameter": varying, "importance": whole, "low": low, "high": high})
    return table.sort_values("importance", ascending=False, ignore_index=True)


def response_curve(
    frame: pd.DataFrame, parameter: str, metric: str, *, by: Sequence[str] = (), seed: str = "seed"
) -> pd.DataFrame:
    """Columns *by, parameter, mean, low, high, seeds: the metric at each value of the parameter, with a 95 % interval.

    Trials of one seed are averaged first, over whatever else varies; seeds are the replicates of Student's t interval.
    """
    per_seed = frame.groupby([*by, parameter, seed], dropna=False)[metric].mean()
    groups = per_seed.groupby(level=[*by, parameter], dropna=False)
    table = pd.DataFrame({"mean": groups.mean(), "error": groups.sem(), "seeds": groups.count()})
    half = table.pop("error") * student.ppf(0.975, np.maximum(table["seeds"] - 1, 1))
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    return table.reset_index()


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

"""Which theory explains the observed losses better, and which inverted bound ranks encoders as their accuracy does."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

from study.analysis.fit import fit_bound, groups_of
from study.bounds import BOUNDS


def compare_bounds(
    frame: pd.DataFrame,
    *,
    priors: int | ArrayLike,
    generator: np.random.Generator,
    bounds: Sequence[str] | None = None,
    by: Sequence[str] = (),
    loss: str = "contrastive_loss",
    accuracy: str | None = None,
    fixed: Mapping[str, float | str] | None = None,
    resamples: int = 1000,
) -> pd.DataFrame:
    """A row a (group, bound), best first: rmse, r2, aicc, delta_aicc, weight, leave_one_k_out, unidentified, and with
    `accuracy` (a column) rank_correlation and rank_points.

    weight: Akaike weight within the group, exp(−Δ/2) normalised (Burnham & Anderson 2002).
    rank_correlation: Spearman's ρ over K between means over seeds of the inverted bound on L_sup and of the accuracy;
    −1 where a lower bound on the loss always meant a higher accuracy, NaN with fewer than three finite points.
    fixed: as in `fit_bound`; an unknown that a bound does not have is left out for that bound.
    """
    names = list(bounds or BOUNDS.names())
    rows = []
    for name in names:
        known = {unknown: value for unknown, value in (fixed or {}).items() if unknown in BOUNDS[name].parameters}
        fits = fit_bound(
            frame,
            name,
            priors=priors,
            generator=generator,
            by=by,
            loss=loss,
            fixed=known,
            resamples=resamples,
        )
        for fit, (group, trials) in zip(fits, groups_of(frame, by, loss), strict=True):
            row = group | {"bound": name, "rmse": fit.rmse, "r2": fit.r2, "aicc": fit.aicc}
            row["leave_one_k_out"] = fit.leave_one_k_out
            row["unidentified"] = ", ".join(p.name for p in fit.parameters if not p.identified)
            if accuracy is not None:
                row["rank_correlation"], row["rank_points"] = rank_correlation(
                    inverted_bound(trials, name, priors=priors, loss=loss), trials, accuracy
                )
            rows.append(row)
    table = pd.DataFrame(rows)
    best = table.groupby(list(by), dropna=False)["aicc"].transform("min") if by else table["aicc"].min()
    table["delta_aicc"] = table["aicc"] - best  # NaN for ∞ − ∞: too few trials for every bound
    likelihood = np.exp(-table["delta_aicc"] / 2)
    total = likelihood.groupby([table[name] for name in by], dropna=False).transform("sum") if by else likelihood.sum()
    table["weight"] = likelihood / total
    return table.sort_values([*by, "aicc"], ignore_index=True)


def inverted_bound(
    frame: pd.DataFrame, bound: str, *, priors: int | ArrayLike, loss: str = "contrastive_loss"
) -> pd.Series:
    """The upper bound on L_sup of each trial, in nats: the logged data form (column `<bound>_supervised_upper`) where
    the table has it, else the closed form from the trial's K, temperature and L_cont."""
    logged = f"{bound}_supervised_upper"
    if logged in frame.columns:
        return frame[logged].astype(float)
    entry = BOUNDS[bound]()
    values = pd.Series(np.nan, index=frame.index, name=logged)
    for temperature in frame["temperature"].unique():
        rows = frame[frame["temperature"] == temperature]
        losses, ks = rows[loss].to_numpy(dtype=np.float64), rows["k"].to_numpy(dtype=np.int64)
        values[rows.index] = entry.supervised_upper_closed(losses, ks, priors, float(temperature))
    return values


def rank_correlation(bound: pd.Series, frame: pd.DataFrame, accuracy: str) -> tuple[float, int]:
    """(Spearman's ρ, number of K) between means over trials of one K; K where the bound does not exist are left out."""
    means = pd.DataFrame({"k": frame["k"], "bound": bound, "accuracy": frame[accuracy].astype(float)})
    means = means.replace(np.inf, np.nan).dropna().groupby("k")[["bound", "accuracy"]].mean()
    constant = means["bound"].nunique() < 2 or means["accuracy"].nunique() < 2
    if len(means) < 3 or constant:
        return np.nan, len(means)
    return float(spearmanr(means["bound"], means["accuracy"]).statistic), len(means)

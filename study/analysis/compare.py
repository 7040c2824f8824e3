"""Comparison of bounds: fit to the observed losses, and agreement of their inversions with encoders' accuracy."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from study.analysis.fit import fit_bound, groups_of
from study.bounds import BOUNDS
from study.bounds.priors import Array


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
    `accuracy` (a column) rank_correlation, rank_low, rank_high and rank_points.

    weight: Akaike weight within the group, exp(−Δ/2) normalised (Burnham & Anderson 2002).
    rank_correlation: Spearman's ρ over K between means over seeds of the inverted bound on L_sup and of the accuracy;
    −1 where a lower bound on the loss always meant a higher accuracy, NaN with fewer than three finite points; with
    its 95 % interval, see `rank_correlation`.
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
            intervals=False,
        )
        for fit, (group, trials) in zip(fits, groups_of(frame, by, loss), strict=True):
            row = group | {"bound": name, "rmse": fit.rmse, "r2": fit.r2, "aicc": fit.aicc}
            row["leave_one_k_out"] = fit.leave_one_k_out
            row["unidentified"] = ", ".join(p.name for p in fit.parameters if not p.identified)
            if accuracy is not None:
                inverted = inverted_bound(trials, name, priors=priors, loss=loss)
                found = rank_correlation(inverted, trials, accuracy, generator=generator, resamples=resamples)
                row |= {f"rank_{key}": value for key, value in found._asdict().items()}
            rows.append(row)
    return weighed(pd.DataFrame(rows), by)


def weighed(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """With delta_aicc and weight among the bounds of each group, best first."""
    table = table.copy()
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


class RankCorrelation(NamedTuple):
    """Spearman's ρ with its 95 % interval, over so many values of K."""

    correlation: float
    low: float
    high: float
    points: int


def rank_correlation(
    bound: pd.Series, frame: pd.DataFrame, accuracy: str, *, generator: np.random.Generator, resamples: int = 1000
) -> RankCorrelation:
    """ρ between means over the trials of each K; K where the bound does not exist are left out, NaN with fewer than 3.

    The K are chosen, not drawn, so the interval is about the noise of seeds: a bootstrap of the trials' deviations from
    their K's mean, pooled over K, inflated by √(S/(S−1)); a bound's are relative, as it spans powers of ten. NaN where
    no K has two trials.
    """
    trials = pd.DataFrame({"k": frame["k"], "bound": bound, "accuracy": frame[accuracy].astype(float)})
    trials = trials.replace(np.inf, np.nan).dropna().set_index("k")
    means, seeds = trials.groupby("k").mean(), trials.groupby("k").size()
    points = len(means)
    if points < 3 or means["bound"].nunique() < 2 or means["accuracy"].nunique() < 2:
        return RankCorrelation(np.nan, np.nan, np.nan, points)
    value = float(_spearman(means.to_numpy()))
    repeated = trials[seeds[trials.index].to_numpy() > 1]
    if repeated.empty:
        return RankCorrelation(value, np.nan, np.nan, points)
    scale = means.assign(bound=means["bound"].abs(), accuracy=1.0)
    count = seeds[repeated.index].to_numpy()[:, None]
    noise = (repeated - means.loc[repeated.index]) / scale.loc[repeated.index] * np.sqrt(count / (count - 1))
    drawn = [generator.choice(noise.to_numpy(), (resamples, n)).mean(axis=1) for n in seeds]  # [R, 2] for each K
    correlations = _spearman(means.to_numpy() + np.stack(drawn, axis=1) * scale.to_numpy())
    low, high = np.nanquantile(correlations, [0.025, 0.975])
    return RankCorrelation(value, float(low), float(high), points)


def _spearman(pairs: Array) -> Array:
    """Spearman's ρ of pairs [..., K, 2] over K; NaN where one of the two is constant. Ties have their mean rank."""
    one, other = pairs[..., :, None, :], pairs[..., None, :, :]
    ranks = ((one > other) + (one == other) / 2).sum(axis=-2)  # SciPy's rankdata is an import of seconds
    ranks -= ranks.mean(axis=-2, keepdims=True)
    with np.errstate(invalid="ignore"):
        return ranks.prod(axis=-1).sum(axis=-1) / np.sqrt((ranks**2).sum(axis=-2).prod(axis=-1))

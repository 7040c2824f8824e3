"""Observed contrastive losses over K, fitted by a bound: which L_sup, L_sub and d would explain them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from study.analysis.least_squares import bootstrap_half_width, corrected_akaike, nonnegative_least_squares, null_space
from study.bounds import BOUNDS, PARAMETERS, Bound
from study.bounds.priors import Array, Sampling

Indices = np.ndarray[Any, np.dtype[Any]]
ONE_SEED = "it needs two seeds or more"
_SIGN = np.array([1.0, 1.0, -1.0])  # L_sup ≥ 0, L_sub ≥ 0, d ≤ 0: with these signs, non-negative


@dataclass(frozen=True)
class Parameter:
    """A fitted unknown, in nats, with its 95 % interval (NaN with one seed); all NaN where it is not identified."""

    name: str
    value: float
    low: float
    high: float
    identified: bool  # whether the curve determines it

    def __str__(self) -> str:
        if not self.identified:
            return f"{self.name}: not identified"
        interval = f"no interval: {ONE_SEED}" if np.isnan(self.low) else f"{self.low:.4g} to {self.high:.4g}"
        return f"{self.name} = {self.value:.4g} ({interval})"


@dataclass(frozen=True, repr=False)
class Fit:
    """A bound fitted to the trials of one group. Losses and errors in nats; intervals are 95 %."""

    bound: str
    group: dict[str, Any]
    parameters: tuple[Parameter, ...]
    rmse: float
    r2: float
    aicc: float  # Akaike's criterion with small-sample correction; ∞ with too few trials
    leave_one_k_out: float  # RMSE at a K that the fit has not seen; NaN with fewer than three K
    ks: tuple[int, ...]
    trials: int
    seeds: int
    notes: tuple[str, ...]  # what is not identified, at a limit, or missing
    priors: int | Array | Sampling = field(repr=False)
    temperature: float = field(repr=False)
    solution: Array = field(repr=False)  # (L_sup, L_sub, d), one that attains the fit [3]
    resampled: Array = field(repr=False)  # the same over bootstrap resamples [R, 3]

    def curve(self, k: ArrayLike) -> pd.DataFrame:
        """Columns k, value, low, high: the fitted L_cont over K with a pointwise interval."""
        ks = np.atleast_1d(np.asarray(k))
        design, constant = _design(BOUNDS[self.bound](), ks, self.priors, self.temperature)
        half = bootstrap_half_width(self.resampled @ design.T, self.seeds)
        value = design @ self.solution + constant
        return pd.DataFrame({"k": ks, "value": value, "low": value - half, "high": value + half})

    def as_dict(self) -> dict[str, Any]:
        """Plain values, by name; NaN and ∞ stay what they are."""
        names = ("bound", "group", "rmse", "r2", "aicc", "leave_one_k_out", "ks", "trials", "seeds", "notes")
        found = {p.name: {n: getattr(p, n) for n in ("value", "low", "high", "identified")} for p in self.parameters}
        return {name: getattr(self, name) for name in names} | {"parameters": found, "given": self.given}

    @property
    def given(self) -> dict[str, float]:
        """The unknowns that were known, each at its mean over the trials."""
        fitted = {p.name for p in self.parameters}
        values = dict(zip(PARAMETERS, map(float, self.solution), strict=True))
        return {name: values[name] for name in BOUNDS[self.bound].parameters if name not in fitted}

    @property
    def undetermined(self) -> str:
        """Why the fit says nothing: an unknown that the curve does not determine, or fewer K than unknowns + 2, through
        which any curve of so many unknowns nearly passes; empty where it says something."""
        if loose := [p.name for p in self.parameters if not p.identified]:
            return f"{self.bound} does not determine {', '.join(loose)}"
        unknowns, ks = len(self.parameters), len(self.ks)
        if ks >= unknowns + 2:
            return ""
        return (
            f"{self.bound} has {unknowns} unknown{'s' * (unknowns > 1)}, and {ks} K of the {unknowns + 2} that it needs"
        )

    def __str__(self) -> str:
        where = ", ".join(f"{name}={value}" for name, value in self.group.items())
        ks, seeds = ", ".join(map(str, self.ks)), f"{self.seeds} seed{'s' if self.seeds > 1 else ''}"
        lines = [f"{self.bound}{f' [{where}]' if where else ''}: {self.trials} trials, {seeds}, K = {ks}"]
        lines += [f"  {parameter}" for parameter in self.parameters]
        lines += [f"  {name} = {value:.4g} (given)" for name, value in self.given.items()]
        quality = {"RMSE": self.rmse, "R²": self.r2, "AICc": self.aicc, "RMSE at a K left out": self.leave_one_k_out}
        lines.append("  " + ", ".join(f"{name} {value:.4g}" for name, value in quality.items() if np.isfinite(value)))
        return "\n".join(lines + [f"  {note}" for note in self.notes])

    __repr__ = __str__


def fit_bound(
    frame: pd.DataFrame,
    bound: str,
    *,
    priors: int | ArrayLike,
    generator: np.random.Generator,
    by: Sequence[str] = (),
    loss: str = "contrastive_loss",
    fixed: Mapping[str, float | str] | None = None,
    resamples: int = 1000,
    intervals: bool = True,
) -> list[Fit]:
    """One `Fit` for each group of trials that share the columns `by`: everything but K and the seed.

    frame: one row per trial, with columns k, seed, temperature and the test loss L_cont(K) in nats.
    fixed: unknowns that are known, as a number or the name of a column (such as {"d": "gap"}).

    Least squares with L_sup, L_sub ≥ 0 and d ≤ 0, the probabilities at their exact values: pass the scheme that L_cont
    was measured by, `without_replacement(class_counts)`, for draws from a finite split. Intervals: the standard
    error of a bootstrap over seeds times Student's t with S−1 degrees of freedom, corrected by √(S/(S−1)) (percentiles
    of so few clusters are too narrow: Cameron, Gelbach & Miller 2008, doi 10.1162/rest.90.3.414). They take most of the
    time; without `intervals` they are NaN, and the generator is left in the same state.
    """
    return [
        _fit_curve(_observe(rows, bound, priors, loss, dict(fixed or {})), group, generator, resamples, intervals)
        for group, rows in groups_of(frame, by, loss)
    ]


def groups_of(frame: pd.DataFrame, by: Sequence[str], loss: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """(values of `by`, their finished trials), each group checked to be a curve over K at one temperature."""
    missing = [name for name in ("k", "seed", "temperature", loss, *by) if name not in frame.columns]
    if missing:
        raise ValueError(f"the table lacks the columns {missing}; it has {list(frame.columns)}")
    pieces = frame.groupby(list(by), dropna=False) if by else [((), frame)]
    for values, rows in pieces:
        group = dict(zip(by, values, strict=True))
        finite = rows[np.isfinite(rows[loss].astype(float))]
        ks, temperatures = (sorted(finite[name].unique().tolist()) for name in ("k", "temperature"))
        if len(temperatures) > 1:
            raise ValueError(
                f"the trials of {group or 'the table'} mix temperatures {temperatures}, whose losses lie on different "
                "curves; pass by=['temperature'] or filter"
            )
        if len(ks) < 2:
            raise ValueError(
                f"a curve over K needs at least two values of K, but {group or 'the table'} has {ks}; "
                "run the study with another K"
            )
        yield group, finite


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """The observed losses [n] of one group, and the right-hand side that is to explain them."""

    bound: str
    priors: int | Array | Sampling
    temperature: float
    ks: Indices  # [K]
    at: Indices  # index of each trial's K [n]
    seed: Indices  # index of each trial's seed [n]
    observed: Array  # L_cont [n]
    design: Array  # coefficients of L_sup, L_sub and d at each K [K, 3]
    constant: Array  # [K]
    given: Array  # the fixed unknowns of each trial, 0 where free [n, 3]
    free: Array  # which unknowns are fitted [3]

    def columns(self) -> Array:
        """The free unknowns' columns [K, p], with signs that make the unknowns non-negative."""
        return (self.design * _SIGN)[:, self.free]

    def solve(self, weights: Array) -> Array:
        """(L_sup, L_sub, d) [R, 3] for weights [R, n] of the trials; fixed ones at their mean."""
        rows = self.columns()[self.at]  # [n, p]
        target = self.observed - self.constant[self.at] - (self.design[self.at] * self.given).sum(axis=1)
        gram = np.tensordot(weights, rows[:, :, None] * rows[:, None, :], axes=1)  # [R, p, p]
        solution = np.tile(self.given.mean(axis=0), (len(weights), 1))
        solution[:, self.free] = nonnegative_least_squares(gram, weights @ (rows * target[:, None])) * _SIGN[self.free]
        return solution

    def residuals(self, solution: Array) -> Array:
        unknowns = np.where(self.free, solution, self.given)
        return self.observed - self.constant[self.at] - (self.design[self.at] * unknowns).sum(axis=1)


def _observe(
    rows: pd.DataFrame, name: str, priors: int | ArrayLike, loss: str, fixed: dict[str, float | str]
) -> _Curve:
    bound: Bound = BOUNDS[name]()
    if unknown := set(fixed) - set(bound.parameters):
        raise ValueError(f"fixed names {sorted(unknown)}, but {name} has the unknowns {bound.parameters}")
    temperature = float(rows["temperature"].iloc[0])
    ks, at = np.unique(rows["k"].to_numpy(dtype=np.int64), return_inverse=True)
    design, constant = _design(bound, ks, priors, temperature)
    return _Curve(
        bound=name,
        priors=priors if isinstance(priors, int | Sampling) else np.asarray(priors),
        temperature=temperature,
        ks=ks,
        at=at,
        seed=np.unique(rows["seed"].to_numpy(), return_inverse=True)[1],
        observed=rows[loss].to_numpy(dtype=np.float64),
        design=design,
        constant=constant,
        given=np.column_stack([_known(rows, fixed.get(parameter, 0.0)) for parameter in PARAMETERS]),
        free=np.array([p in bound.parameters and p not in fixed for p in PARAMETERS]),
    )


def _fit_curve(
    curve: _Curve, group: dict[str, Any], generator: np.random.Generator, resamples: int, intervals: bool
) -> Fit:
    trials, seeds = len(curve.observed), int(curve.seed.max()) + 1
    solution = curve.solve(np.ones((1, trials)))[0]
    counts = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)  # of each seed [R, S]
    resampled = (
        curve.solve(counts[:, curve.seed].astype(np.float64)) if intervals else np.full_like(solution, np.nan)[None]
    )
    left_out = curve.at == np.arange(len(curve.ks))[:, None]  # [K, n]
    without = curve.solve((~left_out).astype(np.float64))
    unseen = [curve.residuals(fitted)[out] for fitted, out in zip(without, left_out, strict=True)]
    rank, loose = null_space(curve.columns())
    parameters = _parameters(curve, solution, bootstrap_half_width(resampled, seeds), loose)
    residual, spread = curve.residuals(solution), curve.observed - curve.observed.mean()
    squares, total = float(residual @ residual), float(spread @ spread)
    aicc = corrected_akaike(squares, trials, rank + 1)
    return Fit(
        bound=curve.bound,
        group=group,
        parameters=parameters,
        rmse=float(np.sqrt(squares / trials)),
        r2=1 - squares / total if total > 0 else np.nan,
        aicc=aicc,
        leave_one_k_out=float(np.sqrt(np.mean(np.concatenate(unseen) ** 2))) if len(curve.ks) > 2 else np.nan,
        ks=tuple(int(k) for k in curve.ks),
        trials=trials,
        seeds=seeds,
        notes=_notes(parameters, rank, len(curve.ks), aicc),
        priors=curve.priors,
        temperature=curve.temperature,
        solution=solution,
        resampled=resampled,
    )


def _parameters(curve: _Curve, solution: Array, half: Array, loose: Array) -> tuple[Parameter, ...]:
    """The free unknowns with their intervals, cut at the physical limits; NaN for those that no prediction needs."""
    parameters = []
    for i, tied in zip(np.flatnonzero(curve.free), loose, strict=True):
        low, high = (0.0, np.inf) if _SIGN[i] > 0 else (-np.inf, 0.0)
        interval = float(np.clip(solution[i] - half[i], low, high)), float(np.clip(solution[i] + half[i], low, high))
        values = (np.nan, np.nan, np.nan) if tied else (float(solution[i]), *interval)
        parameters.append(Parameter(PARAMETERS[i], *values, identified=not tied))
    return tuple(parameters)


def _notes(parameters: tuple[Parameter, ...], rank: int, ks: int, aicc: float) -> tuple[str, ...]:
    notes = [f"{p.name} is at its physical limit 0" for p in parameters if p.value == 0]
    if tied := [p.name for p in parameters if not p.identified]:
        notes.append(
            f"not identified: {', '.join(tied)}; the curve determines {rank} of {len(parameters)} unknowns: "
            "give one, as in fixed={'d': 'gap'}, or add other K"
        )
    if ks <= rank:
        notes.append(f"{ks} values of K and {rank} free unknowns: the curve passes through the means; add other K")
    if np.isinf(aicc):
        notes.append(f"no AICc: it needs more than {rank + 2} trials")
    return tuple(notes)


def _design(bound: Bound, ks: Array, priors: int | ArrayLike, temperature: float) -> tuple[Array, Array]:
    curve = bound.curve(ks, priors, temperature)
    return np.column_stack([curve.sup, curve.sub, curve.gap]), curve.constant


def _known(rows: pd.DataFrame, source: float | str) -> Array:
    if isinstance(source, str):
        if source not in rows.columns:
            raise ValueError(f"fixed refers to column {source!r}, which the table lacks; it has {list(rows.columns)}")
        return rows[source].to_numpy(dtype=np.float64)
    return np.full(len(rows), float(source))

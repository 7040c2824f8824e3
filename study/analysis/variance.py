"""Variance components of a grid: what each parameter and the seed explain of a metric, tested by permutation."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betainc

Array = NDArray[np.float64]

LEVEL = 0.05
PERMUTATIONS = 999
FOUND = "distinguishable from chance"
CHANCE = "not distinguishable from chance"
TOO_FEW = f"{CHANCE}: too few trials for any effect"
INTERACTIONS, SEED, UNEXPLAINED = "interactions", "seed", "unexplained"
MOST_LEVELS = 16
"""Of a number in a grid; with more it is a range."""


class Design(NamedTuple):
    """The sums of squares of a linear model: ‖Bᵀy‖² for an orthonormal basis B (trials, df) of each source."""

    effects: dict[str, Array]
    """each parameter beside the seed and the other parameters"""
    others: dict[str, Array]
    """of several parameters and seeds, interactions: the cells beside the parameters; of several seeds, seed"""
    residual: Array
    blocks: NDArray[np.intp]
    """each trial's seed, as 0, 1, 2 …"""
    trends: dict[str, Array]
    """of each parameter with three numbers or more, the part of its effect that is linear in their ranks"""


def design_of(frame: pd.DataFrame, parameters: Sequence[str]) -> Design:
    """The two-way model cell + seed, one row of `frame` per trial: cells under one seed share initialisation, order and
    views, so the seed is a block. Where it leaves no residual, as with one seed, what parameters explain only together
    is the residual.

    Parameters that have one value are left out. In a grid with holes each parameter keeps what only it explains
    (adjusted for the others, "type II").
    """
    varying = [name for name in parameters if len(frame[name].unique()) > 1]
    columns = {name: _indicators(frame[[name]]) for name in varying}
    seed, constant = _indicators(frame[[SEED]]), np.ones((len(frame), 1))
    mains = _basis([constant, seed, *columns.values()])
    effects = {
        name: _basis([columns[name]], beside=_basis([constant, seed, *(columns[o] for o in varying if o != name)]))
        for name in varying
    }
    trends = {
        name: _basis(
            [_ranks(frame[name])], beside=_basis([constant, seed, *(columns[o] for o in varying if o != name)])
        )
        for name in varying
        if len(frame[name].unique()) > 2 and _numbers(frame[name])
    }
    blocks = _basis([seed], beside=_basis([constant, *columns.values()]))
    others = {SEED: blocks} if blocks.shape[1] else {}
    together = _basis([_indicators(frame[varying])], beside=mains) if varying else mains[:, :0]
    residual = _complement(np.hstack([mains, together]))
    if not residual.shape[1]:
        residual = together
    elif together.shape[1]:
        others = {INTERACTIONS: together, **others}
    return Design(effects, others, residual, np.unique(frame[SEED].to_numpy(), return_inverse=True)[1], trends)


def search_design(cells: pd.DataFrame, parameters: Sequence[str]) -> Design:
    """A quadratic response to each parameter, a row of `cells` a cell, as of a random search: of numbers, by their
    ranks; of names, a mean each; each beside the other parameters. No residual is left where cells are too few."""
    constant = np.ones((len(cells), 1))
    columns = {name: _response(cells[name]) for name in parameters}
    beside = {name: _basis([constant, *(columns[o] for o in parameters if o != name)]) for name in parameters}
    whole = _basis([constant, *columns.values()])
    return Design(
        effects={name: _basis([columns[name]], beside=beside[name]) for name in parameters},
        others={},
        residual=_complement(whole),
        blocks=np.zeros(len(cells), dtype=np.intp),
        trends={
            name: _basis([columns[name][:, :1]], beside=beside[name]) for name in parameters if _numbers(cells[name])
        },
    )


def is_grid(frame: pd.DataFrame, parameters: Sequence[str], metric: str) -> bool:
    """Whether the finite trials are a grid, with or without holes: few values per parameter, at least half of their
    combinations, every parameter told apart from the others and from the seed, and a residual left."""
    rows = frame[np.isfinite(frame[metric].astype(float))]
    return _grid_of(rows, parameters) is not None


def _grid_of(rows: pd.DataFrame, parameters: Sequence[str]) -> Design | None:
    """The design of finite trials that are a grid, which is told by it; else None."""
    levels = {name: len(rows[name].unique()) for name in parameters if len(rows[name].unique()) > 1}
    ranges = [name for name in levels if _numbers(rows[name]) and levels[name] > MOST_LEVELS]
    cells = len(rows[list(levels)].drop_duplicates()) if levels else 0
    if not levels or ranges or 2 * cells < math.prod(levels.values()):
        return None
    design = design_of(rows, parameters)
    apart = all(basis.shape[1] == levels[name] - 1 for name, basis in design.effects.items())
    return design if apart and design.residual.shape[1] else None


def variance_components(
    frame: pd.DataFrame,
    parameters: Sequence[str],
    metric: str,
    *,
    generator: np.random.Generator,
    permutations: int = PERMUTATIONS,
) -> pd.DataFrame:
    """Columns parameter, share, df, p_value, p_adjusted, permutations, verdict: the parameters by share, then
    interactions, seed (the block), and unexplained, which is what is left. Shares are of 1.

    share: ω² (Hays 1963) = (SS − df·MS_residual) / (SS_total + MS_residual), floored at 0, of a fixed-effects analysis
    of variance over cells with seeds as blocks (`design_of`); its mean is 0, up to the floor, where a parameter does
    nothing. p_value: `permutation_p_values`. p_adjusted: over the parameters by Holm (1979); the interactions are a
    question of their own. The seed is not tested: it is what the test holds fixed. verdict: in words, at 5 %; it says
    so where a design has so few permutations that no effect could be found.
    """
    rows = frame[np.isfinite(frame[metric].astype(float))]
    if (design := _grid_of(rows, parameters)) is None:
        raise ValueError(
            f"variance components are of a grid with at least two values of a parameter and more trials with {metric} "
            "than the model has terms; add a seed, or take `importance` for a random search"
        )
    outcomes = rows[metric].to_numpy(dtype=float)
    if np.ptp(outcomes) == 0:
        raise ValueError(f"importance has nothing to explain: {metric} is {outcomes[0]:g} in every trial")
    options: dict[str, Any] = {"generator": generator, "permutations": permutations}
    p = permutation_p_values(outcomes, design, **options)
    count = len(design.effects)
    adjusted = [*holm(p[:count]), *p[count:]]
    smallest = smallest_p_values(design, **options) * np.where(np.arange(len(p)) < count, count, 1)
    table = pd.DataFrame({"parameter": [*design.effects, *design.others]})
    table["share"] = omega_squared(outcomes, design)
    table["df"] = [basis.shape[1] for basis in (*design.effects.values(), *design.others.values())]
    table["p_value"], table["p_adjusted"] = pd.Series(p), pd.Series(adjusted)
    table["permutations"] = permutations
    table["verdict"] = pd.Series([verdict(*of) for of in zip(adjusted, smallest, strict=True)])
    table = pd.concat([table[:count].sort_values("share", ascending=False, kind="stable"), table[count:]])
    left = max(0.0, 1 - table["share"].sum())
    unexplained = {"parameter": UNEXPLAINED, "share": left, "df": design.residual.shape[1]}
    table = pd.concat([table, pd.DataFrame([unexplained | {"permutations": permutations}])], ignore_index=True)
    return table.fillna({"verdict": ""})


def omega_squared(outcomes: Array, design: Design) -> Array:
    """ω² (Hays 1963), floored at 0, of each parameter and then of the design's other sources.

    outcomes: (..., trials), in the metric's unit. Returns (..., sources), shares of 1.
    """
    centred = outcomes - outcomes.mean(axis=-1, keepdims=True)
    residual = _squares(centred, design.residual) / design.residual.shape[1]
    total = (centred**2).sum(axis=-1) + residual
    shares = [
        (_squares(centred, basis) - basis.shape[1] * residual) / total
        for basis in (*design.effects.values(), *design.others.values())
    ]
    return np.maximum(np.stack(shares, axis=-1), 0)


def permutation_p_values(
    outcomes: Array, design: Design, *, generator: np.random.Generator, permutations: int = PERMUTATIONS
) -> Array:
    """p = (1 + #{P* ≤ P}) / (1 + permutations) of each parameter, and then of the interactions if there are any.

    Permutation test (Fisher 1935): cell labels are permuted within each seed, P* is that of the permuted table. P is
    the F test's p-value; of a parameter with three numbers or more it is the smaller of that and of the F test of a
    trend over their ranks, which finds what rises or falls with fewer seeds (min-p: Westfall & Young 1993). Exact where
    no parameter does anything; a ratio of mean squares stays close to that where others do (Anderson & ter Braak
    2003). Interactions are tested on what the parameters leave (Freedman & Lane 1983).

    outcomes: (..., trials), studies of one design, which share the permutations. Returns (..., tests).
    """
    studies = outcomes.reshape(-1, outcomes.shape[-1])
    studies = studies - studies.mean(axis=1, keepdims=True)
    orders = _within(design.blocks, permutations, generator)  # (permutations, trials)
    p = np.empty((len(studies), len(_tested(design))))
    for column, bases in enumerate(_tested(design)):
        values = studies
        if column == len(design.effects):
            kept = np.hstack([*bases, design.residual])
            values = studies @ kept @ kept.T
        for row, of_study in enumerate(values):
            observed, null = (_least_p(y, bases, design.residual) for y in (of_study, of_study[orders]))
            p[row, column] = (1 + (null <= observed * (1 + 1e-9)).sum()) / (1 + permutations)
    return p.reshape(*outcomes.shape[:-1], p.shape[1])


def smallest_p_values(design: Design, *, generator: np.random.Generator, permutations: int = PERMUTATIONS) -> Array:
    """The least that `permutation_p_values` can be in this design: the share of its permutations that tie for the
    strongest effect, as those do that exchange the names of two values. Of two cells under two seeds it is ½."""
    outcomes = generator.normal(size=len(design.blocks))
    permuted = outcomes[_within(design.blocks, permutations, generator)]
    nulls = (_least_p(permuted, bases, design.residual) for bases in _tested(design))
    return np.array([(null <= null.min() * (1 + 1e-9)).mean() for null in nulls])


def holm(p: Array) -> Array:
    """p-values adjusted for their number m (Holm 1979): the i-th smallest becomes maxⱼ≤ᵢ min(1, (m − j + 1)·pⱼ).

    p: (..., m).
    """
    order = np.argsort(p, axis=-1, kind="stable")
    factors = np.arange(p.shape[-1], 0, -1)
    ascending = np.maximum.accumulate(np.minimum(np.take_along_axis(p, order, -1) * factors, 1), axis=-1)
    return np.take_along_axis(ascending, np.argsort(order, axis=-1), -1)


def verdict(p_adjusted: float, smallest: float = 0.0) -> str:
    """Verdict of a p-value at 5 %, given the smallest there could be."""
    return FOUND if p_adjusted <= LEVEL else TOO_FEW if smallest > LEVEL else CHANCE


def _indicators(columns: pd.DataFrame) -> Array:
    """(trials, groups): 1 where a trial is of the group, as named by its values in all columns."""
    groups = columns.groupby(list(columns), dropna=False, sort=False).ngroup().to_numpy()
    return (groups[:, None] == np.arange(groups.max() + 1)).astype(float)


def _basis(columns: Sequence[Any], *, beside: Array | None = None) -> Array:
    """Orthonormal basis (trials, rank) of what the columns span outside the span of `beside`, itself orthonormal."""
    stacked = np.hstack(columns)
    if beside is not None:
        stacked = stacked - beside @ (beside.T @ stacked)
    left, singular, _ = np.linalg.svd(stacked, full_matrices=False)
    return left[:, singular > 1e-8]


def _complement(basis: Array) -> Array:
    """Orthonormal basis (trials, trials − rank) of what lies outside the span of an orthonormal one."""
    return np.linalg.qr(basis, mode="complete")[0][:, basis.shape[1] :]


def _squares(outcomes: Array, basis: Array) -> Array:
    return ((outcomes @ basis) ** 2).sum(axis=-1)


def _tested(design: Design) -> list[list[Array]]:
    """The bases of each parameter's test, then of the interactions'."""
    tests = [
        [basis, *([design.trends[name]] if name in design.trends else [])] for name, basis in design.effects.items()
    ]
    return tests + [[design.others[name]] for name in (INTERACTIONS,) if name in design.others]


def _least_p(outcomes: Array, bases: list[Array], residual: Array) -> Array:
    """The smallest of the F tests' p-values, P(F ≥ f) = I_u(df₂/2, df₁/2) at u = SS_residual / (SS + SS_residual)."""
    left = _squares(outcomes, residual)
    p = []
    for basis in bases:
        whole = _squares(outcomes, basis) + left
        unexplained = np.divide(left, whole, out=np.ones_like(whole), where=whole > 0)
        p.append(betainc(residual.shape[1] / 2, basis.shape[1] / 2, unexplained))
    return np.minimum.reduce(p)


def _numbers(values: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _ranks(values: "pd.Series[Any]") -> Array:
    """(trials, 1): a value's place among the distinct ones, which of powers of two is their logarithm."""
    return np.unique(values.to_numpy(), return_inverse=True)[1][:, None].astype(float)


def _response(values: "pd.Series[Any]") -> Array:
    """(cells, 2) of numbers, their ranks and the squares; of names, an indicator each."""
    if not _numbers(values) or values.isna().any():
        return _indicators(values.to_frame())
    centred = _ranks(values) / (values.nunique() - 1) - 0.5
    return np.hstack([centred, centred**2])


def _within(blocks: NDArray[np.intp], count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """(count, trials) permutations of the trials, each within its block."""
    orders = np.empty((count, len(blocks)), dtype=np.intp)
    orders[:, np.argsort(blocks, kind="stable")] = np.argsort(blocks + generator.random(orders.shape), axis=1)
    return orders

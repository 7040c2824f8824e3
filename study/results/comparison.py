"""Cells against a baseline, and the best cell: differences by seed, with what can be told from chance."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from study.analysis.paired import (
    APART,
    NO_NOISE,
    WAY_OUT,
    block_design,
    differences,
    differences_from_best,
    unequal_noise,
)
from study.metric_names import validation_of
from study.results.cells import cell_numbers
from study.results.labels import cell_label, label, text

LOUD = " (one cell has more noise than the others, and its intervals are too narrow: drop it, or add seeds)"


class Comparison(pd.DataFrame):
    """A frame that prints all of its columns, to three digits."""

    def __repr__(self) -> str:
        return self.to_string(index=False, float_format="{:.3g}".format, na_rep="")


class Best(NamedTuple):
    """The cell of the best mean, and whether it can be told from the others."""

    cell: dict[str, Any]
    frame: pd.DataFrame
    """one row per cell, best first: what varies, mean, n, and its difference from the best, adjusted for all pairs"""
    words: str

    def __str__(self) -> str:
        return self.words


def compare(
    finished: pd.DataFrame, varying: Sequence[str], metric: str, baseline: Mapping[str, Any], margin: float | None
) -> Comparison:
    """A row a comparison: what varies, mean, n, and the columns of `study.analysis.paired.differences`."""
    trials, cells = _cells(finished, varying, metric)
    pairs = _pairs(cells, varying, baseline)
    design, outcomes = block_design(*_codes(trials, varying)), trials[metric].to_numpy(dtype=float)
    found = differences(design, outcomes, pairs, generator=np.random.default_rng(0), margin=margin)
    if (found["seeds"] < 2).all():
        raise ValueError(
            f"no cell has two seeds with {metric} in common with the baseline {cell_label(baseline)}, without which "
            "noise is unknown: add seeds"
        )
    return Comparison(pd.concat([cells.iloc[pairs[:, 0]].reset_index(drop=True), found], axis=1))


def best(finished: pd.DataFrame, varying: Sequence[str], metric: str, *, upwards: bool) -> Best:
    """The cell of the best mean on held-out examples where there are any; which cells may be as good on test, from all
    pairs of cells at once."""
    trials, cells = _cells(finished, varying, metric)
    codes, outcomes = _codes(trials, varying), trials[metric].to_numpy(dtype=float)
    design, held = block_design(*codes), _held_out(trials, metric)
    first, found = differences_from_best(design, outcomes, upwards=upwards, chosen_by=held)
    order = np.argsort((design.weights @ outcomes) * (-1 if upwards else 1), kind="stable")
    order = np.concatenate([[first], order[order != first]])
    frame = pd.concat([cells, found], axis=1).iloc[order].reset_index(drop=True)
    cell = {path: cells[path][first] for path in varying}
    noise = unequal_noise(design, codes[0], outcomes, generator=np.random.default_rng(0))
    words = _words(frame, varying, metric, upwards, held is not None)
    return Best(cell, frame, words + (LOUD if noise <= 0.01 else ""))


def _cells(finished: pd.DataFrame, varying: Sequence[str], metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials with a finite value, and their cells: what varies, mean and n, in the order of `_codes`."""
    trials = finished[np.isfinite(finished[metric].astype(float))]
    if trials.empty:
        raise ValueError(f"no finished trial has a finite {metric}: run the study first")
    groups = trials.groupby(list(varying) or "status", dropna=False, sort=False)[metric]
    cells = pd.DataFrame({"mean": groups.mean(), "n": groups.size()}).reset_index()
    return trials, cells[[*varying, "mean", "n"]]


def _codes(trials: pd.DataFrame, varying: Sequence[str]) -> tuple[Any, Any]:
    """Each trial's cell and seed as 0, 1, 2 …"""
    return cell_numbers(trials, varying), pd.factorize(trials["seed"])[0]


def _pairs(cells: pd.DataFrame, varying: Sequence[str], baseline: Mapping[str, Any]) -> Any:
    """[m, 2]: every cell that is not of the baseline, and the baseline cell that agrees with it in all else."""
    if not baseline:
        raise ValueError("a baseline names a cell or a part of one, such as {'k': 16}, got {}")
    at = pd.Series(True, index=cells.index)
    for path, value in baseline.items():
        if path not in varying:
            raise ValueError(f"{path} does not vary in this study; a baseline names one of {', '.join(varying)}")
        shown = cells[path].map(label)
        if not (shown == label(value)).any():
            raise ValueError(f"no cell has {path}={label(value)}; there are {', '.join(shown.unique())}")
        at &= shown == label(value)
    if not at.any():
        raise ValueError(f"no cell has {cell_label(baseline)} together; leave one of them out, or run that cell")
    others = [path for path in varying if path not in baseline]
    reference = {tuple(map(label, cells.loc[i, others])): i for i in cells.index[at]}
    pairs = [
        (i, reference[key]) for i in cells.index[~at] if (key := tuple(map(label, cells.loc[i, others]))) in reference
    ]
    if not pairs:
        raise ValueError(f"every cell is of the baseline {cell_label(baseline)}, or differs from it in more; name less")
    return np.array(pairs)


def _held_out(trials: pd.DataFrame, metric: str) -> Any:
    """The metric's values on held-out examples; None where a trial has none."""
    name = validation_of(metric)
    values = trials[name].to_numpy(dtype=float) if name != metric and name in trials else np.array([np.nan])
    return values if np.isfinite(values).all() else None


def _words(frame: pd.DataFrame, varying: Sequence[str], metric: str, upwards: bool, held_out: bool) -> str:
    """The best cell with the interval of its lead, or that no cell can be told apart."""
    top, others = frame.iloc[0], frame.iloc[1:]
    name, extreme = _named(top, varying), "highest" if upwards else "lowest"
    chosen = "chosen on held-out examples" if held_out else f"the {extreme} mean"
    mean = f"{name}: {text(metric, top['mean'])}, {chosen} of {len(frame)} cells"
    if others.empty:
        return f"{name}: {text(metric, top['mean'])}, with none to compare"
    if others["difference"].isna().all():
        if (others["seeds"] > 1).any():
            return f"no cell can be told apart ({mean}), as {NO_NOISE}: {WAY_OUT}"
        return f"no cell can be told apart with one seed ({mean}): add seeds"
    alike = (others["difference"].isna() | (others["verdict"] == APART)).sum()
    if alike == len(others):
        detectable = text(metric, others["detectable"].max())
        return f"no cell can be told apart ({mean}); a difference of {detectable} would be found in 80 % of studies"
    following = others[others["difference"].notna()].iloc[0]
    sign = -1 if upwards else 1
    low, high = sorted(sign * following[["low", "high"]])
    lead = f"{text(metric, sign * following['difference'])} ({text(metric, low)} to {text(metric, high)})"
    rest = f"{alike} of the other {len(others)} may be as good" if alike else "told apart from all others"
    return f"{mean}, {rest}; it leads the next, {_named(following, varying)}, by {lead}"


def _named(cell: pd.Series, varying: Sequence[str]) -> str:
    return cell_label({path: cell[path] for path in varying}) or "the only cell"

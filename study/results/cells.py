"""Means over the trials of each cell, with their intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from study.analysis.intervals import half_width
from study.analysis.paired import block_design
from study.results.labels import text


def interval(frame: pd.DataFrame, by: list[str], metrics: list[str]) -> pd.DataFrame:
    """Mean, 95 % Student-t half-width and n of each metric in each group, one row per group and metric."""
    groups = frame.groupby(by or frame["status"], dropna=False, sort=False)[metrics]
    mean, error, n = groups.mean(), groups.sem(), groups.count()
    keys = mean.index.to_frame(index=False)[by]
    table = pd.concat([keys] * len(metrics), ignore_index=True)
    values = {"mean": mean, "half_width": half_width(error.to_numpy(), n.to_numpy()), "n": n}
    columns = {name: np.asarray(value).ravel(order="F") for name, value in values.items()}
    return table.assign(metric=np.repeat(metrics, len(keys)), **columns)


def blocked_interval(frame: pd.DataFrame, by: list[str], metrics: list[str]) -> pd.DataFrame:
    """Mean, 95 % half-width and n of each metric in each cell, one row per cell and metric; seeds are blocks.

    half_width = t(.975; df)·σ/√n, σ the pooled residual of cell + seed (`study.analysis.paired.BlockDesign`): of the
    cell's mean under the study's seeds, whose common part, such as the initialisation's, moves all cells alike. Two
    cells are told apart, not adjusted for the number of cells, where they differ by √2 of it. Where no two cells have
    two seeds in common it is Student's, as in `interval`.
    """
    table, cells, seeds = interval(frame, by, metrics), cell_numbers(frame, by), pd.factorize(frame["seed"])[0]
    half = table["half_width"].to_numpy().reshape(len(metrics), -1).copy()
    values = frame[metrics].to_numpy(dtype=float).T
    patterns, same = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    for number, there in enumerate(patterns):
        rows = np.flatnonzero(same == number)
        present, of_cells = np.unique(cells[there], return_inverse=True)
        if len(present) < 2:
            continue
        design = block_design(of_cells, pd.factorize(seeds[there])[0])
        if design.df:
            half[np.ix_(rows, present)] = design.half_widths(values[np.ix_(rows, np.flatnonzero(there))])
    return table.assign(half_width=half.ravel())


def cells_table(
    cells: pd.DataFrame, finished: pd.DataFrame, varying: list[str], metrics: list[str], *, descending: bool
) -> pd.DataFrame:
    """A row a cell: what varies, n, and each metric of `cells` as text, mean ± half-width; in order of the first."""
    table = finished.groupby(varying or "status", dropna=False, sort=False).size().rename("n").reset_index()
    table = table[[*varying, "n"]]
    for name in metrics:
        of_metric = cells[cells["metric"] == name]
        table[name] = [text(name, m, h) for m, h in zip(of_metric["mean"], of_metric["half_width"], strict=True)]
    if metrics and len(table):
        ascending = np.argsort(cells.loc[cells["metric"] == metrics[0], "mean"].to_numpy(), kind="stable")
        table = table.iloc[ascending[::-1] if descending else ascending]
    return table.reset_index(drop=True)


def cell_numbers(frame: pd.DataFrame, varying: Sequence[str]) -> np.ndarray:
    """Each trial's cell as 0, 1, 2 …, in the order of their first trials."""
    return frame.groupby(list(varying) or frame["status"], dropna=False, sort=False).ngroup().to_numpy()

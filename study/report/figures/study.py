"""Figures of a study's results. Each is an info tuple, whose numbers can be tested, then a drawing of it."""

import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from study.analysis.colours import COLOURS, legend_name
from study.analysis.importance import BINS, binned
from study.results import Results, floor_of, interval, is_percentage, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_FIRST = ("negatives", "method", "objective", "temperature", "k")
"""Which of the config's paths set panels apart, before any other."""
MOST_LEVELS = 7
"""Up to this many values of a path are told apart by colour; more, as of a random search, are averaged over."""
MOST_PANELS = 12
FLOOR, DASHES = "#7f7f7f", (0, (4, 3))


class Curve(NamedTuple):
    """Means with their 95 % half-widths over seeds (NaN where there is one) and the trials behind each."""

    label: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    half_width: tuple[float, ...]
    n: tuple[int, ...]


class Panel(NamedTuple):
    title: str
    curves: tuple[Curve, ...]


class ChartInfo(NamedTuple):
    """Panels side by side that share their axes."""

    x_label: str
    y_label: str
    legend: str
    """what the colours stand for; empty: there is one curve a panel"""
    panels: tuple[Panel, ...]
    floor: float | None
    """the same metric of the untrained encoder"""
    log_x: bool
    averaged: tuple[str, ...]
    """paths that vary too, and were averaged over"""


def accuracy_info(results: Results, x: str, metric: str = "linear.features.top1") -> ChartInfo | None:
    """A metric against a numeric path, `k` or `temperature`; None where that does not vary or nothing was measured."""
    frame = results.finished
    if x not in results.varying or metric not in frame or not pd.api.types.is_numeric_dtype(frame[x]):
        return None
    frame = frame.dropna(subset=[metric])
    if frame[x].nunique() < 2:
        return None
    frame = frame.assign(**{x: binned(frame[x])})
    colour, panels, averaged = _roles(frame, [path for path in results.varying if path != x], x)
    floor = frame[floor_of(metric)].mean() if floor_of(metric) in frame else math.nan
    return ChartInfo(
        x_label="K, candidates an anchor is offered" if x == "k" else x,
        y_label=f"{metric} (%)" if is_percentage(metric) else metric,
        legend=colour,
        panels=tuple(_panels(interval(frame, [*panels, *filter(None, [colour]), x], [metric]), panels, colour, x)),
        floor=None if math.isnan(floor) else float(floor),
        log_x=bool(frame[x].min() > 0 and frame[x].max() / frame[x].min() >= 4),
        averaged=averaged,
    )


def loss_info(results: Results, journals: pd.DataFrame, metric: str = "train.loss") -> ChartInfo | None:
    """A stepwise metric against the epoch, mean over seeds; None where no trial has it.

    `journals`: one row per trial and epoch, with trial_id, epoch and the metrics.
    """
    if metric not in journals:
        return None
    frame = journals[["trial_id", "epoch", metric]].dropna()
    frame = frame[np.isfinite(frame[metric])]
    if frame.empty:
        return None
    frame = frame.merge(results.frame[["trial_id", *results.varying]], on="trial_id")
    colour, panels, averaged = _roles(frame, results.varying, "epoch")
    table = interval(frame, [*panels, *filter(None, [colour]), "epoch"], [metric])
    shown = tuple(_panels(table, panels, colour, "epoch"))
    return ChartInfo("epoch", f"{metric} (nats)", colour, shown, None, False, averaged)


def _roles(frame: pd.DataFrame, paths: Sequence[str], x: str) -> tuple[str, list[str], tuple[str, ...]]:
    """Which path colours the curves, which set panels apart, and which are averaged over."""
    levels = {path: frame[path].nunique(dropna=False) for path in paths}
    several = [path for path in paths if 2 <= levels[path] <= MOST_LEVELS]
    ordered = sorted(several, key=lambda path: PANELS_FIRST.index(path) if path in PANELS_FIRST else len(PANELS_FIRST))
    first = ("temperature", "k") if x == "k" else ("k", "temperature")
    colour = next((path for path in (*first, *ordered) if path in several), "")
    panels, count = [], 1
    for path in ordered:
        if path != colour and count * levels[path] <= MOST_PANELS:
            panels.append(path)
            count *= levels[path]
    return colour, panels, tuple(path for path in paths if levels[path] > 1 and path not in (colour, *panels))


def _panels(table: pd.DataFrame, panels: list[str], colour: str, x: str) -> Iterable[Panel]:
    for values, of_panel in _groups(table, panels):
        curves = []
        for shade, points in _groups(of_panel, [colour] if colour else []):
            points = points.sort_values(x)
            columns = [tuple(points[name].tolist()) for name in (x, "mean", "half_width", "n")]
            curves.append(Curve(", ".join(map(label, shade)), *columns))
        yield Panel(", ".join(_named(path, value) for path, value in zip(panels, values, strict=True)), tuple(curves))


def _named(path: str, value: Any) -> str:
    return label(value) if isinstance(value, str) else f"{path} = {label(value)}"


def _groups(table: pd.DataFrame, by: list[str]) -> Iterable[tuple[tuple[Any, ...], pd.DataFrame]]:
    return table.groupby(by, dropna=False) if by else [((), table)]


def draw(info: ChartInfo, *, columns: int = 3) -> "Figure":
    """Panels in rows of at most `columns`; error bars are the 95 % intervals."""
    from matplotlib.figure import Figure

    count = len(info.panels)
    rows, columns = -(-count // columns), min(count, columns)
    figure = Figure(figsize=(max(3.1 * columns, 5.4), 2.55 * rows + 0.55), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, info.panels, strict=False):
        _draw_panel(axes, panel, info)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    figure.supxlabel(info.x_label, fontsize=9)
    figure.supylabel(info.y_label, fontsize=9)
    _draw_legend(figure, info)
    return figure


def _curve_labels(info: ChartInfo) -> list[str]:
    """Of all panels, as a cell may be missing from one of them."""
    return list(dict.fromkeys(curve.label for panel in info.panels for curve in panel.curves))


def _draw_legend(figure: "Figure", info: ChartInfo) -> None:
    from matplotlib.lines import Line2D

    named = [name for name in _curve_labels(info) if name]
    lines = zip(named, COLOURS, strict=False)
    handles = [Line2D([], [], color=colour, lw=1.4, label=legend_name(name)) for name, colour in lines]
    if info.floor is not None:
        handles.append(Line2D([], [], color=FLOOR, lw=1, ls=DASHES, label="untrained encoder"))
    if handles:
        figure.legend(handles=handles, title=info.legend or None, loc="outside right upper", frameon=False, fontsize=8)


def _draw_panel(axes: "Axes", panel: Panel, info: ChartInfo) -> None:
    colours = dict(zip(_curve_labels(info), itertools.cycle(COLOURS)))
    dense = max((len(curve.x) for curve in panel.curves), default=0) > 2 * BINS
    for curve in panel.curves:
        colour = colours[curve.label]
        axes.plot(curve.x, curve.mean, color=colour, lw=1.4, marker=None if dense else "o", ms=3.5)
        if not dense and not all(map(math.isnan, curve.half_width)):
            spread = [0.0 if math.isnan(half) else half for half in curve.half_width]
            axes.errorbar(curve.x, curve.mean, spread, color=colour, fmt="none", elinewidth=1, capsize=2.5, alpha=0.8)
    if info.floor is not None:
        axes.axhline(info.floor, color=FLOOR, lw=1, ls=DASHES)
    if info.log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    ticks = sorted({x for shown in info.panels for curve in shown.curves for x in curve.x})
    if len(ticks) <= BINS:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    axes.set_title(textwrap.fill(panel.title, 40), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)

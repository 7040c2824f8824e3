"""Panels side by side, each with its curves: what is drawn of a metric against a parameter, and the drawing."""

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from study.analysis.importance import BINS
from study.figures.curve import (
    COLOURS,
    GREY,
    Curve,
    curve,
    cut_at_percent,
    draw_curve,
    in_words,
    legend_name,
    plain,
    within_percent,
)
from study.figures.records import by_value
from study.results import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

PANELS_FIRST = ("negatives", "method", "objective", "temperature", "k")
"""Paths of the config that set panels apart before any other."""
MOST_LEVELS = 7
"""Up to this many values of a path are told apart by colour; more, as of a random search, are averaged over."""
MOST_PANELS = 12
DASHES = (0, (4, 3))
SHIFT = 2.5
"""Points between the whiskers of two curves at one x."""
BESIDE, LINE = 24, 0.18
"""Letters of a name for which a legend has room beside the panels, and inches that each takes above them."""


class Panel(NamedTuple):
    title: str
    curves: tuple[Curve, ...]


class PanelsInfo(NamedTuple):
    """Panels that share their axes."""

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
    measured_between: bool = False
    """whether every x was measured, as of epochs: curves are lines, with bands"""
    percent: bool = False
    """whether the metric lies between 0 and 100 %"""

    @property
    def words(self) -> str:
        """Each panel's curves by their ends."""
        x = self.x_label.split(",")[0]
        told = (f"{panel.title}: " * bool(panel.title) + in_words(panel.curves, x) for panel in self.panels)
        return f"{self.y_label} against {self.x_label}. {'. '.join(told)}"

    @property
    def note(self) -> str:
        averaged = f" Averaged over {', '.join(self.averaged)}." if self.averaged else ""
        return averaged + cut_at_percent(one for panel in self.panels for one in panel.curves) * self.percent


def roles(frame: pd.DataFrame, paths: Sequence[str], x: str) -> tuple[str, list[str], tuple[str, ...]]:
    """The path that colours the curves, those that set panels apart, and those that are averaged over."""
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


def panels_of(table: pd.DataFrame, panels: list[str], colour: str, x: str) -> Iterator[Panel]:
    """From a table of `study.results.interval`, with the columns of panels, colour and x."""
    for values, of_panel in by_value(table, panels):
        curves = []
        for shade, points in by_value(of_panel, [colour] if colour else []):
            points = points.sort_values(x)
            columns = (points[name] for name in (x, "mean", "half_width", "n"))
            curves.append(curve(", ".join(map(label, shade)), *columns))
        yield Panel(", ".join(_named(path, value) for path, value in zip(panels, values, strict=True)), tuple(curves))


def _named(path: str, value: Any) -> str:
    return label(value) if isinstance(value, str) else f"{path} = {label(value)}"


def draw_panels(info: PanelsInfo, *, columns: int = 3) -> "Drawing":
    """Panels in rows of at most `columns`; error bars are the 95 % intervals."""
    from matplotlib.figure import Figure as Drawing

    count = len(info.panels)
    columns = 2 if count == 4 else min(count, columns)
    rows = -(-count // columns)
    drawing = Drawing(figsize=(max(2.9 * columns, 5.4), 2.55 * rows + 0.55), layout="constrained")
    grid = drawing.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, info.panels, strict=False):
        _draw_panel(axes, panel, info)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    for axes in grid.flat[max(0, count - columns) : count]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    if info.percent:
        within_percent(grid.flat[:count])
    drawing.supxlabel(info.x_label, fontsize=9)
    drawing.supylabel(info.y_label, fontsize=9)
    _draw_legend(drawing, info)
    return drawing


def _curve_labels(info: PanelsInfo) -> list[str]:
    """Of all panels, as a cell may be missing from one of them."""
    return list(dict.fromkeys(curve.label for panel in info.panels for curve in panel.curves))


def _draw_legend(drawing: "Drawing", info: PanelsInfo) -> None:
    from matplotlib.lines import Line2D

    named = [name for name in _curve_labels(info) if name]
    lines = zip(named, COLOURS, strict=False)
    handles = [Line2D([], [], color=colour, lw=1.4, label=legend_name(name)) for name, colour in lines]
    if info.floor is not None:
        handles.append(Line2D([], [], color=GREY, lw=1, ls=DASHES, label="untrained encoder"))
    above = any(len(name) > BESIDE for name in named)
    if above:
        drawing.set_figheight(drawing.get_figheight() + LINE * (len(handles) + 1))
    if handles:
        place = "outside upper center" if above else "outside right upper"
        drawing.legend(handles=handles, title=info.legend or None, loc=place, frameon=False, fontsize=8)


def _draw_panel(axes: "Axes", panel: Panel, info: PanelsInfo) -> None:
    colours = dict(zip(_curve_labels(info), itertools.cycle(COLOURS)))
    middle = (len(colours) - 1) / 2
    for one in panel.curves:
        if info.measured_between:
            draw_curve(one, axes, colours[one.label], style="-", band=True)
        else:
            draw_curve(one, axes, colours[one.label], shift=SHIFT * (list(colours).index(one.label) - middle))
    if info.floor is not None:
        axes.axhline(info.floor, color=GREY, lw=1, ls=DASHES)
    if info.log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    ticks = sorted({x for shown in info.panels for one in shown.curves for x in one.x})
    room = 0.06 * (ticks[-1] - ticks[0]) or 1
    axes.set_xlim(*((ticks[0] / 1.25, ticks[-1] * 1.25) if info.log_x else (ticks[0] - room, ticks[-1] + room)))
    if len(ticks) <= BINS:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    axes.set_title(textwrap.fill(panel.title, 28), fontsize=9)
    plain(axes)

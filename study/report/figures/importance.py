"""Figures of what moved a metric: shares of its variance, and its response to each parameter. Info, then drawing."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from study.analysis.variance import FOUND
from study.results import Results, is_percentage, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOUR = "#0072b2"
GREY = "#9a9a9a"


class ImportanceInfo(NamedTuple):
    """Shares of the metric's variance: of the parameters, largest first, and of a grid what else there is."""

    metric: str
    parameters: tuple[str, ...]
    share: tuple[float, ...]
    low: tuple[float, ...]  # the 95 % intervals of a random search; NaN in a grid
    high: tuple[float, ...]
    words: tuple[str, ...]  # what its test tells; empty where there is none
    caption: str


GRID_CAPTION = (
    "Share of the variance (ω², an analysis of variance over cells with seeds as blocks) of each parameter by itself, "
    "of what they explain only together, of the seed, and unexplained. Tested by permuting the cells within each seed "
    "({permutations:,} permutations), adjusted over the parameters (Holm): grey is not told from chance at 5 %, or not "
    "tested."
)
SEARCH_CAPTION = (
    "Functional ANOVA: what each explains by itself, relative to the others; shares sum to 1 also where nothing "
    "matters. Lines are 95 % ranges over bootstrap resamples of the trials, with a regression tree each. Tested by "
    "permuting the values of each parameter over the cells ({permutations:,} permutations), adjusted over the "
    "parameters (Holm): grey is not told from chance at 5 %, or not tested."
)


class ResponseInfo(NamedTuple):
    """Means of a metric at each value of a parameter, with 95 % half-widths (NaN: one replicate)."""

    metric: str
    parameter: str
    x: tuple[float, ...]  # the values; 0, 1, 2 … for names
    names: tuple[str, ...]  # empty for numbers
    mean: tuple[float, ...]
    half_width: tuple[float, ...]
    n: tuple[int, ...]
    over: str  # what the intervals are over: seeds or cells


def importance_info(table: pd.DataFrame, metric: str) -> ImportanceInfo:
    """From the table of `study.analysis.variance.variance_components`, or of `study.analysis.importance.importance`."""
    searched = "low" in table
    names, share, verdicts, p = (table[name].tolist() for name in ("parameter", "share", "verdict", "p_adjusted"))
    low, high = (tuple(table[name].tolist()) if searched else (math.nan,) * len(table) for name in ("low", "high"))
    words = tuple(f"{verdict} (p = {value:.2g})" if verdict else "" for verdict, value in zip(verdicts, p, strict=True))
    caption = (SEARCH_CAPTION if searched else GRID_CAPTION).format(permutations=table["permutations"].iloc[0])
    return ImportanceInfo(metric, tuple(names), tuple(share), low, high, words, caption)


def response_infos(results: Results, metric: str) -> list[ResponseInfo]:
    """The response to each parameter that varies."""
    return [response_info(results.response(name, metric), name, metric) for name in results.varying]


def response_info(curve: pd.DataFrame, parameter: str, metric: str) -> ResponseInfo:
    """From the table of `study.analysis.importance.response_curve`."""
    values = curve[parameter].tolist()
    numeric = pd.api.types.is_numeric_dtype(curve[parameter])
    return ResponseInfo(
        metric=metric,
        parameter=parameter,
        x=tuple(map(float, values)) if numeric else tuple(map(float, range(len(values)))),
        names=() if numeric else tuple(map(label, values)),
        mean=tuple(curve["mean"].tolist()),
        half_width=tuple((curve["high"] - curve["mean"]).tolist()),
        n=tuple(curve["n"].tolist()),
        over=str(curve["over"].iloc[0]),
    )


def draw_importance(info: ImportanceInfo) -> "Figure":
    """A bar a row, in colour where it is told from chance, with the words of its test; whiskers are the intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2, 0.8 + 0.5 * len(info.parameters)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(info.parameters))[::-1]
    colours = [COLOUR if words.startswith(FOUND) else GREY for words in info.words]
    axes.barh(places, info.share, height=0.4, color=colours, alpha=0.55)
    axes.hlines(places, info.low, info.high, colors=colours, linewidth=2)
    for place, words in zip(places, info.words, strict=True):
        axes.text(0.01, place + 0.24, words, fontsize=7, va="bottom", color="#444444")
    axes.set_yticks(places, info.parameters)
    axes.set_xlabel(f"share of what moves {info.metric}", fontsize=9)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.5, len(info.parameters) - 0.2)
    _plain(axes)
    return figure


def draw_responses(infos: Sequence[ResponseInfo], *, columns: int = 3) -> "Figure":
    """A panel a parameter; all share the metric's axis."""
    from matplotlib.figure import Figure

    rows, columns = -(-len(infos) // columns), min(len(infos), columns)
    figure = Figure(figsize=(max(3.1 * columns, 5.4), 2.7 * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, info in zip(grid.flat, infos, strict=False):
        _draw_response(axes, info)
    for axes in grid.flat[len(infos) :]:
        axes.set_visible(False)
    figure.supylabel(f"{infos[0].metric}{' (%)' if is_percentage(infos[0].metric) else ''}", fontsize=9)
    return figure


def _draw_response(axes: "Axes", info: ResponseInfo) -> None:
    halves = [0.0 if math.isnan(half) else half for half in info.half_width]
    axes.errorbar(
        info.x,
        info.mean,
        halves,
        color=COLOUR,
        marker="o",
        ms=4,
        ls="" if info.names else "-",
        lw=1.4,
        elinewidth=1.2,
        capsize=2.5,
    )
    if info.names:
        axes.set_xticks(info.x, [textwrap.fill(name, 18) for name in info.names])
        axes.margins(x=0.2)
        if sum(map(len, info.names)) > 30:
            axes.tick_params(axis="x", labelrotation=30)
    else:
        if min(info.x) > 0 and max(info.x) / min(info.x) >= 4:
            axes.set_xscale("log")
        shown = [x for i, x in enumerate(info.x) if i % max(1, len(info.x) // 4) == 0]
        axes.set_xticks(shown, [f"{x:.3g}" for x in shown])
        axes.minorticks_off()
    axes.set_title(f"{info.parameter} (intervals over {info.over})", fontsize=9)
    _plain(axes)


def _plain(axes: "Axes") -> None:
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)

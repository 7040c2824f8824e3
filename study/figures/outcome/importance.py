"""Shares of a metric's variance: which parameters moved it."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from study.analysis.variance import FOUND
from study.figures.curve import COLOURS, plain
from study.figures.figure import FIGURES, Figure, Picture
from study.figures.records import Records

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

PALE = "#9a9a9a"
"""Of what is not told from chance."""
GRID_CAPTION = (
    "A coloured bar is a parameter that moves the metric by more than chance; grey is not told from chance at 5 %, or "
    "not tested. Share of the variance (ω², an analysis of variance over cells with seeds as blocks) of each parameter "
    "by itself, of what they explain only together, of the seed, and unexplained. Tested by permuting the cells within "
    "each seed ({permutations:,} permutations), adjusted over the parameters (Holm)."
)
POWER = (
    " Grey may still be an effect: in 80 % of studies of {cells} cells × {seeds} seeds a difference of {halves:.1f} σ "
    "between two halves of the cells is found, or one of {ends:.1f} σ from end to end of four values, each by itself "
    "(σ: a cell's spread over seeds, alike in all)."
)
SEARCH_CAPTION = (
    "Functional ANOVA: what each explains by itself, relative to the others; shares sum to 1 also where nothing "
    "matters. Lines are 95 % ranges over bootstrap resamples of the trials, with a regression tree each. Tested by a "
    "quadratic response to each, permuted over the cells ({permutations:,} permutations), adjusted over the "
    "parameters (Holm): grey is not told from chance at 5 %, or not tested."
)


class ImportanceInfo(NamedTuple):
    """Shares of the metric's variance: of the parameters, largest first, and of a grid what else there is."""

    metric: str
    parameters: tuple[str, ...]
    share: tuple[float, ...]
    low: tuple[float, ...]  # the 95 % intervals of a random search; NaN in a grid
    high: tuple[float, ...]
    words: tuple[str, ...]  # what its test tells; empty where there is none
    caption: str


@FIGURES.register("importance")
class Importance(Figure):
    """The varying parameters that moved the study's first metric."""

    section = "Importance"

    def of_study(self, records: Records) -> Iterator[Picture]:
        if not records.compares:
            return
        info = importance_info(records.importance, records.metric)
        shares = zip(info.parameters, info.share, info.words, strict=True)
        told = "; ".join(f"{name} {share:.0%}, {words}".rstrip(", ") for name, share, words in shares)
        yield Picture("importance", info, info.caption + _power(records), f"Shares of what moves {info.metric}: {told}")

    def draw(self, info: ImportanceInfo) -> "Drawing":
        """A bar per row, in colour where it is told from chance, with the words of its test; whiskers: intervals."""
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(6.2, 0.8 + 0.5 * len(info.parameters)), layout="constrained")
        axes = drawing.add_subplot()
        places = range(len(info.parameters))[::-1]
        colours = [COLOURS[0] if words.startswith(FOUND) else PALE for words in info.words]
        axes.barh(places, info.share, height=0.4, color=colours, alpha=0.55)
        axes.hlines(places, info.low, info.high, colors=colours, linewidth=2)
        for place, words in zip(places, info.words, strict=True):
            axes.text(0.01, place + 0.24, words, fontsize=7, va="bottom")
        axes.set_yticks(places, info.parameters)
        axes.set_xlabel(f"share of what moves {info.metric}", fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.5, len(info.parameters) - 0.2)
        plain(axes)
        return drawing


def importance_info(table: pd.DataFrame, metric: str) -> ImportanceInfo:
    """From the table of `study.analysis.variance.variance_components`, or of `study.analysis.importance.importance`."""
    searched = "low" in table
    names, share, verdicts, p = (table[name].tolist() for name in ("parameter", "share", "verdict", "p_adjusted"))
    low, high = (tuple(table[name].tolist()) if searched else (math.nan,) * len(table) for name in ("low", "high"))
    words = tuple(f"{verdict} (p = {value:.2g})" if verdict else "" for verdict, value in zip(verdicts, p, strict=True))
    caption = (SEARCH_CAPTION if searched else GRID_CAPTION).format(permutations=table["permutations"].iloc[0])
    return ImportanceInfo(metric, tuple(names), tuple(share), low, high, words, caption)


def _power(records: Records) -> str:
    """Effects that the seeds of a grid find, in words; empty where they leave the noise unknown."""
    from study.analysis.paired import detectable_by

    finished = records.results.finished
    of_cells = finished[finished[records.metric].notna()].groupby(records.results.varying, dropna=False).size()
    cells, seeds = len(of_cells), int(of_cells.min())
    if seeds < 2 or "low" in records.importance:
        return ""
    _, halves, ends = detectable_by(cells, seeds)
    return POWER.format(cells=cells, seeds=seeds, halves=halves, ends=ends)

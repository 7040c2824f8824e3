"""Cells of two studies: the difference of each, in order of its size."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from study.figures.curve import COLOURS, GREY, legend_name, plain
from study.results import TwoStudies, cell_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

COLOUR = {"higher": COLOURS[0], "lower": COLOURS[1]}
MOST = 40
"""Cells that are drawn, those that differ most."""


class Bar(NamedTuple):
    cell: str
    difference: float
    low: float
    high: float
    verdict: str


class DifferencesInfo(NamedTuple):
    """Cells of B minus those of A, the greatest first."""

    metric: str
    names: tuple[str, str]
    bars: tuple[Bar, ...]
    cells: int
    """of which these are drawn"""

    @property
    def alt(self) -> str:
        """Each bar in words."""
        told = (f"{bar.cell}: {bar.difference:+.3g} [{bar.low:.3g}, {bar.high:.3g}]" for bar in self.bars)
        return f"{self.metric} of {self.names[1]} minus {self.names[0]}. {'; '.join(told)}"


def differences_info(found: TwoStudies) -> DifferencesInfo:
    """The cells whose difference has an interval. Raises ValueError where none has."""
    frame = found.frame[found.frame["low"].notna()]
    if frame.empty:
        raise ValueError("no cell has two seeds in both studies, so there is no interval to draw: add seeds")
    largest = frame.loc[frame["difference"].abs().sort_values(ascending=False, kind="stable").index[:MOST]]
    paths = list(frame.columns[: frame.columns.get_loc("A")])
    bars = [_bar(row, paths) for row in largest.sort_values("difference", ascending=False).to_dict("records")]
    return DifferencesInfo(found.metric, found.names, tuple(bars), len(frame))


def _bar(row: Mapping[Any, Any], paths: Sequence[str]) -> Bar:
    name = cell_label({path: row[path] for path in paths}) or "the only cell"
    return Bar(name, row["difference"], row["low"], row["high"], row["verdict"])


def draw_differences(info: DifferencesInfo) -> "Drawing":
    """A dot and the interval of each cell; grey where it is not told from nothing."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(6.4, 0.26 * len(info.bars) + 1.1), layout="constrained")
    axes = drawing.add_subplot()
    for y, bar in enumerate(info.bars):
        colour = COLOUR.get(bar.verdict, GREY)
        axes.plot([bar.low, bar.high], [y, y], color=colour, lw=1.8, solid_capstyle="butt")
        axes.plot([bar.difference], [y], "o", color=colour, ms=4)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.set_yticks(range(len(info.bars)), [legend_name(bar.cell, 48) for bar in info.bars], fontsize=7)
    axes.set_ylim(len(info.bars) - 0.5, -0.5)
    axes.set_xlabel(f"{info.metric}, B − A, 95 % intervals", fontsize=8)
    axes.set_title(f"A: {info.names[0]}\nB: {info.names[1]}", fontsize=8, loc="left")
    plain(axes)
    return drawing

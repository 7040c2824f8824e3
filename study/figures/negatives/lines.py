"""Curves of cells on one pair of axes, as the figures of negatives draw them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from study.figures.curve import COLOURS, Curve, draw_curve, legend_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

CELLS = 6
"""So many are drawn, the first by value; the tables have them all."""


def sheet(width: float = 5.6, height: float = 3.6) -> "tuple[Drawing, Axes]":
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width, height), layout="constrained")
    return drawing, drawing.add_subplot()


def draw_lines(curves: Sequence[Curve], *, band: bool = False) -> "tuple[Drawing, Axes]":
    """Curves as `draw_curve` draws them, and a legend where there are several."""
    drawing, axes = sheet()
    for i, one in enumerate(curves):
        named = one._replace(label=legend_name(one.label))
        shift = 2.5 * (i - (len(curves) - 1) / 2)
        draw_curve(named, axes, COLOURS[i % len(COLOURS)], band=band, shift=shift)
    if len(curves) > 1:
        drawing.legend(loc="outside lower center", frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return drawing, axes


def level(axes: "Axes", at: float, label: str) -> None:
    """A dashed line across, named at its right end."""
    axes.axhline(at, color="0.5", linestyle="--", linewidth=1, zorder=0)
    axes.annotate(label, (1, at), xycoords=("axes fraction", "data"), color="0.5", ha="right", va="bottom")


def words(name: str) -> str:
    """A column's or a metric's name as words."""
    return name.replace("_other", ", other classes").replace("_", " ").replace(".", ": ")

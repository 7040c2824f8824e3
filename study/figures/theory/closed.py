"""Theory over K without training: probabilities of the draws, and the slopes or upper bounds of the bounds."""

import math
from typing import TYPE_CHECKING, NamedTuple

from study.analysis.theory import Theory
from study.figures.curve import COLOURS, Curve, curve, in_words, plain
from study.figures.theory.groups import colour_of, k_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

LEAST = 1e-30
"""Probabilities and slopes below are left out of the drawing; the table has them."""


class ClosedInfo(NamedTuple):
    """Curves over K."""

    probabilities: tuple[Curve, ...]
    bounds: tuple[Curve, ...]
    what: str
    """of the bounds: their slopes, or upper bounds on L_sup in nats"""
    caption: str
    alt: str


def closed_info(theory: Theory) -> ClosedInfo:
    """Curves of `theory`: upper bounds where it has observed losses, else the slopes of L_sup."""
    ks = [row.k for row in theory.rows]
    chances = {
        "1 − τ: no collision": [row.log_no_collision for row in theory.rows],
        "υ: all classes present": [row.log_coverage for row in theory.rows],
        "both": [row.log_free_coverage for row in theory.rows],
    }
    names = [bound.bound for bound in theory.rows[0].bounds]
    inverted = theory.rows[0].bounds[0].supervised_upper is not None
    columns = {name: [row.bounds[i] for row in theory.rows] for i, name in enumerate(names)}
    values = {
        name: [b.supervised_upper or math.nan if inverted else math.exp(b.log_scale) for b in column]
        for name, column in columns.items()
    }
    probabilities = tuple(_curve(name, ks, [math.exp(log) for log in logs]) for name, logs in chances.items())
    bounds = tuple(_curve(name, ks, column) for name, column in values.items())
    what = "upper bound on L_sup [nats]" if inverted else "slope of L_sup in the bound"
    caption = (
        f"{len(theory.draws)} classes, draws {theory.draws.name}, t = {theory.temperature:g}; all classes are "
        f"seen after {theory.expected_draws:.6g} draws on average."
    )
    return ClosedInfo(probabilities, bounds, what, caption, f"{caption} {in_words((*probabilities, *bounds), 'K')}")


def draw_closed(info: ClosedInfo) -> "Drawing":
    """Probabilities on the left, bounds on the right, both logarithmic."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(9.5, 4.2), layout="tight")
    left, right = drawing.subplots(1, 2)
    for one, colour in zip(info.probabilities, COLOURS, strict=False):
        left.plot(one.x, one.mean, "o-", color=colour, ms=4, lw=1.4, label=one.label)
    for one in info.bounds:
        right.plot(one.x, one.mean, "o-", color=colour_of(one.label), ms=4, lw=1.4, label=one.label)
    for axes, curves, name in ((left, info.probabilities, "probability"), (right, info.bounds, info.what)):
        plain(axes)
        k_axis(axes, curves)
        if any(one.x for one in curves):
            axes.set_yscale("log")
        axes.set_ylabel(name, fontsize=9)
        axes.legend(fontsize="small")
    drawing.suptitle(info.caption, fontsize="small")
    return drawing


def _curve(label: str, ks: list[int], values: list[float]) -> Curve:
    kept = [(k, value) for k, value in zip(ks, values, strict=True) if LEAST <= value < math.inf]
    return curve(label, [k for k, _ in kept], [value for _, value in kept], [math.nan] * len(kept))

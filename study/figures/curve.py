"""The curve of every figure: means over x with their intervals; how it is made, drawn and told in words."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from study.analysis.intervals import half_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255")
"""Told apart by the colour-blind, on white and on black: Okabe & Ito 2008, with Tol's wine for their black."""
GREY = "#7f7f7f"


class Curve(NamedTuple):
    """Means at each x with their 95 % interval, NaN where nothing is known of it, and the replicates behind each."""

    label: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: tuple[int, ...] = ()


def curve(label: str, x: Iterable[Any], mean: Any, half: Any, n: Iterable[Any] = ()) -> Curve:
    """From means and the half-widths of their intervals, of x's length."""
    means, halves = np.asarray(mean, dtype=float), np.asarray(half, dtype=float)
    low, high = (tuple(values.tolist()) for values in (means - halves, means + halves))
    return Curve(label, tuple(np.asarray(x).tolist()), tuple(means.tolist()), low, high, tuple(map(int, n)))


def mean_curve(label: str, x: "pd.Series[Any]", values: "pd.Series[Any]") -> Curve:
    """Means and Student's t intervals of the finite values at each x."""
    finite = np.isfinite(values.to_numpy(dtype=float))
    groups = values[finite].astype(float).groupby(x[finite])
    mean, n = groups.mean(), groups.count()
    return curve(label, mean.index, mean, half_width(groups.sem(), n), n)


def draw_curve(
    one: Curve, axes: "Axes", colour: str, *, style: str = "o-", band: bool = False, shift: float = 0.0
) -> None:
    """Means in matplotlib's `style` with their interval: as whiskers, or as a `band` where x has no gaps, as of epochs.

    Points are joined by a thin straight line, which says nothing of what lies between, and only where an interval says
    how far they are known. shift: of points and whiskers to the right, in points, so that those of several show.
    """
    if band:
        axes.plot(one.x, one.mean, style, color=colour, ms=3, lw=1.2, label=one.label)
        axes.fill_between(one.x, one.low, one.high, color=colour, alpha=0.2, linewidth=0)
        return
    known = np.isfinite(one.low).any()
    whiskers = np.array([np.subtract(one.mean, one.low), np.subtract(one.high, one.mean)])
    options: dict[str, Any] = {"ms": 3.6, "lw": 0.8, "elinewidth": 1, "capsize": 2}
    if shift:
        options["transform"] = _shifted(one, axes, shift)
    axes.errorbar(one.x, one.mean, whiskers, color=colour, fmt=style if known else style[0], label=one.label, **options)


def _shifted(one: Curve, axes: "Axes", points: float) -> Any:
    """The transform so far to the right; matplotlib takes no limits from what it draws, so they are told."""
    from matplotlib.transforms import ScaledTranslation

    ends = np.array([one.mean, one.low, one.high], dtype=float)
    points_of = np.column_stack([np.tile(one.x, 3), ends.ravel()])
    axes.update_datalim(points_of[np.isfinite(ends.ravel())])
    axes.autoscale_view()
    return axes.transData + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)


def in_words(curves: Iterable[Curve], x: str) -> str:
    """The two ends of each curve: `all: 46 at K = 16, 48 at K = 64; ring: …`."""
    return "; ".join(
        f"{one.label}: " * bool(one.label)
        + ", ".join(f"{one.mean[i]:.4g} at {x} = {one.x[i]:g}" for i in dict.fromkeys((0, len(one.x) - 1)))
        for one in curves
        if one.x
    )


def legend_name(label: str, most: int = 76) -> str:
    """A cell's label, cut to a length that leaves the figure its room."""
    return label if len(label) <= most else label[: most - 1] + "…"


def within_percent(panels: Iterable["Axes"]) -> None:
    """The y-axis of each kept within 0 and 100 %, where intervals of few seeds go beyond; points at the ends whole."""
    for axes in panels:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0.0), min(high, 100.0))
        for points, *_ in axes.containers:
            points.set_clip_on(False)


def cut_at_percent(curves: Iterable[Curve]) -> str:
    """` Intervals are cut at 100 %: the longest goes to 114 %.`, where an accuracy's pass what it can be; else empty.

    They are those of means whose noise is normal, which few seeds near a bound do not tell from noise that is not.
    """
    ends = [end for one in curves for end in (*one.low, *one.high) if np.isfinite(end)]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    passed = [(0, low)] * (low < -0.5) + [(100, high)] * (high > 100.5)
    return "".join(
        f" Intervals are cut at {bound} %: the longest goes to {end:.0f} %.".replace("-", "−") for bound, end in passed
    )


def plain(axes: "Axes") -> None:
    """A light grid, and no frame at the top and right."""
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)

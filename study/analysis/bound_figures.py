"""The figures of the theory: each is an info tuple, made from a table, and a drawing of it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as student

from study.analysis.colours import COLOURS
from study.analysis.compare import inverted_bound
from study.analysis.fit import Fit
from study.bounds import BOUNDS
from study.bounds.bound import why_infinite

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Line(NamedTuple):
    """A mean over seeds at each K with a 95 % interval (NaN for one seed); infinite values are left out."""

    label: str
    k: list[int]
    value: list[float]
    low: list[float]
    high: list[float]


class BoundsInfo(NamedTuple):
    """The figure of the field: upper bounds on L_sup (log scale) and downstream accuracy against K."""

    bounds: list[Line]
    absent: list[str]  # at which K a bound does not exist, and why
    accuracies: list[Line]


class SlackInfo(NamedTuple):
    """L_cont minus each lower bound against K; below 0 the bound is violated."""

    slacks: list[Line]


class FitInfo(NamedTuple):
    """Observed L_cont against K, and the curves that were fitted to it."""

    observed: Line
    fitted: list[Line]


def line(label: str, ks: pd.Series, values: pd.Series) -> Line:
    """Means and Student's t intervals of the finite values at each K."""
    finite = np.isfinite(values.to_numpy(dtype=float))
    groups = values[finite].astype(float).groupby(ks[finite])
    mean, error, count = groups.mean(), groups.sem(), groups.count()
    half = error * student.ppf(0.975, np.maximum(count - 1, 1))
    return Line(label, [int(k) for k in mean.index], list(mean), list(mean - half), list(mean + half))


def bounds_info(
    frame: pd.DataFrame,
    *,
    priors: int | ArrayLike,
    accuracies: Sequence[str],
    bounds: Sequence[str] = ("arora2019", "nozawa2021"),
    loss: str = "contrastive_loss",
) -> BoundsInfo:
    """From trials with columns k, temperature, loss, and each of `accuracies`: a line a bound and an accuracy."""
    classes = priors if isinstance(priors, int) else len(np.asarray(priors))
    uppers = {name: inverted_bound(frame, name, priors=priors, loss=loss) for name in bounds}
    return BoundsInfo(
        bounds=[line(name, frame["k"], upper) for name, upper in uppers.items()],
        absent=[text for name, upper in uppers.items() for text in _absent(name, frame["k"], upper, classes)],
        accuracies=[line(name, frame["k"], frame[name]) for name in accuracies],
    )


def _absent(name: str, ks: pd.Series, uppers: pd.Series, classes: int) -> Iterator[str]:
    """At which K the bound is infinite: a line a kind of reason, in the words of its largest K."""
    kinds: dict[str, dict[int, str]] = {}
    for k, of_k in uppers.groupby(ks):
        if reason := why_infinite(BOUNDS[name](), int(k), classes, of_k):
            kinds.setdefault(reason.partition(":")[0], {})[int(k)] = reason
    for whys in kinds.values():
        yield f"{name}: none at K = {', '.join(map(str, whys))} ({whys[max(whys)]})"


def slack_info(table: pd.DataFrame) -> SlackInfo:
    """From rows of (K, bound) with columns k, bound and slack, as `Estimate.bounds` gives them, of any trials."""
    return SlackInfo([line(str(name), rows["k"], rows["slack"]) for name, rows in table.groupby("bound", sort=False)])


def fit_info(frame: pd.DataFrame, fits: Sequence[Fit], *, loss: str = "contrastive_loss", points: int = 60) -> FitInfo:
    """From the trials of one group and their fits: curves between the smallest and the largest K."""
    grid = np.unique(np.geomspace(frame["k"].min(), frame["k"].max(), points).round().astype(int))
    fitted = []
    for fit in fits:
        curve = fit.curve(grid)
        fitted.append(Line(fit.bound, [int(k) for k in grid], *(list(curve[c]) for c in ("value", "low", "high"))))
    return FitInfo(line("observed", frame["k"], frame[loss]), fitted)


def draw_bounds(info: BoundsInfo, axes: "Axes") -> "Axes":
    """Bounds on the left axis, logarithmic; accuracies on the right, as points with intervals. Returns the right axis.

    A closed form is negative, and off the scale, where L_cont < E ln(Col+1): its d = 0 does not hold there.
    """
    for one in info.bounds:
        _draw_line(one, axes, _colour(one.label), marker="o")
    right = axes.twinx()
    for index, one in enumerate(info.accuracies):
        _draw_points(one, right, COLOURS[-1 - index % len(COLOURS)], fmt="s--")
    scale = "log" if any(value > 0 for one in info.bounds for value in one.value) else "linear"
    _k_axis(axes, [*info.bounds, *info.accuracies])
    axes.set(yscale=scale, ylabel="upper bound on the supervised loss [nats]")
    axes.yaxis.set_major_formatter("{x:g}")  # powers of ten as formulas take a third of the drawing's time
    right.set_ylabel("downstream accuracy [%]")
    if info.absent:
        axes.set_title("\n".join(info.absent), fontsize="x-small", loc="left")
    handles = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    axes.legend(
        handles=handles, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, frameon=False
    )
    return right


def draw_slack(info: SlackInfo, axes: "Axes") -> None:
    """Slack of each bound against K, with the line that no bound may cross."""
    for one in info.slacks:
        _draw_line(one, axes, _colour(one.label), marker="o")
    axes.axhline(0, color=_ink(), linewidth=0.8)
    _k_axis(axes, info.slacks)
    axes.set(ylabel="contrastive loss − lower bound [nats]")
    axes.legend(fontsize="small")


def draw_fit(info: FitInfo, axes: "Axes") -> None:
    """Observed losses as points with intervals, fitted curves as lines with bands."""
    _draw_points(info.observed, axes, _ink(), fmt="o")
    for one in info.fitted:
        _draw_line(one, axes, _colour(one.label))
    _k_axis(axes, [info.observed])
    axes.set(ylabel="contrastive loss [nats]")
    axes.legend(fontsize="small")


def figure(info: BoundsInfo | SlackInfo | FitInfo, path: str) -> None:
    """Draw any of the figures into a file (its suffix chooses the format), without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    page = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(page)
    draw(info, page.add_subplot())
    page.savefig(path, dpi=150)


def draw(info: BoundsInfo | SlackInfo | FitInfo, axes: "Axes") -> None:
    """Draw any of the figures."""
    if isinstance(info, BoundsInfo):
        draw_bounds(info, axes)
    elif isinstance(info, SlackInfo):
        draw_slack(info, axes)
    else:
        draw_fit(info, axes)


def _colour(bound: str) -> str:
    """A bound's own, the same in every figure; one that this process does not know comes last."""
    return COLOURS[[*BOUNDS.names(), bound].index(bound) % len(COLOURS)]


def _ink() -> str:
    """The text's colour, which a page sets."""
    import matplotlib as mpl

    return str(mpl.rcParams["text.color"])


def _k_axis(axes: "Axes", lines: Sequence[Line]) -> None:
    """K on a logarithmic axis, named where it was observed, as far as the names do not touch."""
    ks = sorted({k for one in lines for k in one.k})
    shown = [k for i, k in enumerate(ks) if i == 0 or k > 1.25 * ks[i - 1]]
    axes.set(xscale="log", xlabel="K")
    axes.set_xticks(shown, [str(k) for k in shown])
    axes.minorticks_off()


def _draw_points(one: Line, axes: "Axes", color: str, *, fmt: str) -> None:
    errors = np.array([np.subtract(one.value, one.low), np.subtract(one.high, one.value)])
    axes.errorbar(one.k, one.value, np.nan_to_num(errors), color=color, fmt=fmt, capsize=3, label=one.label)


def _draw_line(one: Line, axes: "Axes", color: str, *, marker: str = "") -> None:
    axes.plot(one.k, one.value, color=color, marker=marker, label=one.label)
    axes.fill_between(one.k, one.low, one.high, color=color, alpha=0.2, linewidth=0)

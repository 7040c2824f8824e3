"""The figure of the field: upper bounds on L_sup and downstream accuracy against K."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from study.analysis.compare import inverted_bound
from study.bounds import BOUNDS
from study.bounds.bound import why_infinite
from study.figures.curve import COLOURS, Curve, draw_curve, in_words, mean_curve
from study.figures.figure import FIGURES, Figure, Picture
from study.figures.records import Records
from study.figures.theory.groups import colour_of, groups, k_axis, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class BoundsInfo(NamedTuple):
    """Upper bounds on L_sup, in nats, and accuracies, in %, against K; infinite values are left out."""

    bounds: tuple[Curve, ...]
    absent: tuple[str, ...]
    """at which K a bound does not exist, and why"""
    accuracies: tuple[Curve, ...]


@FIGURES.register("bounds")
class Bounds(Figure):
    """Upper bounds on L_sup, of every registered bound, and accuracy against K."""

    section = "Theory"

    def of_study(self, records: Records) -> Iterator[Picture]:
        for group in groups(records):
            info = bounds_info(group.trials, priors=group.priors, accuracies=group.accuracies)
            told = ". ".join([in_words((*info.bounds, *info.accuracies), "K"), *info.absent])
            yield group.picture("bounds", "Upper bounds on L_sup, and accuracy", info, told)

    def draw(self, info: BoundsInfo) -> "Drawing":
        """Bounds on the left axis, logarithmic; accuracies on the right.

        A closed form is negative, and off the scale, where L_cont < E ln(Col+1): its d = 0 does not hold there.
        """
        drawing, axes = sheet()
        for one in info.bounds:
            draw_curve(one, axes, colour_of(one.label), band=True)
        right = axes.twinx()
        for index, one in enumerate(info.accuracies):
            draw_curve(one, right, COLOURS[-1 - index % len(COLOURS)], style="s--")
        scale = "log" if any(value > 0 for one in info.bounds for value in one.mean) else "linear"
        k_axis(axes, [*info.bounds, *info.accuracies])
        axes.set_yscale(scale)
        axes.set_ylabel("upper bound on the supervised loss [nats]", fontsize=9)
        axes.yaxis.set_major_formatter("{x:g}")  # powers of ten as formulas take a third of the drawing's time
        right.set_ylabel("downstream accuracy [%]", fontsize=9)
        right.tick_params(labelsize=8)
        if info.absent:
            axes.set_title("\n".join(info.absent), fontsize="xx-small", loc="left")
        handles = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18), "ncols": 3, "frameon": False}
        axes.legend(handles=handles, fontsize="small", **below)
        return drawing


def bounds_info(
    frame: pd.DataFrame,
    *,
    priors: int | ArrayLike,
    accuracies: Sequence[str],
    bounds: Sequence[str] | None = None,
    loss: str = "contrastive_loss",
) -> BoundsInfo:
    """From trials with columns k, temperature, loss, and each of `accuracies`: a curve a bound and an accuracy.

    bounds: by default every registered one.
    """
    classes = priors if isinstance(priors, int) else len(np.asarray(priors))
    uppers = {name: inverted_bound(frame, name, priors=priors, loss=loss) for name in bounds or BOUNDS.names()}
    return BoundsInfo(
        bounds=tuple(mean_curve(name, frame["k"], upper) for name, upper in uppers.items()),
        absent=tuple(text for name, upper in uppers.items() for text in _absent(name, frame["k"], upper, classes)),
        accuracies=tuple(mean_curve(name, frame["k"], frame[name]) for name in accuracies),
    )


def _absent(name: str, ks: pd.Series, uppers: pd.Series, classes: int) -> Iterator[str]:
    """The K at which the bound is infinite: one line per kind of reason, in the words of its largest K."""
    kinds: dict[str, dict[int, str]] = {}
    for k, of_k in uppers.groupby(ks):
        if reason := why_infinite(BOUNDS[name](), int(k), classes, of_k):
            kinds.setdefault(reason.partition(":")[0], {})[int(k)] = reason
    for whys in kinds.values():
        yield f"{name}: none at K = {', '.join(map(str, whys))} ({whys[max(whys)]})"

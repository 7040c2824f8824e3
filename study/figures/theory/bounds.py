"""The figure of the field: upper bounds on L_sup and downstream accuracy against K."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from study.analysis.compare import inverted_bound
from study.bounds import BOUNDS
from study.bounds.bound import why_infinite
from study.figures.curve import COLOURS, Curve, cut_at_percent, draw_curve, in_words, mean_curve, within_percent
from study.figures.figure import FIGURES, Figure, Picture
from study.figures.records import Records
from study.figures.theory.groups import Panel, colour_of, groups, k_axis, legend, picture, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


SEE = (
    "Above, the upper bounds on the supervised loss L_sup; below, the accuracies that they are about, on the same K. A "
    "bound agrees with what was learned where it falls as accuracy rises. Means and 95 % intervals at the measured K."
)


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
        panels, shown = [], ""
        for group in groups(records):
            info, shown = bounds_info(group.trials, priors=group.priors, accuracies=group.accuracies), group.shown
            told = ". ".join([in_words((*info.bounds, *info.accuracies), "K"), *info.absent])
            panels.append(Panel(group.title, info, told))
        absent = dict.fromkeys(line for panel in panels for line in panel.info.absent)
        cut = cut_at_percent(one for panel in panels for one in panel.info.accuracies)
        yield from picture("bounds", " ".join([SEE + cut, *(f"{line}." for line in absent)]), panels, shown)

    def draw(self, info: Sequence[Panel]) -> "Drawing":
        """Bounds above, on a logarithmic scale; accuracies below, on the same K.

        A closed form is negative, and off the scale, where L_cont < E ln(Col+1): its d = 0 does not hold there.
        """
        has_accuracy = any(panel.info.accuracies for panel in info)
        drawing, grid = sheet(info, rows=2 if has_accuracy else 1)
        everything = [one for panel in info for one in (*panel.info.bounds, *panel.info.accuracies)]
        for column, panel in zip(grid.T, info, strict=True):
            for one in panel.info.bounds:
                draw_curve(one, column[0], colour_of(one.label))
            for index, one in enumerate(panel.info.accuracies):
                draw_curve(one, column[1], COLOURS[-1 - index % len(COLOURS)], style="s-")
            k_axis(column[-1], everything)
        if shown := [value for panel in info for one in panel.info.bounds for value in one.mean if value > 0]:
            grid[0, 0].set_yscale("log")
            grid[0, 0].set_ylim(min(shown) / 1.5, max(shown) * 1.5)
            grid[0, 0].yaxis.set_minor_formatter("{x:g}" if max(shown) < 20 * min(shown) else "")
        grid[0, 0].set_ylabel("upper bound on L_sup [nats]", fontsize=9)
        grid[0, 0].yaxis.set_major_formatter("{x:g}")  # powers of ten as formulas take a third of the drawing's time
        if has_accuracy:
            grid[1, 0].set_ylabel("downstream accuracy [%]", fontsize=9)
            within_percent(grid[1])
        legend(drawing, grid.flat)
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

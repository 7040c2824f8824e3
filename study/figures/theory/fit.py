"""Observed L_cont against K, and the curves of the bounds that were fitted to it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from study.analysis.fit import Fit
from study.bounds import BOUNDS
from study.figures.curve import Curve, curve, draw_curve, in_words, mean_curve
from study.figures.figure import FIGURES, Figure, Picture
from study.figures.records import Records
from study.figures.theory.groups import Group, colour_of, groups, ink, k_axis, sheet
from study.results import Results, cell_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class FitInfo(NamedTuple):
    """In nats."""

    observed: Curve
    fitted: tuple[Curve, ...]


@FIGURES.register("fit")
class Fitted(Figure):
    """Observed L_cont against K, and the curves fitted to it."""

    section = "Theory"

    def of_study(self, records: Records) -> Iterator[Picture]:
        curves = [group for group in groups(records) if group.trained_at is None]
        fits = _fits(records.results, curves)
        for group in curves:
            info = fit_info(group.trials, [fit for fit in fits if cell_label(fit.group) == group.label])
            told = in_words((info.observed, *info.fitted), "K")
            yield group.picture("fit", "Observed L_cont and the curves fitted to it", info, told)

    def draw(self, info: FitInfo) -> "Drawing":
        """Observed losses as points with intervals, fitted curves as lines with bands."""
        drawing, axes = sheet()
        draw_curve(info.observed, axes, ink(), style="o")
        for one in info.fitted:
            draw_curve(one, axes, colour_of(one.label), style="-", band=True)
        k_axis(axes, [info.observed])
        axes.set_ylabel("contrastive loss [nats]", fontsize=9)
        axes.legend(fontsize="small")
        return drawing


def fit_info(frame: pd.DataFrame, fits: Sequence[Fit], *, loss: str = "contrastive_loss", points: int = 60) -> FitInfo:
    """From the trials of one group and their fits: curves between the smallest and the largest K."""
    grid = np.unique(np.geomspace(frame["k"].min(), frame["k"].max(), points).round().astype(int))
    fitted = [(fit.bound, fit.curve(grid)) for fit in fits]
    return FitInfo(
        mean_curve("observed", frame["k"], frame[loss]),
        tuple(curve(bound, grid, table["value"], table["high"] - table["value"]) for bound, table in fitted),
    )


def _fits(results: Results, curves: Sequence[Group]) -> list[Fit]:
    """Of these trials, by every registered bound; none where that cannot be."""
    trials = [trial for group in curves for trial in group.trials["trial_id"]]
    drawn = Results(results.frame[results.frame["trial_id"].isin(trials)])
    try:
        return [fit for bound in BOUNDS.names() for fit in drawn.fit(bound)] if trials else []
    except ValueError:
        return []

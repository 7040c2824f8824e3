"""Observed L_cont against K, and the losses of the bounds that were fitted to it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from study.analysis.fit import Fit
from study.figures.curve import Curve, curve, draw_curve, in_words, mean_curve
from study.figures.figure import FIGURES, Figure, Picture
from study.figures.records import Records
from study.figures.theory.groups import Panel, colour_of, groups, ink, k_axis, legend, picture, sheet
from study.results import cell_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


SEE = (
    "Observed L_cont (dots) and the losses that each bound gives for the unknowns that fit best (crosses), with 95 % "
    "intervals, at the measured K alone: a bound explains the losses where its crosses lie on the dots."
)
SHIFT = 2.5


class FitInfo(NamedTuple):
    """In nats."""

    observed: Curve
    fitted: tuple[Curve, ...]


@FIGURES.register("fit")
class Fitted(Figure):
    """Observed L_cont against K, and what the bounds fitted to it give."""

    section = "Theory"

    def of_study(self, records: Records) -> Iterator[Picture]:
        curves = [group for group in groups(records) if group.trained_at is None]
        try:
            fits = records.fits if curves else ()
        except ValueError:
            fits = ()
        panels, without = [], []
        for group in curves:
            own = [fit for fit in fits if cell_label(fit.group) == group.label]
            without += [fit.undetermined for fit in own if fit.undetermined]
            info = fit_info(group.trials, [fit for fit in own if not fit.undetermined])
            panels.append(Panel(group.title, info, in_words((info.observed, *info.fitted), "K")))
        note = f" Not drawn: {'; '.join(dict.fromkeys(without))}." if without else ""
        yield from picture("fit", f"{SEE}{note}", panels, curves[0].shown if curves else "")

    def draw(self, info: Sequence[Panel]) -> "Drawing":
        """Observed losses as points with intervals, fitted ones as points that a thin line joins."""
        drawing, grid = sheet(info)
        for axes, panel in zip(grid[0], info, strict=True):
            draw_curve(panel.info.observed, axes, ink(), style="o")
            for place, one in enumerate(panel.info.fitted, 1):
                draw_curve(one, axes, colour_of(one.label), style="x-", shift=SHIFT * place)
            k_axis(axes, [every.info.observed for every in info])
        grid[0, 0].set_ylabel("contrastive loss [nats]", fontsize=9)
        legend(drawing, grid.flat)
        return drawing


def fit_info(frame: pd.DataFrame, fits: Sequence[Fit], *, loss: str = "contrastive_loss") -> FitInfo:
    """From the trials of one group and their fits: the fitted losses at the K that were measured, and at no other."""
    ks = np.unique(frame["k"].to_numpy(dtype=int))
    fitted = [(fit.bound, fit.curve(ks)) for fit in fits]
    return FitInfo(
        mean_curve("observed", frame["k"], frame[loss]),
        tuple(curve(bound, ks, table["value"], table["high"] - table["value"]) for bound, table in fitted),
    )

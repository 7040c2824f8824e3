"""Training loss by epoch."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from study.figures.figure import FIGURES, Figure, Picture
from study.figures.outcome.panels import PanelsInfo, draw_panels, panels_of, roles
from study.figures.records import Records
from study.results import Results, interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@FIGURES.register("training_loss")
class TrainingLoss(Figure):
    """Training loss by epoch, mean over the trials of each cell."""

    section = "Training loss"

    def of_study(self, records: Records) -> Iterator[Picture]:
        if (info := by_epoch(records.results, records.epochs)) is not None:
            note = "A curve that still falls at its end was trained too short; one that rises diverges. Means over the "
            note += "trials of each cell, with bands of 95 %; losses at different K or temperature are not comparable."
            yield Picture("training_loss", info, note + info.note, info.words)

    def draw(self, info: PanelsInfo) -> "Drawing":
        return draw_panels(info)


def by_epoch(
    results: Results, journals: pd.DataFrame, metric: str = "train.loss", *, unit: str = "nats"
) -> PanelsInfo | None:
    """A stepwise metric against the epoch, mean over seeds; None where no trial has it.

    `journals`: one row per trial and epoch, with trial_id, epoch and the metrics.
    """
    if metric not in journals:
        return None
    frame = journals[["trial_id", "epoch", metric]].dropna()
    frame = frame[np.isfinite(frame[metric])]
    if frame.empty:
        return None
    frame = frame.merge(results.frame[["trial_id", *results.varying]], on="trial_id")
    colour, panels, averaged = roles(frame, results.varying, "epoch")
    table = interval(frame, [*panels, *filter(None, [colour]), "epoch"], [metric])
    shown = tuple(panels_of(table, panels, colour, "epoch"))
    return PanelsInfo("epoch", f"{metric} ({unit})", colour, shown, None, False, averaged, measured_between=True)

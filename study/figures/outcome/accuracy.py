"""The study's first metric against K and against temperature."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from study.analysis.importance import binned
from study.figures.figure import FIGURES, Figure, Picture
from study.figures.outcome.panels import PanelsInfo, draw_panels, panels_of, roles
from study.figures.records import Records
from study.metric_names import floor_of, is_percentage
from study.results import Results, blocked_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


ERROR_BARS = (
    "Error bars are 95 % intervals made as the ± of the table of cells: without what all share under a seed, and from "
    "the noise of all points pooled; thin lines join measured points and say nothing of what lies between."
)


@FIGURES.register("accuracy")
class Accuracy(Figure):
    """The study's first metric against K and against temperature."""

    section = "Results"

    def of_study(self, records: Records) -> Iterator[Picture]:
        for x in ("k", "temperature"):
            if (info := accuracy_info(records.results, x, records.metric)) is not None:
                caption = f"{records.metric} against {x}. {moved(records, x)}{ERROR_BARS}{info.note}"
                yield Picture(f"accuracy.{x}", info, caption, info.words)

    def draw(self, info: PanelsInfo) -> "Drawing":
        return draw_panels(info)


def moved(records: Records, parameter: str) -> str:
    """Whether the parameter moves the metric by more than chance, in a sentence; empty where that cannot be told."""
    try:
        rows = records.importance.set_index("parameter").to_dict("index")
    except ValueError:
        return ""
    if not (found := rows.get(parameter, {})).get("verdict"):
        return ""
    return f"Over all cells, {parameter}: {found['verdict']} (p = {found['p_adjusted']:.2g}, adjusted). "


def accuracy_info(results: Results, x: str, metric: str = "linear.features.top1") -> PanelsInfo | None:
    """A metric against a numeric path, `k` or `temperature`; None where that does not vary or nothing was measured."""
    frame = results.finished
    if x not in results.varying or metric not in frame or not pd.api.types.is_numeric_dtype(frame[x]):
        return None
    frame = frame.dropna(subset=[metric])
    if frame[x].nunique() < 2:
        return None
    frame = frame.assign(**{x: binned(frame[x])})
    colour, panels, averaged = roles(frame, [path for path in results.varying if path != x], x)
    floor = frame[floor_of(metric)].mean() if floor_of(metric) in frame else math.nan
    return PanelsInfo(
        x_label="K, candidates an anchor is offered" if x == "k" else x,
        y_label=f"{metric} (%)" if is_percentage(metric) else metric,
        legend=colour,
        panels=tuple(
            panels_of(blocked_interval(frame, [*panels, *filter(None, [colour]), x], [metric]), panels, colour, x)
        ),
        floor=None if math.isnan(floor) else float(floor),
        log_x=bool(frame[x].min() > 0 and frame[x].max() / frame[x].min() >= 4),
        averaged=averaged,
        percent=is_percentage(metric),
    )

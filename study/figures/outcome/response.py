"""Response of a metric to each parameter that varies."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from study.figures.curve import COLOURS, Curve, curve, cut_at_percent, draw_curve, plain, within_percent
from study.figures.figure import FIGURES, Figure, Picture
from study.figures.records import Records, in_order
from study.metric_names import is_percentage
from study.results import Results, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing


CAPTION = (
    "How far the metric moves along each parameter, averaged over the others, all on one scale: values whose intervals "
    "overlap widely are not to be told apart by eye. Means with 95 % Student-t intervals, each from the seeds "
    "or cells of its value alone and with what all share under a seed: not the pooled ± of the table of cells."
)
UNJOINED = " Names are not joined, as they have no order."


class Response(NamedTuple):
    """The metric at each value of a parameter; x is 0, 1, 2 … for names."""

    curve: Curve
    names: tuple[str, ...]
    """of the values; empty for numbers"""
    over: str
    """what the intervals are over: seeds or cells"""


class ResponsesInfo(NamedTuple):
    metric: str
    responses: tuple[Response, ...]

    @property
    def caption(self) -> str:
        """With what is special to these."""
        cut = cut_at_percent(one.curve for one in self.responses) if is_percentage(self.metric) else ""
        return CAPTION + UNJOINED * any(one.names for one in self.responses) + cut


@FIGURES.register("response")
class Responses(Figure):
    """Mean of the study's first metric at each value of each varying parameter."""

    section = "Importance"

    def of_study(self, records: Records) -> Iterator[Picture]:
        if records.compares:
            info = responses_info(records.results, records.metric)
            alt = f"Mean {info.metric} by parameter. {'. '.join(map(_told, info.responses))}"
            yield Picture("response", info, info.caption, alt)

    def draw(self, info: ResponsesInfo, *, columns: int = 3) -> "Drawing":
        """A panel a parameter; all share the metric's axis."""
        from matplotlib.figure import Figure as Drawing

        rows, columns = -(-len(info.responses) // columns), min(len(info.responses), columns)
        drawing = Drawing(figsize=(max(2.9 * columns, 5.4), 2.7 * rows + 0.3), layout="constrained")
        grid = drawing.subplots(rows, columns, sharey=True, squeeze=False)
        for axes, response in zip(grid.flat, info.responses, strict=False):
            _draw(axes, response)
        for axes in grid.flat[len(info.responses) :]:
            axes.set_visible(False)
        if is_percentage(info.metric):
            within_percent(grid.flat[: len(info.responses)])
        drawing.supylabel(f"{info.metric}{' (%)' if is_percentage(info.metric) else ''}", fontsize=9)
        return drawing


def responses_info(results: Results, metric: str) -> ResponsesInfo:
    """The response to each parameter that varies."""
    return ResponsesInfo(metric, tuple(response(results.response(name, metric), name) for name in results.varying))


def response(table: pd.DataFrame, parameter: str) -> Response:
    """From the table of `study.analysis.importance.response_curve`; values in order."""
    table = in_order(table, [parameter])
    numeric = pd.api.types.is_numeric_dtype(table[parameter])
    x = table[parameter].astype(float) if numeric else pd.Series(range(len(table)), dtype=float)
    names = () if numeric else tuple(map(label, table[parameter]))
    found = curve(parameter, x, table["mean"], table["high"] - table["mean"], table["n"])
    return Response(found, names, str(table["over"].iloc[0]))


def _told(response: Response) -> str:
    values = response.names or [f"{x:g}" for x in response.curve.x]
    means = ", ".join(f"{mean:.4g} at {value}" for mean, value in zip(response.curve.mean, values, strict=True))
    return f"{response.curve.label}: {means}"


def _draw(axes: "Axes", response: Response) -> None:
    one, names = response.curve, response.names
    draw_curve(one, axes, COLOURS[0], style="o" if names else "o-")
    if names:
        axes.set_xticks(one.x, [textwrap.fill(name, 18) for name in names])
        axes.margins(x=0.2)
        if sum(map(len, names)) > 30:
            for text in axes.get_xticklabels():
                text.set(rotation=30, ha="right", rotation_mode="anchor")
    else:
        if min(one.x) > 0 and max(one.x) / min(one.x) >= 4:
            axes.set_xscale("log")
        shown = [x for i, x in enumerate(one.x) if i % max(1, len(one.x) // 4) == 0]
        axes.set_xticks(shown, [f"{x:.3g}" for x in shown])
        axes.minorticks_off()
    axes.set_title(f"{one.label} (intervals over {response.over})", fontsize=9)
    plain(axes)

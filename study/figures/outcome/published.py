"""Accuracies against K beside the published ones of the same data: published.csv has these, with their source."""

import csv
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from study.figures.curve import COLOURS, GREY, Curve, curve, cut_at_percent, draw_curve, in_words, plain, within_percent
from study.figures.figure import FIGURES, Figure, Picture
from study.figures.records import Records
from study.metric_names import is_percentage
from study.results import blocked_interval, label

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

THEIRS = "ResNet-18, all 50,000 images, 500 epochs, LARC, and K + 1 the batch"
"""Of Nozawa & Sato 2021, with SimCLR, all negatives and t = 0.5, which is what a cell must have to be held beside."""
TEMPERATURE = {"name": "constant", "value": 0.5}
AS_THEIRS = {"method": "simclr", "negatives": "all", "objective": "nt_xent"}


class Beside(NamedTuple):
    """A metric as it was measured here, and as it was published, against K."""

    metric: str
    here: Curve
    published: Curve


class PublishedInfo(NamedTuple):
    source: str
    data: str
    settings: str
    """of the cells here, where they differ from the published ones"""
    panels: tuple[Beside, ...]


@FIGURES.register("published")
class Published(Figure):
    """Accuracies against K beside the published ones, where data, axis and metric are the same."""

    section = "Results"

    def of_study(self, records: Records) -> Iterator[Picture]:
        if (info := published_info(records)) is not None:
            caption = (
                f"Squares are published: {info.source}, {info.data}, mean of 3 seeds, with {THEIRS}. Points are "
                f"measured here, with {info.settings}; bars are 95 % intervals over the trials at each point. Data, "
                "metric, t and what K counts are the same, the rest is not: the trend compares, the level does not."
            ) + cut_at_percent(one.here for one in info.panels)
            told = (f"{one.metric}: {in_words([one.here, one.published], 'K')}" for one in info.panels)
            yield Picture("published", info, caption, f"Accuracy against K beside {info.source}. {'. '.join(told)}")

    def draw(self, info: PublishedInfo) -> "Drawing":
        """A panel a metric; all share the axes."""
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(max(2.9 * len(info.panels), 5.4), 3.1), layout="constrained")
        grid = drawing.subplots(1, len(info.panels), sharex=True, sharey=True, squeeze=False)
        for axes, one in zip(grid.flat, info.panels, strict=True):
            draw_curve(one.here, axes, COLOURS[0])
            axes.plot(one.published.x, one.published.mean, "s", color=GREY, mfc="none", ms=5, label=one.published.label)
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_title(one.metric, fontsize=9)
            plain(axes)
        within_percent(grid.flat)
        drawing.supxlabel("K, candidates an anchor is offered", fontsize=9)
        drawing.supylabel("accuracy (%)", fontsize=9)
        drawing.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
        return drawing


def published_info(records: Records) -> PublishedInfo | None:
    """None where the study has no two K of cells that may be held beside published ones."""
    configs = {cell: folders[0].config()["config"] for cell, folders in records.cells.items()}
    k = {cell: found for cell, config in configs.items() if (found := comparable_k(config)) is not None}
    data = {configs[cell]["data"]["name"] for cell in k}
    if len(set(k.values())) < 2 or len(set(k.values())) < len(k) or len(data) > 1:
        return None
    of_trial = {folder.id: k[cell] for cell in k for folder in records.cells[cell]}
    frame = records.results.finished
    frame = frame[frame["trial_id"].isin(list(of_trial))]
    frame = frame.assign(k=frame["trial_id"].map(of_trial))
    rows = [row for row in published() if row["data"] in data and is_percentage(row["metric"])]
    panels = []
    for metric in dict.fromkeys(row["metric"] for row in rows if row["metric"] in frame):
        theirs = {int(row["k"]): float(row["value"]) for row in rows if row["metric"] == metric}
        points = blocked_interval(frame, ["k"], [metric]).sort_values("k")
        here = curve("measured here", *(points[name] for name in ("k", "mean", "half_width", "n")))
        panels.append(Beside(metric, here, curve("published", theirs, list(theirs.values()), [math.nan] * len(theirs))))
    if not panels:
        return None
    return PublishedInfo(rows[0]["source"], data.pop(), settings(configs[next(iter(k))]), tuple(panels))


def comparable_k(config: Mapping[str, Any]) -> int | None:
    """K of a cell that is trained as the published ones were, in what decides the axis; None of another."""
    names = {path: (config.get(path) or {}).get("name") for path in AS_THEIRS}
    data = (config.get("data") or {}).get("name")
    if data not in {row["data"] for row in published()} or config["temperature"] != TEMPERATURE:
        return None
    if names != AS_THEIRS or config["method"].get("k_counts") != "instances":
        return None
    return int(config["k"] or config["batch_size"] - 1)


def settings(config: Mapping[str, Any]) -> str:
    """Encoder, images, epochs and optimizer in words."""
    images = config["data"].get("train_size")
    many = f"{images:,} images" if images else "all images"
    return f"{label(config['encoder'])}, {many}, {config['epochs']} epochs, {config['optimizer']['name'].upper()}"


@cache
def published() -> tuple[dict[str, str], ...]:
    """The rows of published.csv: study (its recipe), data, k, metric, value, n (seeds) and source."""
    with Path(__file__).with_name("published.csv").open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))

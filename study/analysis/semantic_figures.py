"""Figures of what negatives mean. Each is an info tuple, whose numbers can be tested, then a drawing of it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from study.analysis.colours import COLOURS, legend_name
from study.semantics import tree_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Table = Sequence[Mapping[str, Any]]

MAPS = {
    "difficulty": (
        "How hard classes are for one another",
        "class of the negative",
        "class of the query",
        "mean difficulty (cosine similarity)",
    ),
    "confusion": ("Which classes are taken for which", "predicted class", "class", "% of the images of the class"),
}
"""Quantity of a map → its title, horizontal and vertical axis, and unit."""

NAMED_CLASSES = 40
"""Up to this many classes a map names each; above it, groups of the WordNet tree."""
LABELS = 40
"""So many labels can be read along an axis."""


class Series(NamedTuple):
    """A line with its 95 % interval; x is the position along the horizontal axis."""

    label: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    lo: tuple[float, ...]
    hi: tuple[float, ...]


class BandInfo(NamedTuple):
    """Similarity, or another column of the band table, by difficulty band."""

    column: str
    bands: tuple[str, ...]
    series: tuple[Series, ...]
    chance: float
    """The same over the whole pool, mean of all tables."""


class MapInfo(NamedTuple):
    """A quantity of pairs of classes, class by class in the order of the WordNet tree."""

    quantity: str
    """key of MAPS"""
    values: NDArray[np.float64]
    """[C, C], in that order."""
    ticks: tuple[tuple[float, str], ...]
    """(position, class or group) along both axes, far enough apart to be read."""
    borders: tuple[float, ...]
    """Positions between groups."""


class ConsistencyInfo(NamedTuple):
    """How many negatives were in a difficulty band k times, by observation and by chance."""

    band: str
    hits: tuple[int, ...]
    observed: tuple[int, ...]
    expected: tuple[float, ...]


class EpochInfo(NamedTuple):
    """A metric over epochs."""

    metric: str
    series: tuple[Series, ...]
    chance: float | None = None
    """the level of what was not chosen, mean of all epochs and trials"""


def band_info(cells: Mapping[str, Sequence[Table]], column: str = "wup") -> BandInfo:
    """Band tables by cell, one table a seed, to lines with intervals.

    The interval is over seeds (Student's t) where a cell has several, else over queries (normal).
    """
    tables = [table for seeds in cells.values() for table in seeds]
    bands = tuple(row["band"] for row in tables[0] if row["band"] != "all")
    chance = [row[column] for table in tables for row in table if row["band"] == "all" and row[column] is not None]
    series = []
    for label, seeds in cells.items():
        values = np.array([[row[column] for row in table if row["band"] != "all"] for table in seeds], float)
        if len(seeds) > 1:
            half = _half_width(values)
        else:
            half = 1.96 * np.array([row[f"{column}_se"] for row in seeds[0] if row["band"] != "all"], float)
        series.append(_series(label, range(len(bands)), values.mean(axis=0), half))
    return BandInfo(column, bands, tuple(series), float(np.mean(chance)))


def map_info(
    values: NDArray[np.float64], names: Sequence[str], synsets: Sequence[str] = (), *, quantity: str = "difficulty"
) -> MapInfo:
    """A matrix [C, C] in tree order, with ticks for the C class names or for groups of classes.

    Without synsets the order of the classes is kept, and only as many are named as can be read.
    """
    if synsets:
        tree = tree_order(synsets)
        order, groups = np.array(tree.order), [(synset.split(".")[0].replace("_", " "), n) for synset, n in tree.groups]
    else:
        order, groups = np.arange(len(names)), [(name, 1) for name in names]
    if len(names) <= NAMED_CLASSES:
        groups = [(names[c], 1) for c in order]
    ends = np.cumsum([size for _, size in groups])
    centres = ends - (np.array([size for _, size in groups]) + 1) / 2
    borders = tuple(  # not between groups that are too small to be named
        float(end) - 0.5
        for end, (_, size), (_, following) in zip(ends, groups, groups[1:], strict=False)
        if len(groups) < len(names) and max(size, following) >= len(names) / LABELS
    )
    ticks = _readable([(float(at), name, size) for at, (name, size) in zip(centres, groups, strict=True)], len(names))
    return MapInfo(quantity, values[np.ix_(order, order)], ticks, borders)


def consistency_info(histogram: Table, band: str = "hard_5pct") -> ConsistencyInfo:
    """The rows of one band of the table `consistency_histogram`."""
    rows = [row for row in histogram if row["band"] == band]
    return ConsistencyInfo(
        band,
        tuple(row["hits"] for row in rows),
        tuple(row["observed"] for row in rows),
        tuple(row["expected"] for row in rows),
    )


def epoch_info(
    cells: Mapping[str, Sequence[Mapping[int, float]]],
    metric: str = "negatives.selected.same_class_share",
    *,
    chance: float | None = None,
) -> EpochInfo:
    """Histories (epoch → value) by cell, one a seed, to lines with Student's t intervals over seeds.

    A cell's line has the epochs that all of its seeds have.
    """
    series = []
    for label, seeds in cells.items():
        epochs = sorted(set.intersection(*(set(history) for history in seeds)))
        values = np.array([[history[epoch] for epoch in epochs] for history in seeds])
        series.append(_series(label, epochs, values.mean(axis=0), _half_width(values)))
    return EpochInfo(metric, tuple(series), chance)


def draw_bands(info: BandInfo) -> "Figure":
    """Lines over the difficulty bands, chance as a dashed line."""
    figure, axes = _figure(5.6, 3.6)
    _lines(axes, info.series)
    _level(axes, info.chance, "chance")
    axes.set_xticks(range(len(info.bands)), info.bands, fontsize=7)
    axes.set(xlabel="difficulty, hardest first", ylabel=_words(info.column), title="What negatives mean, by difficulty")
    return figure


def draw_map(info: MapInfo) -> "Figure":
    """A class-by-class map; colours span the pairs of different classes, as the diagonal would drown them."""
    from matplotlib.ticker import FixedFormatter, FixedLocator

    title, across, down, unit = MAPS[info.quantity]
    figure, axes = _figure(7.2, 6.2)
    apart = info.values[~np.eye(len(info.values), dtype=bool)]
    apart = apart[np.isfinite(apart)]
    low, high = np.percentile(apart, [1, 99]) if len(apart) else (0, 1)
    image = axes.imshow(info.values, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    figure.colorbar(image, ax=axes, extend="both" if low else "max", shrink=0.8).set_label(unit, labelpad=8)
    positions, labels = [at for at, _ in info.ticks], [name for _, name in info.ticks]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(positions))
        axis.set_major_formatter(FixedFormatter(labels))
    axes.tick_params(labelsize=8, length=2)
    axes.tick_params(axis="x", labelrotation=90)
    for border in info.borders:
        axes.axhline(border, color="white", linewidth=0.6)
        axes.axvline(border, color="white", linewidth=0.6)
    axes.set(xlabel=across, ylabel=down, title=title)
    return figure


def draw_consistency(info: ConsistencyInfo) -> "Figure":
    """Observed counts as bars, those of the binomial null as a line."""
    figure, axes = _figure(5.6, 3.6)
    axes.bar(info.hits, info.observed, width=1.0, color=COLOURS[4], label="observed")
    axes.plot(info.hits, info.expected, color=COLOURS[1], label="by chance (binomial)")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    where = {"hard_5pct": "hardest 5 %", "easy_5pct": "easiest 5 %"}.get(info.band, info.band)
    axes.set(
        xlabel=f"number of queries for which a negative is among the {where}",
        ylabel="negatives",
        title="Are the same negatives hard for every query?",
    )
    axes.legend(frameon=False)
    return figure


def draw_epochs(info: EpochInfo) -> "Figure":
    """Lines over epochs."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(5.6, 3.6)
    _lines(axes, info.series)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if info.chance is not None:
        _level(axes, info.chance, "the pool")
    axes.set(xlabel="epoch", ylabel=_words(info.metric.removeprefix("negatives.")), title="Negatives over training")
    return figure


def _series(label: str, x: Sequence[float], mean: NDArray[np.float64], half: NDArray[np.float64]) -> Series:
    return Series(label, tuple(map(float, x)), *(tuple(map(float, v)) for v in (mean, mean - half, mean + half)))


def _half_width(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the 95 % interval of the mean over rows (seeds); 0 for a single seed, of which nothing is known."""
    seeds = len(values)
    if seeds == 1:
        return np.zeros(values.shape[1])
    return stdtrit(seeds - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(seeds)


def _readable(candidates: list[tuple[float, str, int]], classes: int) -> tuple[tuple[float, str], ...]:
    """The largest groups whose labels are far enough apart, in order of position."""
    chosen: list[tuple[float, str]] = []
    for at, name, _ in sorted(candidates, key=lambda candidate: -candidate[2]):
        if all(abs(at - other) >= classes / LABELS for other, _ in chosen):
            chosen.append((at, name))
    return tuple(sorted(chosen))


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _lines(axes: "Axes", series: Sequence[Series]) -> None:
    for i, line in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(line.x, line.mean, color=colour, marker="o", markersize=3, label=legend_name(line.label))
        axes.fill_between(line.x, line.lo, line.hi, color=colour, alpha=0.15, linewidth=0)
    if len(series) > 1:
        axes.figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _level(axes: "Axes", at: float, label: str) -> None:
    axes.axhline(at, color="0.5", linestyle="--", linewidth=1, zorder=0)
    axes.annotate(label, (1, at), xycoords=("axes fraction", "data"), color="0.5", ha="right", va="bottom")


def _words(name: str) -> str:
    return name.replace("_other", ", other classes").replace("_", " ").replace(".", ": ")

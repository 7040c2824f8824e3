"""Maps of pairs of classes: which are hard for one another, and which are taken for which."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.figures.figure import FIGURES, Figure, Picture, Table
from study.figures.negatives.lines import sheet
from study.figures.records import Records, of_all
from study.semantics import tree_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class Quantity(NamedTuple):
    """Of a map: its words, and the table that it is made of."""

    table: str
    title: str
    across: str
    down: str
    unit: str


MAPS = {
    "difficulty": Quantity(
        "negatives.difficulty",
        "How hard classes are for one another",
        "class of the negative",
        "class of the query",
        "mean difficulty (cosine similarity)",
    ),
    "confusion": Quantity(
        "linear.features.confusion",
        "Which classes are taken for which",
        "predicted class",
        "class",
        "% of the images of the class",
    ),
}
CAPTIONS = {
    "difficulty": "Mean similarity of negatives by class, in WordNet order: bright blocks on the diagonal are classes "
    "of near meaning that are hard for one another",
    "confusion": "Confusion by the linear probe on features, in WordNet order: bright blocks on the diagonal are "
    "classes of near meaning that are taken for one another",
}
NAMED_CLASSES = 40
"""Up to this many classes a map names each; above it, groups of the WordNet tree."""
LABELS = 40
"""So many labels can be read along an axis."""


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


@FIGURES.register("class_maps")
class ClassMaps(Figure):
    """Difficulty of negatives and confusion by the linear probe, class by class."""

    section = "Negatives"

    def of_study(self, records: Records) -> Iterator[Picture]:
        """Of the first cell by value, mean over its trials."""
        first, folders = next(iter(records.cells.items()), ("", []))
        found = {name: [t for f in folders if (t := f.table(of.table))] for name, of in MAPS.items()}
        return _pictures(found, f"; {first}.{of_all(1, len(records.cells))}")

    def of_trial(self, tables: Mapping[str, Table], journal: Table) -> Iterator[Picture]:
        return _pictures({name: [tables[of.table]] if of.table in tables else [] for name, of in MAPS.items()}, ".")

    def draw(self, info: MapInfo) -> "Drawing":
        """Colours span the pairs of different classes, as the diagonal would drown them."""
        from matplotlib.ticker import FixedFormatter, FixedLocator

        quantity = MAPS[info.quantity]
        drawing, axes = sheet(5.9, 5.2)
        low, high = _span(info.values)
        image = axes.imshow(info.values, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
        bar = drawing.colorbar(image, ax=axes, extend="both" if low else "max", shrink=0.8)
        bar.set_label(quantity.unit, labelpad=8)
        positions = [at for at, _ in info.ticks]
        labels = [name.replace("$", r"\$") for _, name in info.ticks]  # a class's name is no mathematics
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator(positions))
            axis.set_major_formatter(FixedFormatter(labels))
        axes.tick_params(labelsize=7, length=2)
        axes.tick_params(axis="x", labelrotation=90)
        for border in info.borders:
            axes.axhline(border, color="white", linewidth=0.6)
            axes.axvline(border, color="white", linewidth=0.6)
        axes.set(xlabel=quantity.across, ylabel=quantity.down, title=quantity.title)
        return drawing


def _pictures(tables: Mapping[str, Sequence[Table]], where: str) -> Iterator[Picture]:
    difficulties, confusions = tables["difficulty"], tables["confusion"]
    if not difficulties:
        return
    infos = [difficulty_map(difficulties)]
    infos += [confusion_map(confusions, difficulties[0])] if confusions else []
    for info in infos:
        quantity, (low, high) = MAPS[info.quantity], _span(info.values)
        alt = f"{quantity.title}: {quantity.unit} of {len(info.values)} by {len(info.values)} classes"
        alt += f", from {low:.3g} to {high:.3g} between different classes"
        yield Picture(quantity.table, info, f"{CAPTIONS[info.quantity]}{where}", alt)


def difficulty_map(difficulties: Sequence[Table]) -> MapInfo:
    """The class-by-class map of tables `negatives.difficulty`, mean over the trials."""
    names, synsets = _classes(difficulties[0])
    by_trial = [[[row[name] for name in names] for row in table] for table in difficulties]
    return map_info(np.array(by_trial, dtype=np.float64).mean(axis=0), names, synsets)


def confusion_map(confusions: Sequence[Table], difficulty: Table) -> MapInfo:
    """The same of tables `linear.features.confusion`; a table `negatives.difficulty` names the classes."""
    names, synsets = _classes(difficulty)
    position = {name: i for i, name in enumerate(names)}
    share = np.zeros((len(names), len(names)))
    for row in (row for table in confusions for row in table):
        share[position[row["class"]], position[row["predicted"]]] += row["share"] / len(confusions)
    return map_info(share, names, synsets, quantity="confusion")


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


def _span(values: NDArray[np.float64]) -> tuple[float, float]:
    """Range of the pairs of different classes, but for a hundredth at either end."""
    apart = values[~np.eye(len(values), dtype=bool)]
    apart = apart[np.isfinite(apart)]
    low, high = np.percentile(apart, [1, 99]) if len(apart) else (0, 1)
    return float(low), float(high)


def _readable(candidates: list[tuple[float, str, int]], classes: int) -> tuple[tuple[float, str], ...]:
    """The largest groups whose labels are far enough apart, in order of position."""
    chosen: list[tuple[float, str]] = []
    for at, name, _ in sorted(candidates, key=lambda candidate: -candidate[2]):
        if all(abs(at - other) >= classes / LABELS for other, _ in chosen):
            chosen.append((at, name))
    return tuple(sorted(chosen))


def _classes(difficulty: Table) -> tuple[list[str], list[str]]:
    """Names and synsets, in the order of the table's rows; no synsets where there are none."""
    return [row["class"] for row in difficulty], [row["synset"] for row in difficulty if row["synset"]]

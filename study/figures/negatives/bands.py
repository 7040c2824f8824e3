"""Semantic similarity of negatives by their difficulty: the table of difficulty bands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from study.analysis.intervals import half_width
from study.figures.curve import Curve, curve, in_words
from study.figures.figure import FIGURES, Figure, Picture, Table
from study.figures.negatives.lines import CELLS, draw_lines, level, words
from study.figures.records import Records, of_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

COLUMNS = ("same_class_share", "wup_other")
SEE = {
    "same_class_share": "on the left, how many of the hardest negatives are of the anchor's own class",
    "wup_other": "on the left, how near in WordNet the hardest negatives of other classes are",
}
TABLE = "negatives.bands"


class BandInfo(NamedTuple):
    """Similarity, or another column of the band table, by difficulty band; x is the band's place."""

    column: str
    bands: tuple[str, ...]
    curves: tuple[Curve, ...]
    chance: float
    """The same over the whole pool, mean of all tables."""


@FIGURES.register("bands")
class Bands(Figure):
    """Same-class share and similarity of meaning of negatives, by difficulty."""

    section = "Negatives"

    def of_study(self, records: Records) -> Iterator[Picture]:
        return _pictures(*records.tabled(lambda folder: folder.table(TABLE), CELLS))

    def of_trial(self, tables: Mapping[str, Table], journal: Table) -> Iterator[Picture]:
        return _pictures({"this trial": [tables[TABLE]]} if TABLE in tables else {}, 1)

    def draw(self, info: BandInfo) -> "Drawing":
        """Lines over the difficulty bands, chance as a dashed line."""
        drawing, axes = draw_lines(info.curves, band=False)
        level(axes, info.chance, "chance")
        axes.set_xticks(range(len(info.bands)), info.bands, fontsize=7)
        title = "What negatives mean, by difficulty"
        axes.set(xlabel="difficulty, hardest first", ylabel=words(info.column), title=title)
        return drawing


def _pictures(shown: Mapping[str, Sequence[Table]], cells: int) -> Iterator[Picture]:
    for column in COLUMNS:
        if shown and column in next(iter(shown.values()))[0][0]:
            info = band_info(shown, column)
            caption = f"{column} by difficulty: above the dashed line, more than by chance; {SEE[column]}."
            caption += of_all(len(shown), cells)
            ends = in_words(info.curves, "band")
            yield Picture(
                f"{TABLE}.{column}", info, caption, f"{words(column)} by band of difficulty, hardest 0. {ends}"
            )


def band_info(cells: Mapping[str, Sequence[Table]], column: str = "wup") -> BandInfo:
    """Band tables by cell, one table per seed, to curves.

    The interval is over seeds (Student's t) where a cell has several, else over queries (normal).
    """
    tables = [table for seeds in cells.values() for table in seeds]
    bands = tuple(row["band"] for row in tables[0] if row["band"] != "all")
    chance = [row[column] for table in tables for row in table if row["band"] == "all" and row[column] is not None]
    curves = []
    for label, seeds in cells.items():
        values = np.array([[row[column] for row in table if row["band"] != "all"] for table in seeds], float)
        if len(seeds) > 1:
            half = half_width(values.std(axis=0, ddof=1) / np.sqrt(len(seeds)), len(seeds))
        else:
            half = 1.96 * np.array([row[f"{column}_se"] for row in seeds[0] if row["band"] != "all"], float)
        curves.append(curve(label, range(len(bands)), values.mean(axis=0), half))
    return BandInfo(column, bands, tuple(curves), float(np.mean(chance)))

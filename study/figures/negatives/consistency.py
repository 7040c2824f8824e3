"""Whether the same negatives are hard for every query."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from study.figures.curve import COLOURS
from study.figures.figure import FIGURES, Figure, Picture, Table
from study.figures.negatives.lines import sheet
from study.figures.records import Records, of_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

TABLE = "negatives.consistency_histogram"
BANDS = {"hard_5pct": "hardest 5 %", "easy_5pct": "easiest 5 %"}


class ConsistencyInfo(NamedTuple):
    """Number of negatives that were in a difficulty band k times, by observation and by chance."""

    band: str
    hits: tuple[int, ...]
    observed: tuple[int, ...]
    expected: tuple[float, ...]


@FIGURES.register("consistency")
class Consistency(Figure):
    """How often a negative is among the hardest 5 %, and how often it would be by chance."""

    section = "Negatives"

    def of_study(self, records: Records) -> Iterator[Picture]:
        """Of one trial of the first cell by value."""
        for first, folders in list(records.cells.items())[:1]:
            if table := folders[0].table(TABLE):
                yield _picture(table, f"; {first}, one seed.{of_all(1, len(records.cells))}")

    def of_trial(self, tables: Mapping[str, Table], journal: Table) -> Iterator[Picture]:
        if TABLE in tables:
            yield _picture(tables[TABLE], ".")

    def draw(self, info: ConsistencyInfo) -> "Drawing":
        """Observed counts as bars, those of the binomial null as a line."""
        drawing, axes = sheet()
        axes.bar(info.hits, info.observed, width=1.0, color=COLOURS[4], label="observed")
        axes.plot(info.hits, info.expected, color=COLOURS[1], label="by chance (binomial)")
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_formatter("{x:g}")  # powers of ten as formulas take half of the drawing's time
        axes.set_ylim(bottom=0)
        axes.set(
            xlabel=f"number of queries for which a negative is among the {BANDS.get(info.band, info.band)}",
            ylabel="negatives",
            title="Are the same negatives hard for every query?",
        )
        axes.legend(frameon=False)
        return drawing


def _picture(table: Table, where: str) -> Picture:
    info = consistency_info(table)
    most, expected = (
        max((hits for hits, count in zip(info.hits, counts, strict=True) if count >= 1), default=0)
        for counts in (info.observed, info.expected)
    )
    told = f"Of {sum(info.observed)} negatives, one is among the {BANDS[info.band]} of {most} queries; by chance the "
    caption = (
        f"How often a negative is among the {BANDS[info.band]}: bars far to the right of the line are negatives that "
    )
    caption += f"are hard for more queries than by chance{where}"
    return Picture("negatives.consistency", info, caption, f"{told}most frequent would be of {expected}")


def consistency_info(histogram: Table, band: str = "hard_5pct") -> ConsistencyInfo:
    """The rows of one band of the table `consistency_histogram`."""
    rows = [row for row in histogram if row["band"] == band]
    return ConsistencyInfo(
        band,
        tuple(row["hits"] for row in rows),
        tuple(row["observed"] for row in rows),
        tuple(row["expected"] for row in rows),
    )

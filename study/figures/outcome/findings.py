"""Each claim's effect with its interval, against where it lies if the claim holds."""

import math
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from study.claims import ANYTIME, Finding
from study.figures.curve import COLOURS, GREY
from study.figures.figure import FIGURES, Figure, Picture
from study.figures.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

VERDICTS = {"supported": COLOURS[2], "contradicted": COLOURS[1], "undecided": GREY}
LETTERS = 64
"""Of a line of words beside a strip."""
LEFT, PITCH, STRIP = 0.46, 0.6, 0.26
"""Share of the width that is words; inches from strip to strip, and of a strip."""
CAPTION = (
    "A claim is supported where its bar lies wholly in the shade, contradicted where it lies wholly outside it. Dot: "
    "the effect, mean over contexts, which the small ticks show; bar: its 95 % interval, adjusted for the number of "
    "claims (Holm). Each effect has its own unit and scale: lengths are not to be compared between claims."
)


class Row(NamedTuple):
    statement: str
    verdict: str
    words: str
    """the effect with its interval and unit"""
    effect: float
    low: float
    high: float
    parts: tuple[float, ...]
    region: tuple[float, float]
    """where the effect lies if the claim holds"""


@FIGURES.register("findings")
class FindingsFigure(Figure):
    """Each claim's effect with its interval, against where it lies if the claim holds."""

    section = "Findings"

    def of_study(self, records: Records) -> Iterator[Picture]:
        if rows := tuple(_row(one) for one in records.findings if math.isfinite(one.low + one.high)):
            words = "; ".join(f"{row.statement.rstrip('.')}: {row.verdict}, {row.words}" for row in rows)
            told = f"{CAPTION} {ANYTIME}" if any(one.anytime for one in records.findings) else CAPTION
            yield Picture("findings", rows, told, words)

    def draw(self, info: tuple[Row, ...]) -> "Drawing":
        """A strip for each claim, as each effect has its own unit, with its words on the left."""
        from matplotlib.figure import Figure as Drawing

        height = PITCH * len(info) + 0.2
        drawing = Drawing(figsize=(8.2, height))
        sides = {"left": LEFT, "right": 0.985, "top": 1 - 0.2 / height, "bottom": 0.25 / height}
        drawing.subplots_adjust(**sides, hspace=PITCH / STRIP - 1)
        for axes, row in zip(drawing.subplots(len(info), 1, squeeze=False)[:, 0], info, strict=True):
            _draw(axes, row)
        return drawing


def _row(one: Finding) -> Row:
    parts = tuple(part.effect for part in one.parts if not math.isnan(part.effect)) if len(one.parts) > 1 else ()
    return Row(one.statement, one.verdict, one.interval, one.effect, one.low, one.high, parts, one.region)


def _draw(axes: "Axes", row: Row) -> None:
    shown = [end for end in (row.effect, row.low, row.high, 0.0, *row.parts, *row.region) if math.isfinite(end)]
    room = 0.08 * (max(shown) - min(shown) or 1)
    left, right = min(shown) - room, max(shown) + room
    colour = VERDICTS[row.verdict]
    axes.axvspan(max(left, row.region[0]), min(right, row.region[1]), color=COLOURS[4], alpha=0.18, lw=0)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.plot([max(left, row.low), min(right, row.high)], [0, 0], color=colour, lw=2.2, solid_capstyle="butt")
    axes.plot(row.parts, [0] * len(row.parts), "|", color=colour, ms=9, mew=0.9)
    axes.plot([row.effect], [0], "o", color=colour, ms=5)
    axes.set(xlim=(left, right), ylim=(-1, 1), yticks=[])
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right", "left"]].set_visible(False)
    words = f"{textwrap.fill(row.statement, LETTERS)}\n"
    words += textwrap.fill(f"{row.verdict.capitalize()}: {row.words}", LETTERS)
    beside = (0.01 - LEFT) / (0.985 - LEFT)
    axes.text(beside, 0.5, words, transform=axes.transAxes, fontsize=7.5, ha="left", va="center")

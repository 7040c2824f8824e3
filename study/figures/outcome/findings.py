"""Each claim's effect with its interval, against where it lies if the claim holds."""

import math
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from study.claims import ANYTIME, Finding
from study.figures.curve import COLOURS, GREY
from study.figures.figure import FIGURES, Figure, Picture
from study.figures.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

VERDICTS = {"supported": COLOURS[2], "contradicted": COLOURS[1], "undecided": GREY}
LETTERS = 70
"""Of a line of words above a strip."""
WIDTH, LINE, STRIP, BELOW = 5.4, 0.155, 0.22, 0.31
"""Inches: of the figure, of a line of words, of a strip, and below it."""
CAPTION = (
    "A claim is supported where its bar lies wholly in the shade, contradicted where it lies wholly outside it. Dot: "
    "the effect, mean over contexts, which the small ticks show; bar: its 95 % interval, adjusted for the number of "
    "claims (Holm); upright line: what the effect is held against. Each effect has its own unit and scale: lengths are "
    "not to be compared between claims."
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
    reference: float
    """what the effect is held against"""

    @property
    def lines(self) -> list[str]:
        """The words above the strip."""
        told = f"{self.verdict.capitalize()}: {self.words}"
        return [*textwrap.wrap(self.statement, LETTERS), *textwrap.wrap(told, LETTERS)]


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
        """A strip for each claim, as each effect has its own unit, under its words: as wide as a telephone shows."""
        from matplotlib.figure import Figure as Drawing

        pitches = [LINE * (len(row.lines) + 0.5) + STRIP + BELOW for row in info]
        height = sum(pitches)
        drawing = Drawing(figsize=(WIDTH, height))
        bottoms = height - np.cumsum(pitches) + BELOW
        for row, bottom in zip(info, bottoms, strict=True):
            _draw(drawing.add_axes((0.02, bottom / height, 0.96, STRIP / height)), row)
        return drawing


def _row(one: Finding) -> Row:
    parts = tuple(part.effect for part in one.parts if not math.isnan(part.effect)) if len(one.parts) > 1 else ()
    return Row(
        one.statement, one.verdict, one.interval, one.effect, one.low, one.high, parts, one.region, one.reference
    )


def _draw(axes: "Axes", row: Row) -> None:
    shown = [
        end for end in (row.effect, row.low, row.high, row.reference, *row.parts, *row.region) if math.isfinite(end)
    ]
    room = 0.08 * (max(shown) - min(shown) or 1)
    left, right = min(shown) - room, max(shown) + room
    colour = VERDICTS[row.verdict]
    axes.axvspan(max(left, row.region[0]), min(right, row.region[1]), color=COLOURS[4], alpha=0.18, lw=0)
    axes.axvline(row.reference, color=GREY, lw=0.8)
    axes.plot([max(left, row.low), min(right, row.high)], [0, 0], color=colour, lw=2.2, solid_capstyle="butt")
    axes.plot(row.parts, [0] * len(row.parts), "|", color=colour, ms=9, mew=0.9)
    axes.plot([row.effect], [0], "o", color=colour, ms=5)
    axes.set(xlim=(left, right), ylim=(-1, 1), yticks=[])
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.text(0, 1.12, "\n".join(row.lines), transform=axes.transAxes, fontsize=9, ha="left", va="bottom")

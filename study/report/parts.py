"""The parts of a report, in no format: sections of words, tables and figures, which HTML and Markdown are made of.

In every text and cell `code` stands in backticks; a trial's id between them becomes a link to its row.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

import pandas as pd

from study.figures.figure import Figure, Picture, registered, study_pictures
from study.figures.records import Records


class Words(NamedTuple):
    """A paragraph."""

    text: str
    soft: bool = False


class Points(NamedTuple):
    """A list, or with `strong` the few sentences that are to be read first."""

    items: tuple[str, ...]
    strong: bool = False


class Code(NamedTuple):
    """Lines to be copied."""

    text: str


class Table(NamedTuple):
    """A data frame under a caption; in files of its own under `name`."""

    name: str
    caption: str
    frame: pd.DataFrame
    anchors: str = ""
    """the first column, where it holds the ids of trials that links lead to"""
    shown: int = 40
    """so many rows at once, and the others on demand"""


class Drawn(NamedTuple):
    """A figure's picture with its caption."""

    figure: Figure
    picture: Picture


class Folded(NamedTuple):
    """Parts that are shown on demand; without `paper`, on screen alone."""

    summary: str
    parts: tuple["Part", ...]
    paper: bool = True


Part: TypeAlias = Words | Points | Code | Table | Drawn | Folded


class Section(NamedTuple):
    """A part of the report under its heading."""

    title: str
    parts: tuple[Part, ...]


MakeSection = Callable[[Records], Section | None]


def section(title: str, parts: Iterable[Part]) -> Section | None:
    """A section of these; None of nothing."""
    found = tuple(parts)
    return Section(title, found) if found else None


def figures(records: Records, heading: str) -> Iterator[Part]:
    """The registered figures under a heading, and why others are left out."""
    return drawn(records, {name: one for name, one in registered().items() if one.section == heading})


def drawn(records: Records, chosen: dict[str, Figure]) -> Iterator[Part]:
    """These figures of the study, and why others are left out."""
    left_out: dict[str, str] = {}
    yield from (Drawn(figure, picture) for figure, picture in study_pictures(chosen, records, left_out))
    yield from (Words(f"Left out: {reason}.") for reason in dict.fromkeys(left_out.values()))


def every(sections: Iterable[Section]) -> Iterator[Part]:
    """All parts in order, also those that are folded."""

    def flat(parts: Iterable[Part]) -> Iterator[Part]:
        for part in parts:
            yield part
            if isinstance(part, Folded):
                yield from flat(part.parts)

    for one in sections:
        yield from flat(one.parts)


def shown(value: object) -> str:
    """A cell of a table as text: numbers to four digits, nothing for what is missing."""
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

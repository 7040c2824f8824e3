"""The parts of the page: sections, tables, and figures as inline drawings with a name for screen readers."""

import re
from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from markupsafe import Markup, escape

from study.figures.figure import Figure, registered, study_pictures
from study.figures.records import Records

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

INK = "#010203"
"""Stands in for the page's own text colour while a figure is drawn."""

BROAD = 600
"""Pixels above which a figure, one of several panels, has a row to itself on paper, and is scrolled on a telephone."""


class Section(NamedTuple):
    """A part of the page. `body` is HTML as it is: make it of `figures`, `table` and escaped text."""

    title: str
    body: Markup


MakeSection = Callable[[Records], Section | None]


def figures(records: Records, section: str) -> Markup:
    """The registered figures of a section, side by side, and why others are left out."""
    return drawn(records, {name: one for name, one in registered().items() if one.section == section})


def drawn(records: Records, chosen: dict[str, Figure]) -> Markup:
    """These figures of the study, each with its caption and its accessible name."""
    left_out: dict[str, str] = {}
    made = Markup("")
    for figure, picture in study_pictures(chosen, records, left_out):
        drawing, width = svg(lambda figure=figure, info=picture.info: figure.draw(info), picture.alt)  # type: ignore[misc]
        made += Markup('<figure class="{}" style="flex-basis: {}px">{}<figcaption>{}</figcaption></figure>\n').format(
            "broad" if width > BROAD else "", width, drawing, picture.caption
        )
    reasons = Markup("").join(map(Markup("<p>Left out: {}.</p>").format, dict.fromkeys(left_out.values())))
    return (Markup('<div class="row">{}</div>').format(made) if made else made) + reasons


def svg(draw: "Callable[[], Drawing]", alt: str) -> tuple[Markup, int]:
    """The drawing, inline, in the page's own font and colours, light and dark, with `alt` as its name; its width in
    pixels."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    colours = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings: dict[str, str] = dict.fromkeys(colours, INK)
    settings |= {"svg.fonttype": "none", "svg.hashsalt": "study"}
    settings |= dict.fromkeys(("figure.facecolor", "axes.facecolor"), "none")
    out = StringIO()
    with mpl.rc_context(settings):
        drawing = draw()
        FigureCanvasSVG(drawing).print_svg(out, metadata={"Date": None})  # `savefig` draws twice
    text = out.getvalue()
    named = f'<svg role="img" aria-label="{escape(alt)}"' + text[text.index("<svg") + 4 :]
    return Markup(named.replace(INK, "currentColor")), round(96 * drawing.get_figwidth())


LONG = 40
"""Characters from which a text of a table is broken into lines."""


def table(frame: pd.DataFrame) -> Markup:
    """A data frame as a table of the page: numbers to the right, text to the left."""
    numbers = [_is_number(column) for _, column in frame.items()]
    head = Markup("").join(
        _cell("th", _breakable(str(name)), right) for name, right in zip(frame, numbers, strict=True)
    )
    rows = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(_cell("td", _shown(value), right) for value, right in zip(row, numbers, strict=True))
        )
        for row in frame.itertuples(index=False, name=None)
    )
    whole = '<div class="wide"><table class="data"><thead><tr>{}</tr></thead>\n<tbody>{}</tbody></table></div>'
    return Markup(whole).format(head, rows)


def _cell(tag: str, text: str, right: bool) -> Markup:
    kind = ' class="number"' if right else ' class="wrap"' if tag == "td" and len(text) > LONG else ""
    return Markup(f"<{tag}{kind}>{{}}</{tag}>").format(text)


def _shown(value: object) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(column: "pd.Series[Any]") -> bool:
    """Numbers, also those written with their half-width, as in `53.3 ± 0.4`."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return True
    given = [str(value) for value in column.dropna() if value != ""]
    return bool(given) and all(re.fullmatch(r"[-−+]?[\d.,]+(e[-+]?\d+)?( ± [\d.,e+-]+)?", value) for value in given)


def _breakable(name: str) -> str:
    """With places where a heading may break."""
    return re.sub(r"([_.])", "\\1\u200b", name)

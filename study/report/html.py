"""A report's parts as HTML; figures inline, in the page's own font and colours."""

import re
from collections.abc import Callable, Collection, Iterable
from functools import partial
from io import StringIO
from itertools import count, groupby
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup, escape

from study.figures.figure import QUICK, reason
from study.report.parts import Code, Drawn, Folded, Part, Points, Table, Words, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

INK = "#010203"
"""Stands in for the page's own text colour while a figure is drawn."""
BROAD = 600
"""Pixels above which a figure, one of several panels, has a row to itself on paper, and is scrolled on a telephone."""
NUMBER = re.compile(r"(< )?[-−+]?[\d.,]+(e[-+]?\d+)?( ± [\d.,e+-]+)?( / [-−]?[\d.,]+)?")
FEW = 12
"""Columns up to which the numbers of a table stay on one line on paper."""
LONG = 26
"""Characters from which a text of a table is broken into lines."""
TEXTS = 3
"""Columns of such texts from which a narrow screen has a table's rows as lists of named cells."""


class Html:
    """Parts as HTML, figures and tables numbered in their order; `trials`: ids that have a row to link to."""

    def __init__(self, trials: Collection[str] = ()) -> None:
        self.trials = trials
        self.figures, self.tables = count(1), count(1)

    def body(self, parts: Iterable[Part]) -> Markup:
        """Parts one after another, figures that follow one another side by side."""
        made = Markup("\n")
        for side_by_side, some in groupby(parts, lambda part: isinstance(part, Drawn)):
            inner = Markup("\n").join(map(self._part, some))
            made += Markup('<div class="row">{}</div>\n').format(inner) if side_by_side else inner
        return made

    def _part(self, part: Part) -> Markup:
        match part:
            case Words(text, soft):
                return Markup("<p{}>{}</p>").format(Markup(' class="soft"' if soft else ""), self.inline(text))
            case Points(items, strong):
                kind = Markup(' class="summary"' if strong else "")
                return Markup("<ul{}>{}</ul>").format(
                    kind, Markup("").join(Markup("<li>{}</li>").format(self.inline(item)) for item in items)
                )
            case Code(text):
                return Markup("<pre>{}</pre>").format(text)
            case Folded(summary, parts, paper):
                kind, body = Markup("" if paper else ' class="screen"'), self.body(parts)
                whole = "<details{}><summary>{}</summary>{}</details>"
                return Markup(whole).format(kind, self.inline(summary), body)
            case Table():
                return self._table(part)
            case Drawn():
                return self._figure(part)

    def inline(self, text: str) -> Markup:
        """Text with `code`, and links to trials."""
        return Markup("").join(self._piece(piece, bool(place % 2)) for place, piece in enumerate(text.split("`")))

    def _piece(self, piece: str, code: bool) -> Markup:
        if code and piece in self.trials:
            return Markup('<a href="#trial-{0}"><code>{0}</code></a>').format(piece)
        return Markup("<code>{}</code>").format(piece) if code else escape(piece)

    def _figure(self, part: Drawn) -> Markup:
        info, figure = part.picture.info, part.figure
        try:
            drawing, width = svg(lambda: figure.draw(info), part.picture.alt)
        except Exception as error:  # a figure does not cost the report
            return Markup("<p>Left out: {}.</p>").format(reason(error))
        caption = Markup("<b>Figure {}.</b> {}").format(next(self.figures), part.picture.caption)
        return Markup('<figure class="{}" style="flex-basis: {}px">{}<figcaption>{}</figcaption></figure>').format(
            "broad" if width > BROAD else "", width, drawing, caption
        )

    def _table(self, part: Table) -> Markup:
        caption = Markup('<p class="caption"><b>Table {}.</b> {}</p>').format(
            next(self.tables), self.inline(part.caption)
        )
        first = caption + self._rows(part, part.frame.iloc[: part.shown])
        if len(part.frame) <= part.shown:
            return first
        rest = self._rows(part, part.frame.iloc[part.shown :])
        more = len(part.frame) - part.shown
        return first + Markup("<details><summary>{} more rows</summary>{}</details>").format(more, rest)

    def _rows(self, part: Table, frame: pd.DataFrame) -> Markup:
        right = [is_number(column) for _, column in part.frame.items()]
        sides = zip(frame, right, strict=True)
        head = Markup("").join(self._cell("th", _breakable(str(name)), side) for name, side in sides)
        listed = sum(_is_long(column) for _, column in part.frame.items()) >= TEXTS
        row = self._named_row if listed else partial(self._row, part)
        body = Markup("\n").join(row(dict(values), right) for values in frame.to_dict("records"))
        kind = ("data few" if len(frame.columns) <= FEW else "data") + " listed" * listed
        whole = '<div class="wide"><table class="{}"><thead><tr>{}</tr></thead>\n<tbody>{}</tbody></table></div>'
        return Markup(whole).format(kind, head, body)

    def _named_row(self, row: dict[Any, Any], right: list[bool]) -> Markup:
        """With each cell's heading, which a narrow screen has beside it."""
        cells = (
            (name, self._cell("td", shown(value), side)) for (name, value), side in zip(row.items(), right, strict=True)
        )
        named = (cell.replace("<td", Markup('<td data-name="{}"').format(name), 1) for name, cell in cells)
        return Markup("<tr>{}</tr>").format(Markup("").join(named))

    def _row(self, part: Table, row: dict[Any, Any], right: list[bool]) -> Markup:
        if not part.anchors:
            return Markup("<tr>{}</tr>").format(self._cells(row.values(), right))
        trial = row.pop(part.anchors)
        first = Markup('<tr id="trial-{0}"><td><code>{0}</code></td>').format(trial)
        return first + Markup("{}</tr>").format(self._cells(row.values(), right[1:]))

    def _cells(self, values: Iterable[Any], right: list[bool]) -> Markup:
        return Markup("").join(self._cell("td", shown(value), side) for value, side in zip(values, right, strict=True))

    def _cell(self, tag: str, text: str, right: bool) -> Markup:
        kind = ' class="number"' if right else ' class="wrap"' if tag == "td" and len(text) > LONG else ""
        return Markup(f"<{tag}{kind}>{{}}</{tag}>").format(self.inline(text) if "`" in text else text)


def svg(draw: "Callable[[], Drawing]", alt: str) -> tuple[Markup, int]:
    """The drawing, inline, in the page's own font and colours, light and dark, with `alt` as its name; its width in
    pixels."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    colours = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings: dict[str, Any] = dict.fromkeys(colours, INK)
    settings |= {"svg.fonttype": "none", "svg.hashsalt": "study", **QUICK}
    settings |= dict.fromkeys(("figure.facecolor", "axes.facecolor"), "none")
    out = StringIO()
    with mpl.rc_context(settings):
        drawing = draw()
        FigureCanvasSVG(drawing).print_svg(out, metadata={"Date": None})  # `savefig` draws twice
    text = out.getvalue()
    named = f'<svg role="img" aria-label="{escape(alt)}"' + text[text.index("<svg") + 4 :]
    return Markup(named.replace(INK, "currentColor")), round(96 * drawing.get_figwidth())


def is_number(column: "pd.Series[Any]") -> bool:
    """Whether a column stands to the right: numbers, also with their half-width, as in `53.3 ± 0.4`, and a floor."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return True
    given = [str(value) for value in column.dropna() if value != ""]
    return bool(given) and all(NUMBER.fullmatch(value) for value in given)


def _is_long(column: "pd.Series[Any]") -> bool:
    """Whether a column's texts are broken into lines."""
    return any(len(shown(value)) > LONG for value in column)


def _breakable(name: str) -> str:
    """With places where a heading may break."""
    return re.sub(r"([_.])", "\\1\u200b", name)

"""A report's parts as Markdown, as GitHub shows it: tables, and figures as SVG files beside it."""

import re
from collections.abc import Collection, Iterable
from itertools import count
from urllib.parse import quote

from study.report.export import FIGURES
from study.report.html import is_number
from study.report.parts import Code, Drawn, Folded, Part, Points, Section, Table, Words, shown


def markdown(title: str, lead: Iterable[Part], sections: Iterable[Section], trials: Collection[str] = ()) -> str:
    """The whole report: headings, and what stands before the first."""
    made = _Markdown(trials)
    pieces = [f"# {made.inline(title)}", made.body(lead)]
    for one in sections:
        pieces += [f"## {made.inline(one.title)}", made.body(one.parts)]
    return "\n\n".join(filter(None, pieces)) + "\n"


class _Markdown:
    def __init__(self, trials: Collection[str]) -> None:
        self.trials = trials
        self.figures, self.tables = count(1), count(1)

    def body(self, parts: Iterable[Part]) -> str:
        return "\n\n".join(map(self._part, parts))

    def _part(self, part: Part) -> str:
        match part:
            case Words(text, _):
                return self.inline(text)
            case Points(items, _):
                return "\n".join(f"- {self.inline(item)}" for item in items)
            case Code(text):
                return f"```\n{text.rstrip()}\n```"
            case Folded(summary, parts, _):
                body = self.body(parts)
                return f"<details><summary>{self.inline(summary)}</summary>\n\n{body}\n\n</details>"
            case Table():
                return self._table(part)
            case Drawn(_, picture):
                link = f"{FIGURES}/{quote(picture.name)}.svg"
                caption = f"**Figure {next(self.figures)}.** {self.inline(picture.caption)}"
                return f"![{self.inline(picture.alt)}]({link})\n\n{caption}"

    def _table(self, part: Table) -> str:
        names = [self.inline(str(name)) for name in part.frame]
        sides = ["---:" if is_number(column) else "---" for _, column in part.frame.items()]
        rows = [self._row(part, list(values)) for values in part.frame.itertuples(index=False, name=None)]
        lines = [names, sides, *rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return f"**Table {next(self.tables)}.** {self.inline(part.caption)}\n\n{table}"

    def _row(self, part: Table, values: list[object]) -> list[str]:
        cells = [self.inline(shown(value)) for value in values]
        if part.anchors:
            cells[0] = f'<a id="trial-{values[0]}"></a>`{values[0]}`'
        return cells

    def inline(self, text: str) -> str:
        """Text in which nothing but `code` is markup, on one line, with links to trials."""
        pieces = text.replace("\n", " ").split("`")
        return "".join(self._code(piece) if place % 2 else _plain(piece) for place, piece in enumerate(pieces))

    def _code(self, text: str) -> str:
        code = f"`{text}`".replace("|", "\\|")
        return f"[{code}](#trial-{text})" if text in self.trials else code


def _plain(text: str) -> str:
    escaped = re.sub(r"([\\*\[\]|$~]|(?<!\w)_|_(?!\w))", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    return escaped.replace(">", "&gt;")

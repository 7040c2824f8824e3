"""Figures and tables of a report as files: PDF and SVG to be set into a paper, LaTeX with booktabs, CSV."""

import textwrap
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.figures.figure import save_picture
from study.report.html import is_number
from study.report.parts import Drawn, Part, Table, shown
from study.storage.store import write_atomically

if TYPE_CHECKING:
    import pandas as pd

FIGURES, TABLES = "figures", "tables"
LONG_TABLE = 45
"""Rows above which a table goes over several pages, as a longtable."""
SHORT = 28
"""Letters up to which a text stands in one line."""
FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"
SYMBOLS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "≤": r"$\leq$",
    "≥": r"$\geq$", "–": "--", "—": "---", "∞": r"$\infty$", "†": r"$\dagger$", "→": r"$\to$", "…": r"\ldots{}",
    "Δ": r"$\Delta$", "τ": r"$\tau$", "υ": r"$\upsilon$", "π": r"$\pi$", "ρ": r"$\rho$", "σ": r"$\sigma$",
    "α": r"$\alpha$", "ω": r"$\omega$", "²": "$^2$", "₂": "$_2$", "√": r"$\surd$", "·": r"$\cdot$", "\u200b": "",
    "<": "$<$", ">": "$>$", "[": "{[}", "]": "{]}", "|": r"\textbar{}", "λ": r"$\lambda$", "µ": r"$\mu$", "μ": r"$\mu$",
    "θ": r"$\theta$", "½": r"$\frac12$", "≠": r"$\neq$", "≈": r"$\approx$", "°": r"$^\circ$", "‖": r"$\|$",
    "Σ": r"$\Sigma$", "’": "'", "‘": "`", "“": "``", "”": "''", "\n": " ",
}  # fmt: skip


def save_figures(parts: Iterable[Part], folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Each figure as a file of each suffix, such as .pdf; the files of those that can be drawn."""
    drawn = [part for part in parts if isinstance(part, Drawn)]
    paths = [(part, folder / FIGURES / f"{part.picture.name}{suffix}") for part in drawn for suffix in suffixes]
    for part, path in paths:
        with suppress(Exception):  # the page says why
            save_picture(part.figure, part.picture, path)
    return [path for _, path in paths if path.exists()]


def save_tables(parts: Iterable[Part], folder: Path) -> list[Path]:
    """Each table as LaTeX and as CSV."""
    made = []
    for part in parts:
        if isinstance(part, Table):
            path = folder / TABLES / part.name
            write_atomically(path.with_name(f"{part.name}.tex"), latex(part))
            write_atomically(path.with_name(f"{part.name}.csv"), part.frame.to_csv(index=False))
            made += [path.with_name(f"{part.name}{suffix}") for suffix in (".tex", ".csv")]
    return made


def latex(table: Table) -> str:
    """A table to `\\input`: it needs booktabs, and longtable where it is long, else graphicx.

    Long texts and headings are broken into lines; a table that is still wider than the text is made as wide.
    """
    frame, long = table.frame, len(table.frame) > LONG_TABLE
    sides = [_side(column) for _, column in frame.items()]
    head = _line(_heading(str(name), side) for name, side in zip(frame, sides, strict=True))
    rows = "\n".join(_line(escape(shown(cell)) for cell in row) for row in frame.itertuples(index=False, name=None))
    caption = rf"\caption{{{escape(table.caption)}}}\label{{tab:{table.name}}}"
    kind = rf"{{{'longtable' if long else 'tabular'}}}"
    begin, end = rf"\begin{kind}{{{''.join(sides)}}}", rf"\end{kind}"
    if long:
        lines = ["% needs booktabs and longtable", begin, caption + r"\\", r"\toprule", head, r"\midrule", r"\endhead",
                 r"\bottomrule", r"\endfoot", rows, end]  # fmt: skip
    else:
        lines = ["% needs booktabs and graphicx", r"\begin{table}", r"\centering", caption, f"{FITTED}%", begin,
                 r"\toprule", head, r"\midrule", rows, r"\bottomrule", end + "}", r"\end{table}"]  # fmt: skip
    return "\n".join([*lines, ""])


def _side(column: "pd.Series[Any]") -> str:
    """How LaTeX sets a column: numbers to the right, texts to the left, long ones in lines of 36 letters."""
    if is_number(column):
        return "r"
    texts = [shown(value) for value in column]
    longest, word = max(map(len, texts), default=0), max((len(w) for text in texts for w in text.split()), default=0)
    return "l" if longest <= SHORT else f"p{{{max(min(longest, 36), word) // 2}em}}"


def _heading(name: str, side: str) -> str:
    """A column's name; of several words, in lines that leave the column narrow."""
    lines = [escape(line) for line in textwrap.wrap(name, 14, break_long_words=False)]
    if side.startswith("p") or len(lines) == 1:
        return escape(name)
    return rf"\shortstack[{side}]" + "{" + r"\\".join(lines) + "}"


def escape(text: str) -> str:
    """Text as LaTeX sets it, with `code` in its own face."""
    pieces = ("".join(SYMBOLS.get(character, character) for character in piece) for piece in text.split("`"))
    return "".join(rf"\texttt{{{piece}}}" if place % 2 else piece for place, piece in enumerate(pieces))


def _line(cells: Iterable[str]) -> str:
    return f"{' & '.join(cells)} \\\\"

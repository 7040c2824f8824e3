"""Figures and tables of a report as files: PDF and SVG to be set into a paper, LaTeX with booktabs, CSV."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from study.figures.figure import save_picture
from study.report.html import is_number
from study.report.parts import Drawn, Part, Table, shown
from study.storage.store import write_atomically

FIGURES, TABLES = "figures", "tables"
LONG_TABLE = 45
"""Rows above which a table goes over several pages, as a longtable."""
SYMBOLS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "≤": r"$\leq$",
    "≥": r"$\geq$", "–": "--", "—": "---", "∞": r"$\infty$", "†": r"$\dagger$", "→": r"$\to$", "…": r"\ldots{}",
    "Δ": r"$\Delta$", "τ": r"$\tau$", "υ": r"$\upsilon$", "π": r"$\pi$", "ρ": r"$\rho$", "σ": r"$\sigma$",
    "α": r"$\alpha$", "ω": r"$\omega$", "²": "$^2$", "₂": "$_2$", "√": r"$\surd$", "·": r"$\cdot$", "\u200b": "",
    "<": "$<$", ">": "$>$",
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
    """A table to `\\input`: it needs booktabs, and longtable where it is long."""
    frame, long = table.frame, len(table.frame) > LONG_TABLE
    sides = "".join("r" if is_number(column) else "l" for _, column in frame.items())
    head = _line(map(str, frame))
    rows = "\n".join(_line(map(shown, values)) for values in frame.itertuples(index=False, name=None))
    caption = rf"\caption{{{escape(table.caption)}}}\label{{tab:{table.name}}}"
    if long:
        return (
            f"% needs booktabs and longtable\n\\begin{{longtable}}{{{sides}}}\n{caption}\\\\\n\\toprule\n{head}\n"
            f"\\midrule\n\\endhead\n\\bottomrule\n\\endfoot\n{rows}\n\\end{{longtable}}\n"
        )
    return (
        f"% needs booktabs\n\\begin{{table}}\n\\centering\n{caption}\n\\begin{{tabular}}{{{sides}}}\n\\toprule\n"
        f"{head}\n\\midrule\n{rows}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def escape(text: str) -> str:
    """Text as LaTeX sets it, with `code` in its own face."""
    pieces = ("".join(SYMBOLS.get(character, character) for character in piece) for piece in text.split("`"))
    return "".join(rf"\texttt{{{piece}}}" if place % 2 else piece for place, piece in enumerate(pieces))


def _line(cells: Iterable[str]) -> str:
    return f"{' & '.join(map(escape, cells))} \\\\"

"""The tables of docs/results/gpu.md."""

import re
from pathlib import Path
from typing import Any

from tests.faults.table import conditions

MARKS = ("<!-- figures: make test-gpu -->", "<!-- end of figures -->")
TITLES = {
    "studies": "Studies and trials",
    "speed": "A trial's steps beside the bare encoder",
    "packed": "Trials that share the GPU",
    "resumed": "Interrupted after an epoch and resumed, beside run through",
    "unblocked": "Steps in which a call that waits for the GPU is an error",
}


def table(rows: list[dict[str, Any]]) -> str:
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def render(found: dict[str, list[dict[str, Any]]], hardware: str) -> str:
    """A table a kind; a kind whose measurement failed says so."""
    parts = [MARKS[0], conditions().replace("Measured on", f"{hardware}. Measured on", 1)]
    for kind, title in TITLES.items():
        parts += [f"\n## {title}\n", table(found[kind]) if found.get(kind) else "It failed."]
    return "\n".join([*parts, MARKS[1]])


def write(page: Path, found: dict[str, list[dict[str, Any]]], hardware: str) -> None:
    between = re.compile(f"{re.escape(MARKS[0])}.*{re.escape(MARKS[1])}", re.DOTALL)
    page.write_text(between.sub(lambda _: render(found, hardware), page.read_text()))

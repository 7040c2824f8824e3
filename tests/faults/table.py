"""The table of docs/reliability.md from the rows that the fault suite wrote: python -m tests.faults.table ROWS PAGE."""

import json
import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

from study.machine.environment import environment

MARKS = ("<!-- figures: make test-faults -->", "<!-- end of figures -->")
HEADER = """\
| fault | times caused | trials | finished | failed | metrics lost | trials doubled | seconds lost, each |
|---|---|---|---|---|---|---|---|"""


def render(rows: list[dict[str, Any]], conditions: str) -> str:
    """A line a fault, under the conditions that all were measured under."""
    return "\n".join([MARKS[0], conditions, "", HEADER, *map(_line, rows), MARKS[1]])


def conditions() -> str:
    """Date, hardware and versions."""
    here = environment()
    versions = ", ".join(f"{name} {here[name]}" for name in ("python", "torch", "ray", "mlflow"))
    return f"Measured on {date.today():%Y-%m-%d}: {here['cpu']}, {here['cores']} cores; {versions}."


def _line(row: dict[str, Any]) -> str:
    lost = "" if row["seconds_lost"] is None else f"{row['seconds_lost']:.1f}"
    name = row["fault"] + (f" ({row['note']})" if row["note"] else "")
    numbers = [row[key] for key in ("caused", "trials", "finished", "failed", "lost", "doubled")]
    return f"| {name} | " + " | ".join(map(str, [*numbers, lost])) + " |"


def main(folder: str, page: str) -> None:
    rows = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    if not rows:
        raise SystemExit(f"no rows in {folder}: run `make test-faults`")
    text = Path(page).read_text()
    between = re.compile(f"{re.escape(MARKS[0])}.*{re.escape(MARKS[1])}", re.DOTALL)
    Path(page).write_text(between.sub(lambda _: render(rows, conditions()), text))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The tables of docs/data.md that tests renew: each between two comments, the first of which names its make target."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def _place(name: str) -> re.Pattern[str]:
    return re.compile(f"<!-- {name}: .*<!-- end of {name} -->", re.DOTALL)


def told(name: str) -> str:
    """Find what the page tells under this name."""
    (found,) = _place(name).findall(PAGE.read_text())
    return found


def renew(name: str, found: str, page: str | None) -> None:
    """Put what was found into the page, where one is given."""
    if page:
        Path(page).write_text(_place(name).sub(lambda _: found, Path(page).read_text()))

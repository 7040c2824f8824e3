"""Tables as notebooks show them."""

import json
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any


def table(title: str, rows: Mapping[str, Any], notes: Iterable[str] = ()) -> str:
    """A caption, a row for each name and value, and lines below."""
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in rows.items()}
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in shown.items())
    below = "".join(f"<p>{escape(note.strip())}</p>" for note in notes if note.strip())
    return f"<table><caption>{escape(title)}</caption>{cells}</table>{below}"


def place() -> Callable[[str], None]:
    """A place below the notebook's cell; what is called with HTML shows it there instead of what it showed before."""
    from IPython.display import HTML, display  # there is a notebook, and with it IPython

    shown = display(HTML(""), display_id=True)
    return lambda html: shown.update(HTML(html))

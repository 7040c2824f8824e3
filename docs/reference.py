"""Builds the API reference from the docstrings: a page per module by pdoc, and one per component that a study can name.

`python docs/reference.py FOLDER`, or `make docs`.
"""

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import pdoc
from pdoc.doc import Class
from pdoc.render_helpers import to_html

import study
from models.registry import Registry
from study.catalogue import catalogue, registries

MODULES = ("models", "study", "!study.cli.__main__")
STYLE = (
    "body{font:16px/1.5 system-ui;max-width:52em;margin:2em auto;padding:0 1em}"
    "td{padding:.2em 1em .2em 0;vertical-align:top}td p{margin:0}"
)


def build(folder: Path) -> None:
    """Write the reference into the folder; its entrance is index.html, that of the components components.html."""
    for name in study.__all__:  # pdoc sees what is there, and these are there once they are asked for
        setattr(study, name, getattr(study, name))
    warnings.filterwarnings("ignore", ".*type annotation", UserWarning)  # of a base class of pydantic's
    pdoc.render.configure(docformat="markdown", search=True)
    pdoc.pdoc(*MODULES, output_directory=folder)
    lists = []
    for kind, registry in registries().items():
        (folder / "components" / kind).mkdir(parents=True, exist_ok=True)
        rows = []
        for name, entry in catalogue(kind)[kind].items():
            page = f"components/{kind}/{file_name(name)}"
            (folder / page).write_text(component(kind, registry, name, entry), encoding="utf-8")
            rows.append(row(f'<a href="{page}">{escape(name)}</a>', escape(entry["description"])))
        lists.append(f"<h2>{kind}</h2><table>{''.join(rows)}</table>")
    whole = html("Components", f'<p><a href="index.html">modules</a></p>{"".join(lists)}')
    (folder / "components.html").write_text(whole, encoding="utf-8")


def file_name(component: str) -> str:
    """`timm:NAME` → timm-NAME.html."""
    return component.replace(":", "-") + ".html"


def component(kind: str, registry: Registry, name: str, entry: dict[str, Any]) -> str:
    """The page of a component: its docstring, its parameters with defaults, and where its code is."""
    made = inspect.unwrap(registry.get(name))
    rows = [row(f"<code>{n}</code>", escape(str(default)), told) for n, default, told in parameters(made, entry)]
    table = (
        f"<table>{row('parameter', 'default', '')}{''.join(rows)}</table>" if rows else "<p>It has no parameters.</p>"
    )
    labels = "<p>It uses the labels of the training data.</p>" if entry["uses_labels"] else ""
    module = "../../" + made.__module__.replace(".", "/") + f".html#{made.__qualname__}"
    source = f'<p><a href="../../components.html">components</a>, <a href="{module}">{made.__module__}</a></p>'
    return html(f"{name} ({kind})", f"{source}{to_html(inspect.getdoc(made) or '')}{labels}{table}")


def parameters(made: Callable[..., Any], entry: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """(name, default, the lines below it in the class, as HTML) of each."""
    home = made.__module__, made.__qualname__
    members = Class(*home, made, home).members if inspect.isclass(made) else {}
    for name, default in entry["parameters"].items():
        lines = members[name].docstring if name in members else ""
        yield name, default, to_html(lines)


def row(*cells: str) -> str:
    """A row of a table, of HTML."""
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def html(title: str, body: str) -> str:
    """A page."""
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body><h1>{escape(title)}</h1>{body}</body></html>\n"


if __name__ == "__main__":
    build(Path(sys.argv[1]))

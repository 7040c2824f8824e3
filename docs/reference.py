"""Builds the API reference from the docstrings: a page per module by pdoc, and one per component that a study can name.

`python docs/reference.py FOLDER`, or `make docs`.
"""

import importlib
import inspect
import pkgutil
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

PACKAGES = ("models", "study")
NARROW = "<meta name='viewport' content='width=device-width'>"
STYLE = (
    "body{font:16px/1.5 system-ui;max-width:52em;margin:2em auto;padding:0 1em}"
    "td{padding:.2em 1em .2em 0;vertical-align:top}td p{margin:0}td+td{overflow-wrap:anywhere}"
)


def build(folder: Path) -> None:
    """Write the reference into the folder; its entrance is index.html, that of the components components.html."""
    for name in study.__all__:  # pdoc sees what is there, and these are there once they are asked for
        setattr(study, name, getattr(study, name))
    warnings.filterwarnings("ignore", ".*type annotation", UserWarning)  # of a base class of pydantic's
    pdoc.render.configure(docformat="markdown", search=True)
    warnings.filterwarnings("ignore", "The module specification", UserWarning)  # a package finds its modules again
    modules = list(names())
    pdoc.pdoc(*modules, output_directory=folder)
    (folder / "index.html").write_text(entrance(modules), encoding="utf-8")
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


def names() -> Iterator[str]:
    """Every module: pdoc alone follows a package's `__all__`, which names what users import, and no modules."""
    for package in PACKAGES:
        yield package
        path = importlib.import_module(package).__path__
        yield from (found.name for found in pkgutil.walk_packages(path, f"{package}.") if "__main__" not in found.name)


def entrance(modules: list[str]) -> str:
    """The first page: where to begin, and every module with the first paragraph of its docstring."""
    rows = []
    for name in modules:
        first, _, _ = (inspect.getdoc(importlib.import_module(name)) or "").partition("\n\n")
        link = f'<a href="{name.replace(".", "/")}.html">{name.replace(".", ".<wbr>").replace("_", "_<wbr>")}</a>'
        rows.append(row(link, escape(first)))
    begin = (
        '<p><a href="study.html">study</a>: what a script imports. <a href="components.html">Components</a>: every '
        "method, strategy, encoder and whatever else a config can name, with a page each.</p>"
    )
    return html("negatives-study", f"{begin}<h2>Modules</h2><table>{''.join(rows)}</table>")


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
    head = f"<meta charset='utf-8'>{NARROW}<title>{escape(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body><h1>{escape(title)}</h1>{body}</body></html>\n"


if __name__ == "__main__":
    build(Path(sys.argv[1]))

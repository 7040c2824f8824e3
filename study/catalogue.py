"""Everything that a study can name, each with its one-line description and its parameters."""

import ast
import importlib.util
import inspect
from typing import Any

from models.registry import Registry, UnknownName
from study import recipes


def catalogue(kind: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
    """Kind → name → {"description", "parameters", "uses_labels"}; UnknownName for a kind that there is not."""
    if kind == "studies":
        return {"studies": studies()}
    known = registries()
    if kind is not None and kind not in known:
        raise UnknownName("kind", kind, ["studies", *known])
    shown = known if kind is None else {kind: known[kind]}
    listed = {
        kind: {name: entry(registry, name) for name in (*registry.names(), *registry.families())}
        for kind, registry in shown.items()
    }
    return listed if kind else {"studies": studies(), **listed}


def studies() -> dict[str, dict[str, Any]]:
    """The recipes with the first line of their docstrings, without importing them."""
    found = {}
    for name in recipes.names():
        spec = importlib.util.find_spec(f"search_spaces.{name}")
        assert spec is not None
        assert spec.origin is not None
        with open(spec.origin, encoding="utf-8") as file:
            found[name] = {"description": (ast.get_docstring(ast.parse(file.read())) or "").split("\n")[0]}
    return found


def entry(registry: Registry, name: str) -> dict[str, Any]:
    """One entry's line."""
    from study.planning.resolve import settable

    parameters = {
        n: "required" if p.default is inspect.Parameter.empty else p.default
        for n, p in settable(registry, name).items()
        if registry.kind != "claim"  # no config names one
    }
    uses_labels = bool(registry.trait(name, "uses_labels"))
    return {"description": registry.describe(name), "parameters": parameters, "uses_labels": uses_labels}


def registries() -> dict[str, Registry]:
    """Kind → its registry."""
    from study.bounds import BOUNDS
    from study.claims import CLAIMS
    from study.figures import FIGURES
    from study.planning.resolve import REGISTRIES
    from study.semantics import MEASURES

    return {**REGISTRIES, "bounds": BOUNDS, "measures": MEASURES, "figures": FIGURES, "claims": CLAIMS}

"""Config values, cells and numbers as a few characters of text."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from study.metric_names import is_percentage


def label(value: Any) -> str:
    """A config value in a few characters: {"name": "difficulty", "hi": 0.05} → `difficulty(hi=0.05)`."""
    if isinstance(value, Mapping) and "name" in value:
        given = {key: inner for key, inner in value.items() if key != "name" and inner is not None}
        arguments = ", ".join(f"{key}={label(inner)}" for key, inner in given.items())
        return f"{value['name']}({arguments})" if given else str(value["name"])
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(label, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return "default" if value is None else str(value)


def cell_label(cell: Mapping[str, Any]) -> str:
    """`k=64, temperature=0.1, negatives=all`."""
    return ", ".join(f"{path}={label(value)}" for path, value in cell.items())


def value_at(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = config
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything in nested dicts; a list is one value."""
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from flat(inner, f"{path}.{key}" if path else key)


def text(metric: str, mean: float, half_width: float = float("nan")) -> str:
    """`53.3 ± 0.4`; an empty string where nothing was measured."""
    if np.isnan(mean):
        return ""
    digits = 1 if is_percentage(metric) or metric.startswith(("time.", "memory.", "seconds")) else 3
    return f"{mean:.{digits}f}" + ("" if np.isnan(half_width) else f" ± {half_width:.{digits}f}")

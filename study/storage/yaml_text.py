"""YAML 1.2, where 1e-3 is a number and `no` a word; a key that comes twice is refused."""

from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError


class NotYAML(ValueError):
    """The text is not YAML, or has a key twice: the rule and its place in one line."""


def read(text: str) -> Any:
    """Return the plain values of a text; NotYAML with what is wrong, and where."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        if isinstance(error, DuplicateKeyError):
            problem = f"{problem.partition(' with value')[0]}; keep one"
        raise NotYAML(where + problem) from None


def write(plain: Any) -> str:
    """Return the inverse of `read`, keys in their order."""
    yaml, text = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(plain, text)
    return text.getvalue()

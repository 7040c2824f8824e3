"""Changes that count as those of a user-defined component, and changes that do not."""

import copy
import sys
import types
from typing import Any

import pytest

from models.negatives import STRATEGIES
from study.storage.code import differs, digest_of

SOURCE = '''
"""A module."""
import math
from dataclasses import dataclass
import helpers

WEIGHTS = [1.0, 2.0]
LEVEL = 3
cache = {}

def level():
    """A helper."""
    return LEVEL

class Base:
    SCALE = {"a": 1}
    def scale(self):
        return math.sqrt(self.SCALE["a"])

@dataclass(frozen=True)
class Easier(Base):
    """Easier."""
    margin: float = 0.5

    def select(self, x):
        # the easier ones
        cache[x] = 1
        return x < level() * self.scale() + helpers.shift(WEIGHTS[0])

def made(margin=0.5):
    """A preset."""
    def inner(x):
        return x - margin
    return inner

RULE = made(0.25)
def rule(x):
    """A closure's."""
    return RULE(x)
'''
HELPERS = "def shift(x):\n    return x + 1\n"


def digest(name: str, source: str = SOURCE, helpers: str = HELPERS) -> str:
    modules = {"helpers": helpers, "mine": source}
    for module, text in modules.items():
        made = types.ModuleType(module)
        sys.modules[module] = made
        exec(compile(text, f"{module}.py", "exec"), vars(made))
    found: Any = sys.modules["mine"]
    return digest_of(getattr(found, name))


@pytest.fixture(autouse=True)
def no_modules_left(monkeypatch: pytest.MonkeyPatch):
    yield
    for name in ("helpers", "mine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return x < level()", "return x > level()"),
        ("LEVEL = 3", "LEVEL = 4"),
        ("[1.0, 2.0]", "[1.5, 2.0]"),
        ('{"a": 1}', '{"a": 2}'),
        ("math.sqrt", "math.exp"),
        ("margin: float = 0.5", "margin: float = 0.6"),
        ("return LEVEL", "return LEVEL + 1"),
    ],
)
def test_a_change_of_what_is_computed_is_a_change(old: str, new: str) -> None:
    assert old in SOURCE
    assert differs(digest("Easier"), digest("Easier", SOURCE.replace(old, new)))


def test_a_module_of_the_users_that_is_imported_is_followed() -> None:
    assert differs(digest("Easier"), digest("Easier", helpers=HELPERS.replace("+ 1", "+ 2")))


def test_what_a_function_closes_over_is_followed() -> None:
    assert differs(digest("rule"), digest("rule", SOURCE.replace("made(0.25)", "made(0.75)")))
    assert differs(digest("made"), digest("made", SOURCE.replace("x - margin", "x + margin")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# the easier ones", "# those that are easier\n"),
        ('"""Easier."""', '"""Easier than the positive."""'),
        ('"""A helper."""', '"""The level."""'),
        ("cache = {}", "cache = {1: 2}"),
        ("x - margin", "x + margin"),
        ('"""A module."""', "seeds = 5"),
    ],
)
def test_comments_docstrings_caches_and_what_is_not_named_are_no_change(old: str, new: str) -> None:
    assert old in SOURCE
    assert digest("Easier") == digest("Easier", SOURCE.replace(old, new))


def test_the_packages_own_components_have_no_digest() -> None:
    assert {digest_of(entry) for entry in STRATEGIES.values() if entry.__module__.startswith("models.")} == {""}


def test_what_is_not_known_or_of_another_python_does_not_differ() -> None:
    assert not differs(None, "3.12 a")
    assert not differs("3.11 b", "3.12 a")
    assert not differs("3.12 a", "3.12 a")
    assert differs("3.12 b", "3.12 a")


def test_a_class_has_the_same_digest_after_its_instances_were_copied_and_pickled() -> None:
    before = digest("Easier")
    kind: Any = sys.modules["mine"].Easier
    copy.copy(kind())
    kind().__reduce_ex__(2)
    assert "__slotnames__" in vars(kind)
    assert digest_of(kind) == before

"""The code of a component of the user's own, as a digest: what is stored with a trial tells whether it has changed."""

import functools
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

OURS = ("models", "study", "search_spaces")
_INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))


def digest_of(entry: Any) -> str:
    """The digest of a class or function as it is loaded: its instructions, constants and defaults, and those of the
    user's functions, classes and constants that it names or closes over.

    A comment, its docstring or the rest of its file is no part of it; a list or mapping of the module or class is where
    its name is in CAPITALS. Begins with Python's version, whose instructions differ: see `differs`. Empty for the
    package's own.
    """
    module = getattr(entry, "__module__", None) or ""
    if _top(module) in OURS:
        return ""
    text = "\n".join(_Reader(_top(module)).told(entry))
    return f"{sys.version_info[0]}.{sys.version_info[1]} {hashlib.sha256(text.encode()).hexdigest()[:24]}"


def differs(stored: str | None, now: str) -> bool:
    """Whether two digests tell of different code; what is not known, or told by another version of Python, does not."""
    return bool(stored) and str(stored).split()[0] == now.split()[0] and stored != now


def is_theirs(module: str, home: str = "") -> bool:
    """Whether a module is the user's: of `home`, or neither this package's, nor Python's, nor an installed one."""
    top = _top(module)
    if top == home or top == "__main__":
        return True
    if not top or top in OURS or top in sys.stdlib_module_names:
        return False
    return not (getattr(sys.modules.get(module), "__file__", None) or "").startswith(_INSTALLED)


def _top(module: str) -> str:
    return module.partition(".")[0]


class _Reader:
    """Tells what a component says, as lines; nothing of what is not the user's, and nothing twice."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._seen: set[int] = set()

    def told(self, value: Any, *, container: bool = True) -> Iterator[str]:
        """The lines of a value; of a list or mapping only where it is to be read as a constant."""
        value = getattr(value, "__func__", value)
        if _is_plain(value, container):
            yield _text(value)
        elif isinstance(value, functools.partial):
            yield from self.told((value.args, tuple(value.keywords.items())))
            yield from self.told(value.func)
        elif isinstance(value, property):
            for function in (value.fget, value.fset):
                yield from self.told(function)
        elif isinstance(value, functools.cached_property):
            yield from self.told(value.func)
        elif hasattr(value, "__wrapped__"):
            yield from self.told(value.__wrapped__)
        elif isinstance(value, FunctionType | type) and id(value) not in self._seen:
            self._seen.add(id(value))
            yield from self._class(value) if isinstance(value, type) else self._function(value)

    def _class(self, kind: type) -> Iterator[str]:
        for base in kind.__mro__:
            if is_theirs(base.__module__, self._home):
                for name, member in sorted(vars(base).items()):
                    of_python = name.startswith("__") and not callable(getattr(member, "__func__", member))
                    if not of_python:  # __doc__, __annotations__; __slotnames__ comes with the first pickle
                        yield name
                        yield from self.told(member, container=name.isupper())

    def _function(self, function: FunctionType) -> Iterator[str]:
        if not is_theirs(function.__globals__.get("__name__", ""), self._home):
            return
        for value in (*(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())):
            yield from self.told(value)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            yield name
            with suppress(ValueError):  # it is not filled yet
                yield from self.told(cell.cell_contents, container=name.isupper())
        for code in _nested(function.__code__):
            constants = tuple(None if c == function.__doc__ else c for c in code.co_consts)
            yield f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {_text(constants)}"
            for name in code.co_names:
                yield from self._named(name, function.__globals__.get(name), code)

    def _named(self, name: str, value: Any, code: CodeType) -> Iterator[str]:
        """Of a name in a function: a value of its module, or those that it takes of a module of the user's."""
        if not isinstance(value, ModuleType):
            yield from (f"{name} = {line}" for line in self.told(value, container=name.isupper()))
        elif is_theirs(value.__name__, self._home):
            for attribute in code.co_names:
                yield from self.told(getattr(value, attribute, None), container=attribute.isupper())


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _is_plain(value: Any, container: bool) -> bool:
    if isinstance(value, tuple | frozenset) or (container and isinstance(value, list | set)):
        return all(_is_plain(inner, container) for inner in value)
    if container and isinstance(value, dict):
        return all(_is_plain(inner, container) for item in value.items() for inner in item)
    return isinstance(value, str | bytes | int | float | complex | Path | None | type(...))


def _text(value: Any) -> str:
    """The same in every process: sets have no order, and code has an address."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(key)}: {_text(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(_text, value)))}}}"
    return "code" if isinstance(value, CodeType) else repr(value)

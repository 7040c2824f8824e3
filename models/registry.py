"""Named components: one registry a kind, each entry with parameters that can be checked before anything runs."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, field
from typing import Any, TypeVar

Entry = TypeVar("Entry", bound=Callable[..., Any])
Value = TypeVar("Value")


class UnknownName(KeyError, ValueError):
    """A name that no registry entry, field or file bears; its message says which names exist."""

    def __init__(self, kind: str, name: object, known: list[str], *, hint: str = "") -> None:
        self.message = f"unknown {kind} {name!r}{did_you_mean(name, known)} (known: {', '.join(sorted(known))}){hint}"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_unknown_name, (self.message,)


def _restore_unknown_name(message: str) -> UnknownName:
    error = UnknownName.__new__(UnknownName)
    error.message = message
    error.args = (message,)
    return error


ALIASES = {"lr": "learning_rate", "wd": "weight_decay", "tau": "temperature"}
"""Names of the field that are too far from those here to be found as the nearest."""


def did_you_mean(name: object, known: list[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, else an empty string."""
    if (meant := ALIASES.get(str(name).lower())) in known:
        return f"; did you mean {meant!r}?"
    near = difflib.get_close_matches(str(name).lower(), (k.lower() for k in known), n=1, cutoff=0.6)
    return f"; did you mean {next(k for k in known if k.lower() == near[0])!r}?" if near else ""


def added(default: Value, **as_before: Any) -> Value:
    """The field of a parameter that came later: no part of a trial's identity where all is as before.

    So the trials of studies that knew nothing of it keep their ids. `as_before=…`: the value that stands for what was
    done then, where that is not the default.
    """
    return field(default=default, metadata={"as_before": default, **as_before})


def in_identity(field: Field[Any], value: Any) -> bool:
    """Whether a parameter is part of a trial's identity: what locates files never is, what was `added` if it is set."""
    if "as_before" in field.metadata:
        return bool(value != field.metadata["as_before"])
    return field.metadata.get("identity", True) is True


class Registry(Mapping[str, Callable[..., Any]]):
    """The entries of one kind, by name.

    An entry is a class or function whose keyword parameters, with annotations and defaults, are its schema, and
    whose docstring's first line is its description. Calling it checks the ranges of the parameters.

    >>> STRATEGIES = Registry("negative-selection strategy")
    >>> @STRATEGIES.register("difficulty")
    ... class Difficulty: ...
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Callable[..., Any]] = {}
        self._families: dict[str, Callable[..., Any]] = {}
        self._traits: dict[str, dict[str, Any]] = {}

    def register(self, name: str, **traits: Any) -> Callable[[Entry], Entry]:
        """Register the decorated class or function under `name`, with facts about it that others may ask (`traits`).

        A name that another entry has taken is refused.
        """

        def decorate(entry: Entry) -> Entry:
            taken = self._entries.get(name)
            if taken is not None and (taken.__module__, taken.__qualname__) != (entry.__module__, entry.__qualname__):
                raise ValueError(
                    f"{self.kind} {name!r} is already registered by {taken.__module__}.{taken.__qualname__}; "
                    "choose another name"
                )
            prefix = name.partition(":")[0]
            if ":" in name and prefix in self._families:
                raise ValueError(f"{self.kind} {name!r} is a name of the family {prefix}:NAME; choose another name")
            if not inspect.getdoc(entry):
                raise ValueError(f"{self.kind} {name!r} needs a docstring: its first line is what `study list` shows")
            self._entries[name] = entry
            self._traits[name] = traits
            return entry

        return decorate

    def family(self, prefix: str, **traits: Any) -> Callable[[Entry], Entry]:
        """Register a function of a member's name for every name `prefix:MEMBER`, with traits that all of them share."""

        def decorate(entry: Entry) -> Entry:
            self._families[prefix] = entry
            self._traits[prefix] = traits
            return entry

        return decorate

    def get(self, name: str, default: Any = None) -> Any:
        """The entry of that name; raises UnknownName, with the nearest name, where there is none."""
        if name in self._entries:
            return self._entries[name]
        prefix, _, member = str(name).partition(":")
        if prefix in self._families and member:
            family = self._families[prefix]
            return functools.update_wrapper(functools.partial(family, member), family)
        if default is not None:
            return default
        raise UnknownName(self.kind, name, [*self._entries, *self.families()])

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        prefix, _, member = str(name).partition(":")
        return name in self._entries or (prefix in self._families and bool(member))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> tuple[str, ...]:
        """Every registered name, in the order of registration."""
        return tuple(self._entries)

    def families(self) -> tuple[str, ...]:
        """Each family as `prefix:NAME`, which describes it."""
        return tuple(f"{prefix}:NAME" for prefix in self._families)

    def trait(self, name: str, trait: str) -> Any:
        """A fact given at registration, or the class attribute of that name; None where there is neither."""
        entry = self.get(name)
        traits = self._traits[name if name in self._entries else name.partition(":")[0]]
        return traits.get(trait, getattr(entry, trait, None))

    def describe(self, name: str) -> str:
        """The first line of the entry's own docstring; empty of a class that has none but its base's."""
        return inspect.cleandoc(self.get(name).__doc__ or "").partition("\n")[0]

    def parameters(self, name: str) -> dict[str, inspect.Parameter]:
        """The keyword-only parameters of the entry: its schema."""
        signature = inspect.signature(self.get(name), eval_str=True)
        return {n: p for n, p in signature.parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}

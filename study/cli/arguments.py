"""The arguments of a command line, and what to type instead of those that there are not."""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence

from models.registry import did_you_mean
from study.cli.parser import parser


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a verb; ends with status 2, and a line on what to type, where the arguments are none."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    top, verbs = parser()
    if given and not given[0].startswith("-") and given[0] not in verbs:
        top.error(f"no verb {given[0]!r}{did_you_mean(given[0], list(verbs))} (known: {', '.join(verbs)})")
    options, left = top.parse_known_args(given)
    if left:
        instead = " ".join(_instead(left, given, options)) if hasattr(options, "set") else ""
        verbs[options.name].error(f"unrecognized arguments: {' '.join(left)}" + (instead and f"; write {instead}"))
    return options


def _instead(left: Sequence[str], given: Sequence[str], options: argparse.Namespace) -> Iterator[str]:
    """`--set PATH=VALUE` in place of `--path VALUE` and of `--set PATH=VALUE VALUE`."""
    settable = _settable()
    for flag in (one for one in left if one.startswith("-")):
        name, equals, value = flag.lstrip("-").partition("=")
        path = name.replace("-", "_")
        if path.partition(".")[0] in settable:
            yield _set(path, [value] if equals else _values(given, given.index(flag), options))
    for at in (at for at, one in enumerate(given) if one == "--set"):
        assigned, *further = _values(given, at, options) or [""]
        path, _, value = assigned.partition("=")
        if further and set(further) <= {*left, getattr(options, "study", "")}:
            yield _set(path, [value, *further])


def _settable() -> set[str]:
    from study.config import TrialConfig
    from study.planning.study_config import keys

    return {*keys(), *TrialConfig.__dataclass_fields__} - {"base", "space", "name"}


def _values(given: Sequence[str], at: int, options: argparse.Namespace) -> list[str]:
    """The words behind an option, without the study, where that is the last of several."""
    found = list(itertools.takewhile(lambda one: not one.startswith("-"), given[at + 1 :]))
    swallowed = len(found) > 1 and getattr(options, "study", None) in found
    return found[:-1] if swallowed else found


def _set(path: str, values: Sequence[str]) -> str:
    return f"--set {path}=" + (f"[{','.join(values)}]" if len(values) > 1 else "".join(values) or "VALUE")

"""The command `study`: parses, calls, prints."""

import argparse
import os
import shlex
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import NoReturn

from study.cli.arguments import parse

STARTING = ("plan", "run", "retry", "trial", "bench")
"""Verbs that compute, or tell what would be: that nothing was started is worth saying."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a batch system sends it: what Ctrl-C ends, it ends."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0: well, 1: a trial failed or is not finished, or the disk is full, 2: the input is wrong, 130:
    interrupted, 143: ended by SIGTERM."""
    for stream in (sys.stdout, sys.stderr):  # a batch system's log may not take every character
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    _have_a_home()
    options = parse(arguments)
    try:
        with _ended_as_interrupted():
            return options.verb(options)
    except KeyboardInterrupt as interrupt:
        what, status = ("ended", 143) if isinstance(interrupt, Terminated) else ("interrupted", 130)
        print(f"\n{what}; finished trials are kept. To go on: {_again(options)}", file=sys.stderr)
        return status
    except BrokenPipeError:
        return 0
    except Exception as error:
        if _disk_is_full(error):
            print(f"study: {error}", file=sys.stderr)
            return 1
        if not _expected(error):
            raise
        problems = getattr(error, "problems", [str(error)])
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        print(f"study: {count}" + ("; nothing was started" if options.name in STARTING else ""), file=sys.stderr)
        print(textwrap.indent("\n".join(problems), "  "), file=sys.stderr)
        return 2


def _have_a_home() -> None:
    """Ray and MLflow ask for the user's home when they are imported, also where HOME is not set and the system does not
    know the user: a folder that does not exist, as such users of the system itself have it."""
    if os.path.expanduser("~") == "~":
        os.environ["HOME"] = "/nonexistent"


@contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """SIGTERM raises Terminated within, unless somebody has another use for it."""

    def end(number: int, frame: object) -> NoReturn:
        raise Terminated

    free = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if free and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    else:
        yield


def _expected(error: Exception) -> bool:
    """Whether an error is the user's to mend: its message is all that they need."""
    from models.registry import UnknownName
    from study.config import ConfigError
    from study.tracking.uri import TrackingRefused

    return isinstance(error, ConfigError | UnknownName | TrackingRefused | FileNotFoundError)


def _disk_is_full(error: Exception) -> bool:
    from study.storage.store import DiskFull

    return isinstance(error, DiskFull)


def _again(options: argparse.Namespace) -> str:
    from study.tracking.uri import without_secrets

    parts = ["study", options.name, getattr(options, "study", "")]
    parts += [f"--set {shlex.quote(item)}" for item in getattr(options, "set", [])]
    for flag in ("storage", "tracking_uri", "address"):
        value = without_secrets(getattr(options, flag, None) or "")
        parts += [f"--{flag.replace('_', '-')} {shlex.quote(value)}"] if value else []
    return " ".join(part for part in parts if part)

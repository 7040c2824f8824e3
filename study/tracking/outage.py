"""Whether MLflow answers: an outage is announced once, and the end of a study waits a bounded time."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from study.tracking.client import first_line
from study.tracking.uri import without_secrets

log = logging.getLogger(__name__)

ENDING = 120.0
"""Seconds that the end of a study takes at most, however slow the server."""
SAYS = 10.0
"""Seconds between two lines on what the end of a study still sends."""


class Outages:
    """Whether MLflow at a URI answered last time, and how long to wait for it."""

    def __init__(self, uri: str) -> None:
        self._uri = without_secrets(uri)
        self._unreachable: set[str] = set()  # "", "artifacts": what an outage was said of
        self._patience = self._deadline = math.inf
        self._answered = self._said = 0.0
        self.missed = 0
        """of what nobody needs to wait for, how much did not arrive"""

    def answered(self, part: str = "") -> None:
        """It does now: the next outage is announced again."""
        self._unreachable.discard(part)
        self._answered = time.monotonic()

    def say(self, what: str, error: Exception, part: str = "") -> None:
        """Say it once an outage."""
        if part not in self._unreachable:
            self._unreachable.add(part)
            log.warning("%s: %s (%s)", self._uri, what, first_line(error))

    def tolerate(self, send: Callable[[], Any]) -> None:
        """Send what nobody needs to wait for."""
        try:
            send()
        except Exception as error:
            self.missed += 1
            self.say("MLflow does not answer", error)

    @contextmanager
    def ending(self, patience: float) -> Iterator[None]:
        """Give up meanwhile after `patience` seconds without an answer, and after ENDING in all."""
        self._answered = self._said = time.monotonic()
        self._patience, self._deadline = patience, time.monotonic() + ENDING
        try:
            yield
        finally:
            self._patience = self._deadline = math.inf

    def given_up(self) -> bool:
        """Whether the end of a study has waited long enough."""
        now = time.monotonic()
        return now - self._answered > self._patience or now > self._deadline

    def say_what_is_left(self, left: Callable[[], int]) -> None:
        """While a study ends, every SAYS seconds."""
        if self._deadline < math.inf and time.monotonic() - self._said > SAYS:
            self._said = time.monotonic()
            log.warning("sending what MLflow misses: %d trials left", left())

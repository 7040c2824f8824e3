"""Which point a session runs next: what its sampler gives and no other session has, done or at work."""

import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from study.claims import Claims
from study.sampler import Sampler
from study.store import Store
from study.study import Point

POLL = 2.0
"""Seconds between two looks at what the other sessions do."""
INSTANT = 0.25
"""Seconds that a claim may take before whoever asks for a point is told to ask again."""


class Server(Protocol):
    """Claims on a tracking server, which sessions with other storages share."""

    def claim(self, trial: str) -> str:
        """Claim a trial: "ours", or "held by …", "finished by …" another; "ours" too where the server is away."""


@dataclass(frozen=True)
class Wait:
    """Ask again: others are at work on what is left, or a claim is on its way."""

    why: str = ""


class Turns:
    """Hands out points that this session has claimed in the storage and, where there is one, on the tracking server."""

    def __init__(
        self,
        sampler: Sampler,
        store: Store,
        claims: Claims,
        server: Server | None = None,
        *,
        heard: Callable[[Point, dict[str, Any]], None] = lambda point, result: None,
        skipped: Callable[[Point, str], None] = lambda point, why: None,
    ) -> None:
        self._sampler, self._store, self._claims, self._server = sampler, store, claims, server
        self._heard, self._skipped = heard, skipped
        self._others: dict[str, tuple[Point, str]] = {}  # what other sessions run, and which
        self._asked: tuple[Point, Future[str]] | None = None
        self._pool = ThreadPoolExecutor(1, "claims")  # a slow server must not hold up the trials at work
        self._free: deque[str] = deque()  # of the others' trials, those that they may have left
        self._looked = 0.0
        self._dry = False  # the sampler has nothing until it hears of a result

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def tell(self, point: Point, result: dict[str, Any]) -> None:
        self._dry = False
        self._sampler.tell(point, result)

    def next(self) -> Point | Wait | None:
        """A claimed point; Wait; or None: every point has its result, or is done elsewhere."""
        if not self._free and time.monotonic() - self._looked > POLL:
            self._look()
        while True:
            if self._asked is None and (point := self._candidate()) is not None:
                self._asked = point, self._pool.submit(self._claim, point)
            if self._asked is None:
                return Wait(self._who()) if self._others else None
            point, answer = self._asked
            try:
                found = answer.result(INSTANT)
            except TimeoutError:
                return Wait()
            self._asked = None
            if found == "ours":
                self._others.pop(point.trial.id, None)
                return point
            self._set_aside(point, found)

    def _candidate(self) -> Point | None:
        """What the sampler gives, then what another session may have left."""
        if not self._dry and (point := self._sampler.next()) is not None:
            return point
        self._dry = True
        while self._free:
            known = self._others.get(self._free.popleft())
            if known is not None:
                return known[0]
        return None

    def _look(self) -> None:
        """At the others' trials, as many as INSTANT allows, those that were looked at longest ago first."""
        until = time.monotonic() + INSTANT
        for trial, (point, who) in list(self._others.items()):
            if not self._finished(point):
                self._others[trial] = self._others.pop(trial)[0], who
                if self._claims.is_free(trial):
                    self._free.append(trial)
            if time.monotonic() > until:
                break
        self._dry, self._looked = False, time.monotonic()  # others' results may bring new proposals

    def _finished(self, point: Point) -> bool:
        result = self._store.trial(point.trial.id).result()
        if result is not None:
            self._others.pop(point.trial.id, None)
            self._sampler.tell(point, result)
            self._heard(point, result)
        return result is not None

    def _claim(self, point: Point) -> str:
        trial = point.trial.id
        taken = self._claims.take(trial)
        if self._store.trial(trial).result() is not None:  # since the sampler looked
            return "done"
        if not taken:
            return f"held by {self._claims.holder(trial) or 'another session'}"
        return self._server.claim(trial) if self._server else "ours"

    def _set_aside(self, point: Point, found: str) -> None:
        if found == "done":
            self._finished(point)
        elif found.startswith("held by "):
            self._others[point.trial.id] = point, found.removeprefix("held by ")
        else:
            self._others.pop(point.trial.id, None)
            self._skipped(point, found)

    def _who(self) -> str:
        counts = Counter(who for _, who in self._others.values())
        return "; ".join(
            f"{count} trial{'s are' if count > 1 else ' is'} being run by {who}" for who, count in counts.items()
        )

"""Which trial a session runs next: what its sampler gives and no other session has, done or at work."""

import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from study.execution.samplers import Sampler
from study.storage.claims import Claims
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.trial import Trial

POLL = 2.0
"""Seconds between two looks at what the other sessions do."""
INSTANT = 0.25
"""Seconds that a claim may take before whoever asks for a trial is told to ask again."""


class Server(Protocol):
    """Claims on a tracking server, which sessions with other storages share."""

    def claim(self, trial: str) -> str:
        """Claim a trial: "ours", or "held by …", "finished by …" another; "ours" too where it is unreachable."""


@dataclass(frozen=True)
class Wait:
    """Ask again: others run what is left, or a claim is on its way."""

    why: str = ""


class Queue:
    """Hands out trials that this session has claimed in the storage and, where there is one, on the tracking server."""

    def __init__(
        self,
        sampler: Sampler,
        store: Store,
        claims: Claims,
        server: Server | None = None,
        *,
        heard: Callable[[Trial, TrialResult], None] = lambda trial, result: None,
        skipped: Callable[[Trial, str], None] = lambda trial, why: None,
    ) -> None:
        self._sampler, self._store, self._claims, self._server = sampler, store, claims, server
        self._heard, self._skipped = heard, skipped
        self._others: dict[str, tuple[Trial, str]] = {}  # what other sessions run, and which
        self._asked: tuple[Trial, Future[str]] | None = None
        self._pool = ThreadPoolExecutor(1, "claims")  # a slow server must not hold up the trials at work
        self._free: deque[str] = deque()  # of the others' trials, those that they may have left
        self._looked = 0.0
        self._dry = False  # the sampler has nothing until it hears of a result

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def tell(self, trial: Trial, result: TrialResult) -> None:
        self._dry = False
        self._sampler.tell(trial, result)

    def next(self) -> Trial | Wait | None:
        """A claimed trial; Wait; or None: every trial has its result, or is done elsewhere."""
        if not self._free and time.monotonic() - self._looked > POLL:
            self._look()
        while True:
            if self._asked is None and (trial := self._candidate()) is not None:
                self._asked = trial, self._pool.submit(self._claim, trial)
            if self._asked is None:
                return Wait(self._who()) if self._others else None
            trial, answer = self._asked
            try:
                found = answer.result(INSTANT)
            except TimeoutError:
                return Wait()
            self._asked = None
            if found == "ours":
                self._others.pop(trial.id, None)
                return trial
            self._set_aside(trial, found)

    def _candidate(self) -> Trial | None:
        """What the sampler gives, then what another session may have left."""
        if not self._dry and (trial := self._sampler.next()) is not None:
            return trial
        self._dry = True
        while self._free:
            known = self._others.get(self._free.popleft())
            if known is not None:
                return known[0]
        return None

    def _look(self) -> None:
        """At the others' trials, as many as INSTANT allows, those that were looked at longest ago first."""
        until = time.monotonic() + INSTANT
        for trial_id, (trial, who) in list(self._others.items()):
            if not self._finished(trial):
                self._others[trial_id] = self._others.pop(trial_id)[0], who
                if self._claims.is_free(trial_id):
                    self._free.append(trial_id)
            if time.monotonic() > until:
                break
        self._dry, self._looked = False, time.monotonic()  # others' results may bring new proposals

    def _finished(self, trial: Trial) -> bool:
        result = self._store.trial(trial.id).result()
        if result is not None:
            self._others.pop(trial.id, None)
            self._sampler.tell(trial, result)
            self._heard(trial, result)
        return result is not None

    def _claim(self, trial: Trial) -> str:
        taken = self._claims.take(trial.id)
        if self._store.trial(trial.id).result() is not None:  # since the sampler looked
            return "done"
        if not taken:
            return f"held by {self._claims.holder(trial.id) or 'another session'}"
        return self._server.claim(trial.id) if self._server else "ours"

    def _set_aside(self, trial: Trial, found: str) -> None:
        if found == "done":
            self._finished(trial)
        elif found.startswith("held by "):
            self._others[trial.id] = trial, found.removeprefix("held by ")
        else:
            self._others.pop(trial.id, None)
            self._skipped(trial, found)

    def _who(self) -> str:
        counts = Counter(who for _, who in self._others.values())
        return "; ".join(
            f"{count} trial{'s are' if count > 1 else ' is'} being run by {who}" for who, count in counts.items()
        )

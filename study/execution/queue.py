"""Queue of a session's trials: those that its sampler gives and no other session has run, or is running."""

import time
from collections import Counter, deque
from collections.abc import Callable

from study.execution.samplers import Sampler, Wait
from study.storage.claims import Claims
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.trial import Trial

POLL = 2.0
"""Seconds between two looks at what the other sessions do."""
INSTANT = 0.25
"""Seconds that a look may take before whoever asks for a trial gets what is known."""


class Queue:
    """Hands out trials that this session has claimed in the storage."""

    def __init__(
        self,
        sampler: Sampler,
        store: Store,
        claims: Claims,
        *,
        heard: Callable[[Trial, TrialResult], None] = lambda trial, result: None,
    ) -> None:
        self._sampler, self._store, self._claims = sampler, store, claims
        self._heard = heard
        self._others: dict[str, tuple[Trial, str]] = {}  # what other sessions run, and which
        self._free: deque[str] = deque()  # of the others' trials, those that they may have left
        self._looked = 0.0
        self._dry = False  # the sampler has nothing until it hears of a result
        self._waits: Wait | None = None  # and would have more then

    def tell(self, trial: Trial, result: TrialResult) -> None:
        self._dry = False
        self._sampler.tell(trial, result)

    def next(self) -> Trial | Wait | None:
        """A claimed trial; Wait, where others run what is left or what comes next depends on what runs; or None: every
        trial has its result."""
        if not self._free and time.monotonic() - self._looked > POLL:
            self._look()
        while (trial := self._candidate()) is not None:
            if self._claim(trial):
                self._others.pop(trial.id, None)
                return trial
        return Wait(self._who()) if self._others else self._waits

    def _candidate(self) -> Trial | None:
        """A trial of the sampler's, then one that another session may have left."""
        if not self._dry:
            found = self._sampler.next()
            if isinstance(found, Trial):
                return found
            self._dry, self._waits = True, found
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

    def _claim(self, trial: Trial) -> bool:
        """Whether it is this session's to run; else it is set aside, done or held by another."""
        taken = self._claims.take(trial.id)
        if self._finished(trial):  # since the sampler looked
            return False
        if not taken:
            self._others[trial.id] = trial, str(self._claims.holder(trial.id) or "another session")
        return taken

    def _who(self) -> str:
        counts = Counter(who for _, who in self._others.values())
        return "; ".join(
            f"{count} trial{'s are' if count > 1 else ' is'} being run by {who}" for who, count in counts.items()
        )

"""Trials that MLflow may lack: those of this session, and of earlier ones those with something unsent."""

import logging
from collections.abc import Callable
from contextlib import suppress

from study.storage.claims import Session
from study.storage.store import Store, TrialFolder
from study.tracking import schema
from study.tracking.client import code, first_line
from study.tracking.outage import Outages
from study.tracking.sending import Sender
from study.tracking.writers import Writers

log = logging.getLogger(__name__)

REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
"""MLflow's answers that concern one trial (its run was deleted), not the server."""

UNTRACKED = "untracked"
"""The claim of the session that sends what the others do not."""


class Backlog:
    """Trials to be sent, each by the session that holds its claim, so that no two send the same; those of sessions that
    do not track by one that does, which they have elected by a claim."""

    def __init__(self, store: Store, session: Session, outages: Outages, writers: Writers) -> None:
        self._store, self._session, self._outages, self._writers = store, session, outages, writers
        self._watched: dict[str, TrialFolder] = {}  # trials that this session runs, and those with something to send
        self._ours: set[str] = set()  # trial ids that this session has claimed
        self._seen: dict[str, list[int]] = {}  # trial id → stamp of its files when all of it had been sent
        self._uploads: dict[str, TrialFolder] = {}  # trials whose artifacts are to be uploaded
        self._refused: set[str] = set()  # trial ids

    def watch(self, trial: TrialFolder) -> None:
        """This session runs the trial from now on."""
        self._watched[trial.id] = trial

    def look(self, wanted: Callable[[list[int]], bool]) -> None:
        """Watch every trial of the storage that has something new, of those whose stamp is wanted."""
        for trial in self._store.trials():
            stamp = schema.stamp(trial)
            if stamp != self._seen.get(trial.id) and wanted(stamp):
                self._watched[trial.id] = trial

    def look_at_others(self) -> None:
        """Watch what sessions that run now leave to this one."""
        if self._session.is_alone():
            return
        for trial in self._store.trials():
            ended = self._seen.get(trial.id, [0, 0])[1] > 0
            if not ended and trial.id not in self._watched and self._is_left_to_us(trial):
                self._watched[trial.id] = trial

    def send(self, sender: Sender) -> bool:
        """Send what is watched. False: something waits for the next time."""
        sent = self._send_all(sender)
        return self._upload_all(sender) and sent

    def interrupt(self, sender: Sender) -> None:
        """Say of this session's trials without a result that nobody runs them any more."""
        for trial_id in sorted(self._ours):
            sender.interrupt(self._store.trial(trial_id))

    def waiting(self) -> int:
        """Number of trials that are not completely in MLflow."""
        return len(self._watched.keys() | self._uploads.keys())

    def _send_all(self, sender: Sender) -> bool:
        failed = 0
        for trial in list(self._watched.values()):
            stamp = schema.stamp(trial)
            if stamp == self._seen.get(trial.id) or not (max(stamp) > 0 or (trial.path / "config.json").exists()):
                continue  # nothing new, or it waits for its worker
            if failed == 2 or self._stopped():  # not one trial's problem: the server is unreachable
                return False
            try:
                self._send(sender, trial, stamp)
            except Exception as error:
                if code(error) in REFUSALS:
                    self._forget(sender, trial, error)
                else:
                    self._outages.say("MLflow does not answer; what it misses is kept, and sent later", error)
                    failed += 1
        return not failed

    def _send(self, sender: Sender, trial: TrialFolder, stamp: list[int]) -> None:
        if not sender.is_sent(trial, stamp):
            if not (self._is_ours(trial) or self._is_left_to_us(trial)):
                del self._watched[trial.id]
                return
            if sender.send(trial, stamp):
                self._uploads[trial.id] = trial
        self._outages.answered()
        self._seen[trial.id] = stamp
        if stamp[1] > 0 or trial.id not in self._ours:
            del self._watched[trial.id]
        self._outages.say_what_is_left(self._left)

    def _stopped(self) -> bool:
        """Whether nothing is sent any more: before each trial, as a session may have stood still for a minute."""
        return self._outages.given_up() or not self._writers.may_write()

    def _is_ours(self, trial: TrialFolder) -> bool:
        if trial.id not in self._ours and self._session.claims.take(trial.id):
            self._ours.add(trial.id)
        return trial.id in self._ours

    def _is_left_to_us(self, trial: TrialFolder) -> bool:
        holder = self._session.claims.holder(trial.id)
        return holder is not None and not holder.tracks and self._session.claims.take(UNTRACKED)

    def _forget(self, sender: Sender, trial: TrialFolder, error: Exception) -> None:
        """Send the whole trial again next time, to its run restored or to a new one."""
        with suppress(OSError):  # a full disk: it is refused again
            sender.ledger.write(trial, None)
        if trial.id not in self._refused:
            self._refused.add(trial.id)
            log.warning("MLflow refuses trial %s: %s", trial.id, first_line(error))

    def _upload_all(self, sender: Sender) -> bool:
        """Apart from the metrics, so that an artifact store that is unreachable holds up nothing else."""
        for trial in list(self._uploads.values()):
            if self._stopped():
                return False
            try:
                sender.upload(trial)
            except Exception as error:
                self._outages.say("artifacts cannot be uploaded; they are kept, and sent later", error, "artifacts")
                return False
            self._outages.answered("artifacts")
            self._outages.say_what_is_left(self._left)
            del self._uploads[trial.id]
        return True

    def _left(self) -> int:
        unsent = {t.id for t in self._watched.values() if schema.stamp(t) != self._seen.get(t.id)}
        return len(unsent | self._uploads.keys())

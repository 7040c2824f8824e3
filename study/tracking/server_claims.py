"""Claims on an MLflow server, for sessions whose storages differ. Works with a client that it is given.

A param of a run is written once: the database's primary key refuses another value, so a claims run's params are the
registers, and its tags the heartbeats and the finished trials. That there is one parent run and one claims run, however
many sessions start at once, follows from two more things that MLflow lets one writer have: the name of an experiment
(deleted at once, so that no page shows it; the name stays taken), and a param of the parent run.
"""

import itertools
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from study.storage.claims import EXPIRES, Claims, Session

log = logging.getLogger(__name__)

EXPERIMENT = "negatives-study.claims"
FRESH = 5.0
"""Seconds for which what the server said is believed where others hold a trial."""


class RunBoard:
    """A board in the params and tags of one run."""

    def __init__(self, client: Any, run: str) -> None:
        self._client, self._run = client, run
        self.refresh()

    def put(self, register: str, value: str) -> bool:
        try:
            self._client.log_param(self._run, register, value)
        except Exception as error:
            if getattr(error, "error_code", None) != "INVALID_PARAMETER_VALUE":
                raise
            self.refresh()
            return self.get(register) == value
        self._params[register] = value
        return True

    def get(self, register: str) -> str | None:
        return self._params.get(register)

    def announce(self, session: str, text: str | None) -> None:
        if text is None:
            self._client.delete_tag(self._run, f"session.{session}")
        else:
            self._client.set_tag(self._run, f"session.{session}", text)

    def session(self, session: str) -> str | None:
        return self._tags.get(f"session.{session}")

    def refresh(self) -> None:
        data = self._client.get_run(self._run).data
        self._params, self._tags, self.read = dict(data.params), dict(data.tags), time.monotonic()

    def finished(self, trial: str) -> dict[str, str] | None:
        """{"session", "by", "run"} of a trial that MLflow has completely."""
        text = self._tags.get(f"finished.{trial}")
        return json.loads(text) if text else None

    def set_finished(self, trial: str, content: dict[str, str]) -> None:
        self._client.set_tag(self._run, f"finished.{trial}", json.dumps(content))


class ServerClaims:
    """A session's claims on a server. Where it is unreachable, what it said last holds: a finished trial stays so, a
    held one for EXPIRES; the others are run, and it is said that nobody checked."""

    def __init__(self, session: Session, board: RunBoard, is_away: Callable[[], bool]) -> None:
        self._session, self._board, self._is_away = session, board, is_away
        self._claims: Claims = session.join(board)
        self._away_since: float | None = None
        self._said = False

    def claim(self, trial: str) -> str:
        """As `secure`; "ours" where the server does not answer and nobody else is known to have the trial."""
        try:
            if not self._is_away():
                found = self.secure(trial)
                self._away_since, self._said = None, False
                return found
        except Exception as error:
            log.debug("no claim of %s: %s", trial, error)
        if self._away_since is None:
            self._away_since = time.monotonic()
        if other := self._finished_elsewhere(trial):
            return other
        if time.monotonic() - self._away_since < EXPIRES and (holder := self._claims.claimant(trial)):
            return f"held by {holder}"
        if not self._said:
            self._said = True
            log.warning(
                "MLflow does not answer: trials go on, but whether a session with another storage runs the same ones "
                "cannot be checked"
            )
        return "ours"

    def secure(self, trial: str) -> str:
        """Claim a trial: "ours", or "held by …" or "finished by …" a session with another storage."""
        taken = self._board.get(f"{trial}.0") is not None
        if taken and time.monotonic() - self._board.read > FRESH:
            self._board.refresh()
        if other := self._finished_elsewhere(trial):
            return other
        if not self._claims.take(trial):
            return self._finished_elsewhere(trial) or f"held by {self._claims.holder(trial) or 'another session'}"
        if taken:  # what was taken over may have been finished since the board was read
            self._board.refresh()
        return self._finished_elsewhere(trial) or "ours"

    def finish(self, trial: str, run: str) -> None:
        """MLflow has all of a finished trial's metrics: others need not run it."""
        content = {"session": self._session.name, "by": str(self._session), "run": run}
        self._board.set_finished(trial, content)

    def _finished_elsewhere(self, trial: str) -> str | None:
        found = self._board.finished(trial)
        if found is None or self._session.is_ours(found["session"]):
            return None
        return f"finished by {found['by']} in another storage; its numbers are in MLflow, run {found['run']}"


def elected_parent(client: Any, study: str, candidate: str) -> str:
    """The one parent run of a study that all sessions use: the first candidate, until someone deletes that run."""
    for number in itertools.count():
        name = f"{study}.parent.{number}"
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                client.delete_experiment(client.create_experiment(name, tags={"run": candidate}))
            except Exception as error:
                if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = client.get_experiment_by_name(name)
        run = found.tags["run"]
        if run == candidate or _is_active(client, run):
            return run
    raise AssertionError("unreachable")


def elected_claims_run(client: Any, study: str, parent: str, experiment: str) -> str:
    """The one run that holds a study's claims: the first that its parent run names."""
    known = client.get_run(parent).data.params.get("claims")
    if known is not None:
        return known
    run = client.create_run(experiment, run_name=study, tags={"role": "claims"}).info.run_id
    client.set_terminated(run)
    try:
        client.log_param(parent, "claims", run)
    except Exception as error:
        if getattr(error, "error_code", None) != "INVALID_PARAMETER_VALUE":
            raise
        client.delete_run(run)
    return client.get_run(parent).data.params["claims"]


def _is_active(client: Any, run: str) -> bool:
    try:
        return client.get_run(run).info.lifecycle_stage == "active"
    except Exception as error:
        if getattr(error, "error_code", None) != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False

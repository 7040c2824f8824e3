"""A study in MLflow: a parent run for the study, a child run for each trial.

The driver sends what the store's files hold and MLflow does not, so trials neither know of MLflow nor wait for it, and
a server that is unreachable costs nothing: what it missed is sent when it is back, in order. Sending twice changes
nothing: a metric is identified by its name, step, time and value, and a trial's run by the tag `trial_id`.
"""

import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from study.claims import Findings
from study.results import Results
from study.storage import yaml_text
from study.storage.claims import Session
from study.storage.store import Store, TrialFolder
from study.tracking import client as mlflow_client
from study.tracking import models
from study.tracking import uri as tracking_uri
from study.tracking.backlog import Backlog
from study.tracking.experiment import TrialRuns, experiment_of, is_grouped, parent_of
from study.tracking.layout import Layout
from study.tracking.outage import Outages
from study.tracking.pages import summary
from study.tracking.pages.view import dress
from study.tracking.sending import Sender
from study.tracking.uri import TrackingRefused, without_secrets
from study.tracking.writers import Writers

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two syncs."""
OTHERS = 15
"""Syncs between two looks at what other sessions leave to this one."""
OUTCOME = "outcome"
"""Tag of a study's run: the digest of the trials and the code that its summary, figures and encoder are of."""
PATIENCE = 30.0
"""Seconds that the end of a study waits for a server that does not answer."""


class Tracker:
    """Keeps a study's MLflow experiment up to date with its store; several threads and drivers may do so at once."""

    def __init__(
        self,
        study: str,
        store: Store,
        uri: str | None = None,
        owner: str | None = None,
        *,
        session: Session | None = None,
    ) -> None:
        self.study, self.store = study, store
        self.uri = tracking_uri.absolute(uri, store.path.parent)
        self.session = session or Session(store, owner)
        self.experiment_id = self.parent_id = ""
        self.is_open = False
        """whether MLflow is connected: not while the database is another machine's"""
        self._writers = Writers(tracking_uri.database(self.uri), self.session)
        self._client: MlflowClient
        self._layout: Layout
        self._sender: Sender
        self._outages = Outages(self.uri)
        self._backlog = Backlog(store, self.session, self._outages, self._writers)
        self._lock = threading.RLock()

    def open(self, study_yaml: str, plan: Mapping[str, Any]) -> None:
        """Create the database, the experiment and the study's parent run, or go on with them; later, where sessions of
        another machine write that database.

        Raises TrackingRefused within seconds where that cannot be done.
        """
        tracking_uri.check(self.uri)
        self._content = study_yaml, plan
        self._open_if_allowed()

    def _open_if_allowed(self) -> None:
        try:
            if self._writers.join():
                self._open(*self._content)
                self.is_open = True
        except TrackingRefused:
            raise
        except Exception as error:
            raise TrackingRefused(
                f"MLflow at {without_secrets(self.uri)} cannot be used: {mlflow_client.first_line(error)}; "
                f"{tracking_uri.hint(self.uri)}"
            ) from None

    def _open(self, study_yaml: str, plan: Mapping[str, Any]) -> None:
        settings = yaml_text.read(without_secrets(study_yaml))
        # A fresh database breaks when two processes migrate it at once, so drivers take turns.
        with FileLock(lock, timeout=120) if (lock := self._opening_lock()) else nullcontext():
            self._client = mlflow_client.connect(self.uri)
            experiment = experiment_of(self._client, self.uri, self.store, self.study)
            self.experiment_id = experiment.experiment_id
            self._layout = Layout(tuple(settings.get("metrics", ())), is_grouped(self._client, experiment))
            question = settings.get("question", "")
            self.parent_id = parent_of(self._client, self.experiment_id, self.study, question, self.session)
        dress(self._client, experiment, self._layout, settings)
        self._describe(question, study_yaml, plan)
        place = (self.uri, self.experiment_id, self.parent_id, self.study)
        runs = TrialRuns(self._client, *place, self.session, self._layout.name("train.loss"))
        self._sender = Sender(self._client, runs, self._layout)
        self._sender.look_for_runs(self.store)

    def watch(self, trial: TrialFolder) -> None:
        """This session runs the trial from now on."""
        self._backlog.watch(trial)

    def sync(self) -> bool:
        """Send everything that MLflow does not have yet. False: something waits for the next sync."""
        return self._sync(lambda stamp: True)

    def _sync(self, wanted: Callable[[list[int]], bool]) -> bool:
        self._backlog.look(wanted)
        return self._sync_watched()

    def _sync_watched(self) -> bool:
        with self._lock:
            return self._may_send() and self._backlog.send(self._sender)

    def _may_send(self) -> bool:
        """Whether the database is this machine's now; where it has become so, connect."""
        if self.is_open:
            return self._writers.may_write()
        self._outages.tolerate(self._open_if_allowed)
        if self.is_open:
            self._outages.tolerate(self._running)
        return self.is_open

    def _running(self) -> None:
        self._client.update_run(self.parent_id, status="RUNNING")

    @contextmanager
    def background(self, every: float = EVERY, patience: float = PATIENCE) -> Iterator[None]:
        """Sync in a thread meanwhile; at the end send the rest, until the server is silent for `patience` seconds, or
        needs more than ENDING."""
        stop = threading.Event()

        def keep_syncing() -> None:
            self._sync(lambda stamp: stamp[1] > 0)  # trials that ended in an outage, in earlier sessions
            for turn in itertools.count(1):
                if stop.wait(every):
                    return
                if turn % OTHERS == 0:
                    self._tolerantly(self._backlog.look_at_others)
                self._sync_watched()

        self._tolerantly(self._running)
        thread = threading.Thread(target=keep_syncing, name="tracking", daemon=True)
        thread.start()
        status = "KILLED"
        try:
            yield
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            stop.set()
            with self._outages.ending(patience):
                thread.join()
                self._close(status)

    @contextmanager
    def once(self, outcome: str) -> Iterator[bool]:
        """Whether the study's run lacks that outcome, by its digest; it has it once all that is sent within arrived."""
        known: dict[str, str] = {}
        self._tolerantly(lambda: known.update(self._client.get_run(self.parent_id).data.tags))
        missed = self._outages.missed
        yield (anew := known.get(OUTCOME) != outcome)
        if anew and self._outages.missed == missed:
            self._tolerantly(lambda: self._client.set_tag(self.parent_id, OUTCOME, outcome))

    def summarise(self, results: Results, found: Findings) -> None:
        """On the parent: counts, of each metric the best cell's mean and the mean over cells, findings, all trials."""
        self._tolerantly(lambda: summary.send(self._client, self.parent_id, results, found, self._layout))

    def attach(self, path: Path) -> None:
        """Upload a file to the parent run: the report, a table."""
        self._tolerantly(lambda: self._client.log_artifact(self.parent_id, str(path)))

    def log_encoder(self, results: Results) -> None:
        """Upload the best trial's encoder, if one is saved, to the run of that trial: seconds, once a study."""
        self._tolerantly(lambda: models.log_best(self._client, self._sender.ledger, results))

    def _opening_lock(self) -> Path | None:
        file = tracking_uri.database(self.uri)
        return None if file is None else file.with_name(f"{file.name}.lock")

    def _describe(self, question: str, study_yaml: str, plan: Mapping[str, Any]) -> None:
        known = self._client.get_run(self.parent_id).data.tags.get(summary.NOTE, "")
        if not known.startswith(question):  # of two sessions that set a tag at once MLflow refuses one
            self._client.set_tag(self.parent_id, summary.NOTE, question)
        self._client.log_text(self.parent_id, without_secrets(study_yaml), "study.yaml")
        self._client.log_text(self.parent_id, without_secrets(json.dumps(plan, indent=1)), "plan.json")

    def _close(self, status: str) -> None:
        done = self.sync()
        while not done and not self._outages.given_up():
            time.sleep(0.5)
            done = self._sync_watched()
        self._tolerantly(lambda: self._end(status))
        waiting = 0 if done else self._backlog.waiting()
        if waiting and not self.is_open:
            self._writers.say_what_is_left()
        elif waiting:
            log.warning(
                "%d of %d trials are not completely in MLflow at %s. Nothing is lost: all of it is in %s, "
                "and running the study again sends it",
                waiting, len(list(self.store.trials())), without_secrets(self.uri), self.store.path,
            )  # fmt: skip

    def _end(self, status: str) -> None:
        self._backlog.interrupt(self._sender)
        self._client.set_terminated(self.parent_id, status)

    def _tolerantly(self, send: Callable[[], Any]) -> None:
        with self._lock:
            if self._may_send():
                self._outages.tolerate(send)

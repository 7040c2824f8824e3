"""A study in MLflow: a parent run for the study, a child run for each trial.

The driver sends what the store's files hold and MLflow does not, so trials neither know of MLflow nor wait for it, and
a server that is unreachable costs nothing: what it missed is sent when it is back, in order. Sending twice changes
nothing: a metric is identified by its name, step, time and value, and a trial's run by the tag `trial_id`.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from study.claims import findings
from study.results import Results, cell_label
from study.storage import yaml_text
from study.storage.claims import Session
from study.storage.store import Store, TrialFolder
from study.tracking import client as mlflow_client
from study.tracking import uri as tracking_uri
from study.tracking.backlog import Backlog
from study.tracking.experiment import TrialRuns, experiment_of, parent_of
from study.tracking.outage import Outages
from study.tracking.sending import Sender
from study.tracking.uri import TrackingRefused, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two syncs."""
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
        self._client: MlflowClient
        self._sender: Sender
        self._outages = Outages(self.uri)
        self._backlog = Backlog(store, self.session, self._outages)
        self._lock = threading.RLock()

    def open(self, study_yaml: str, plan: Mapping[str, Any]) -> None:
        """Create the database, the experiment and the study's parent run, or go on with them.

        Raises TrackingRefused within seconds where that cannot be done.
        """
        tracking_uri.check(self.uri)
        question = without_secrets(yaml_text.read(study_yaml).get("question", ""))
        try:
            # A fresh database breaks when two processes migrate it at once, so drivers take turns.
            with FileLock(lock, timeout=120) if (lock := self._opening_lock()) else nullcontext():
                self._client = mlflow_client.connect(self.uri)
                self.experiment_id = experiment_of(self._client, self.uri, self.store, self.study)
                self.parent_id = parent_of(self._client, self.experiment_id, self.study, question, self.session)
            self._describe(question, study_yaml, plan)
            place = (self.uri, self.experiment_id, self.parent_id, self.study)
            self._sender = Sender(self._client, TrialRuns(self._client, *place, self.session))
            self._sender.restore_deleted(self.store)
        except TrackingRefused:
            raise
        except Exception as error:
            raise TrackingRefused(
                f"MLflow at {without_secrets(self.uri)} cannot be used: {mlflow_client.first_line(error)}; "
                f"{tracking_uri.hint(self.uri)}"
            ) from None

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
            return self._backlog.send(self._sender)

    @contextmanager
    def background(self, every: float = EVERY, patience: float = PATIENCE) -> Iterator[None]:
        """Sync in a thread meanwhile; at the end send the rest, until the server is silent for `patience` seconds, or
        needs more than ENDING."""
        stop = threading.Event()

        def keep_syncing() -> None:
            self._sync(lambda stamp: stamp[1] > 0)  # trials that ended in an outage, in earlier sessions
            while not stop.wait(every):
                self._sync_watched()

        self._tolerantly(lambda: self._client.update_run(self.parent_id, status="RUNNING"))
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

    def summarise(self, results: Results) -> None:
        """On the parent: counts, of each of the study's metrics the best cell's mean and the mean over cells, and the
        study's verdict on each claim."""
        values, tags = _summary(results)
        logged = list(mlflow_client.metrics(values, time.time(), step=0))
        self._tolerantly(lambda: self._client.log_batch(self.parent_id, logged, tags=mlflow_client.tags(tags)))

    def attach(self, path: Path) -> None:
        """Upload a file to the parent run: the report, a table."""
        self._tolerantly(lambda: self._client.log_artifact(self.parent_id, str(path)))

    def _opening_lock(self) -> Path | None:
        file = tracking_uri.database(self.uri)
        return None if file is None else file.with_name(f"{file.name}.lock")

    def _describe(self, question: str, study_yaml: str, plan: Mapping[str, Any]) -> None:
        known = self._client.get_run(self.parent_id).data.tags.get("mlflow.note.content", "")
        if known != question:  # of two sessions that set a tag at once MLflow refuses one
            self._client.set_tag(self.parent_id, "mlflow.note.content", question)
        self._client.log_text(self.parent_id, without_secrets(study_yaml), "study.yaml")
        self._client.log_text(self.parent_id, without_secrets(json.dumps(plan, indent=1)), "plan.json")

    def _close(self, status: str) -> None:
        done = self.sync()
        while not done and not self._outages.given_up():
            time.sleep(0.5)
            done = self._sync_watched()
        self._tolerantly(lambda: self._end(status))
        waiting = 0 if done else self._backlog.waiting()
        if waiting:
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
            self._outages.tolerate(send)


def _summary(results: Results) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics and tags of the parent run."""
    cells = results.cells()
    counts = results.frame["status"].value_counts()
    values = {f"trials.{status}": float(counts.get(status, 0)) for status in ("finished", "failed")}
    tags = {f"finding.{one.name}": one.outcome for one in findings(results)}
    for metric, direction in results.metrics.items():
        of_cells = cells[cells["metric"] == metric].dropna(subset=["mean"]).sort_values("mean")
        if of_cells.empty:
            continue
        best = of_cells.iloc[-1 if direction == "max" else 0]
        values |= {f"best.{metric}": best["mean"], f"mean.{metric}": of_cells["mean"].mean()}
        cell = without_secrets(cell_label({p: best[p] for p in results.varying}))
        tags[f"best.{metric}"] = f"{cell} (n = {best['n']})"
    return values, tags

"""A study in MLflow: a parent run for the study, a child run a trial. The only importer of MLflow.

The driver sends what the store's files hold and MLflow does not, so trials neither know of MLflow nor wait for it, and
a server that is unreachable costs nothing: what it missed is sent when it is back, in order. Sending twice changes
nothing: a metric is identified by its name, step, time and value, and a trial's run by the tag `trial_id`.
"""

import json
import logging
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from study.results import Results, cell_label
from study.storage import yaml_text
from study.storage.claims import Session
from study.storage.store import Store, TrialFolder, default_storage, is_local, location
from study.storage.trial_result import TrialResult
from study.tracking import schema as tracked
from study.tracking import uri as tracking_uri
from study.tracking.schema import Ledger, Sent
from study.tracking.server_claims import EXPERIMENT, RunBoard, ServerClaims, elected_claims_run, elected_parent
from study.tracking.uri import TrackingRefused, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run, RunTag

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two syncs."""
PATIENCE = 30.0
"""Seconds that the end of a study waits for a server that does not answer."""
ENDING = 120.0
"""Seconds that the end of a study takes at most, however slow the server."""
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a create_run that MLflow repeats by itself would double the run
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
"""MLflow's answers that concern one trial (its run was deleted), not the server."""


class Tracker:
    """Keeps a study's MLflow experiment up to date with its store; several threads and drivers may do so at once.

    A trial is sent by the session that holds its claim, so that no two send the same.
    """

    def __init__(
        self,
        study: str,
        store: Store,
        uri: str | None = None,
        owner: str | None = None,
        *,
        session: Session | None = None,
    ) -> None:
        self.study = study
        self.store = store
        self.uri = tracking_uri.resolve(uri, store.path.parent)
        self.session = session or Session(store, owner)
        self.owner = self.session.owner
        self.server: ServerClaims | None = None
        self._client: MlflowClient
        self.experiment_id = ""
        self.parent_id = ""
        self._ledger = Ledger("")
        self._watched: dict[str, TrialFolder] = {}  # trials that this session runs, and those with something to send
        self._ours: set[str] = set()  # trial ids that this session has claimed, here and on the server
        self._seen: dict[str, list[int]] = {}  # trial id → stamp of its files when all of it had been sent
        self._uploads: dict[str, TrialFolder] = {}  # trials whose artifacts are to be uploaded
        self._refused: set[str] = set()  # trial ids
        self._away = self._artifacts_away = False
        self._lock = threading.RLock()
        self._patience = math.inf  # seconds without an answer after which a sync ends
        self._answered = self._said = 0.0
        self._deadline = math.inf

    def open(self, study_yaml: str, plan: Mapping[str, Any]) -> None:
        """Create the database, the experiment and the study's parent run, or go on with them.

        Raises TrackingRefused within seconds where that cannot be done.
        """
        tracking_uri.check(self.uri)
        try:
            # A fresh database breaks when two processes migrate it at once, so drivers take turns.
            with FileLock(lock, timeout=120) if (lock := self._opening_lock()) else nullcontext():
                self._client = _client(self.uri)
                self.experiment_id = self._experiment(self.study)
                self.parent_id = self._parent()
                self.server = self._server_claims()
            question = without_secrets(yaml_text.read(study_yaml).get("question", ""))
            self._client.set_tag(self.parent_id, "mlflow.note.content", question)
            self._client.log_text(self.parent_id, without_secrets(study_yaml), "study.yaml")
            self._client.log_text(self.parent_id, without_secrets(json.dumps(plan, indent=1)), "plan.json")
        except TrackingRefused:
            raise
        except Exception as error:
            raise TrackingRefused(
                f"MLflow at {without_secrets(self.uri)} cannot be used: {_first_line(error)}; check the server and "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN), "
                "or leave the tracking URI out to track in a local file"
            ) from None
        self._ledger = Ledger(self.parent_id)

    def watch(self, trial: TrialFolder) -> None:
        """This session runs the trial from now on."""
        self._watched[trial.id] = trial

    def sync(self) -> bool:
        """Send everything that MLflow does not have yet. False: something waits for the next sync."""
        return self._sync(lambda stamp: True)

    def _sync(self, wanted: Callable[[list[int]], bool]) -> bool:
        for trial in self.store.trials():
            stamp = tracked.stamp(trial)
            if stamp != self._seen.get(trial.id) and wanted(stamp):
                self._watched[trial.id] = trial
        return self._sync_watched()

    def _sync_watched(self) -> bool:
        with self._lock:
            sent = self._send_all()
            return self._upload_all() and sent

    @contextmanager
    def background(self, every: float = EVERY, patience: float = PATIENCE) -> Iterator[None]:
        """Sync in a thread meanwhile; at the end send the rest, until the server is silent for `patience` seconds, or
        needs more than ENDING."""
        stop = threading.Event()

        def keep_syncing() -> None:
            self._sync(lambda stamp: stamp[1] > 0)  # trials that ended while the server was away, in earlier sessions
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
            self._answered = self._said = time.monotonic()
            self._patience, self._deadline = patience, time.monotonic() + ENDING
            thread.join()
            self._close(status)
            self._patience = self._deadline = math.inf

    def summarise(self, results: Results) -> None:
        """On the parent: counts, and of each of the study's metrics the best cell's mean and the mean over cells."""
        cells = results.cells()
        counts = results.frame["status"].value_counts()
        values = {f"trials.{status}": float(counts.get(status, 0)) for status in ("finished", "failed")}
        tags = {}
        for metric, direction in results.metrics.items():
            of_cells = cells[cells["metric"] == metric].dropna(subset=["mean"]).sort_values("mean")
            if of_cells.empty:
                continue
            best = of_cells.iloc[-1 if direction == "max" else 0]
            values |= {f"best.{metric}": best["mean"], f"mean.{metric}": of_cells["mean"].mean()}
            cell = without_secrets(cell_label({p: best[p] for p in results.varying}))
            tags[f"best.{metric}"] = f"{cell} (n = {best['n']})"
        logged = list(_metrics(values, time.time(), step=0))
        self._tolerantly(lambda: self._client.log_batch(self.parent_id, logged, tags=_tags(tags)))

    def attach(self, path: Path) -> None:
        """Upload a file to the parent run: the report, a table."""
        self._tolerantly(lambda: self._client.log_artifact(self.parent_id, str(path)))

    # The study's experiment and parent run

    def _opening_lock(self) -> Path | None:
        return Path(self.uri.removeprefix("sqlite:///") + ".lock") if self.uri.startswith("sqlite") else None

    def _is_shared(self) -> bool:
        """Whether sessions with other storages may use the same MLflow: all but the storage's own database."""
        return not is_local(self.store.path) or self.uri != f"sqlite:///{self.store.path.parent}/mlflow.db"

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            training = {"mlflow.experimentKind": "custom_model_development"}  # which of MLflow's pages opens first
            try:
                return self._client.create_experiment(name, _artifacts(self.uri, self.store), training)
            except Exception as error:
                if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                    raise
            return self._experiment(name)  # another session was faster
        if found.lifecycle_stage == "deleted":
            raise TrackingRefused(
                f"the experiment {name!r} was deleted in MLflow; bring it back with "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}`, or rename the study"
            )
        return found.experiment_id

    def _parent(self) -> str:
        found, created = self._find("tags.role = 'study'"), ""
        if found is None:
            tags = {"role": "study", **self._whose()}
            created = self._client.create_run(self.experiment_id, run_name=self.study, tags=tags).info.run_id
        candidate = found.info.run_id if found else created
        parent = elected_parent(self._client, self.study, candidate) if self._is_shared() else candidate
        if created and created != parent:
            self._client.delete_run(created)
        return parent

    def _server_claims(self) -> ServerClaims | None:
        if not self._is_shared():
            return None
        run = elected_claims_run(self._client, self.study, self.parent_id, self._experiment(EXPERIMENT))
        return ServerClaims(self.session, RunBoard(self._client, run), lambda: self._away)

    def _whose(self) -> dict[str, str]:
        return {"study": self.study, "owner": self.owner, "mlflow.user": self.owner}

    def _find(self, condition: str) -> "Run | None":
        found = self._client.search_runs([self.experiment_id], condition, max_results=1, order_by=["start_time ASC"])
        return found[0] if found else None

    def _close(self, status: str) -> None:
        done = self.sync()
        while not done and not self._given_up():
            time.sleep(0.5)
            done = self._sync_watched()
        self._tolerantly(lambda: self._end(status))
        started = {trial.id for trial in self.store.trials()}
        waiting = len(started & (self._watched.keys() | self._uploads.keys())) if not done else 0
        if waiting:
            log.warning(
                "%d of %d trials are not completely in MLflow at %s. Nothing is lost: all of it is in %s, "
                "and running the study again sends it",
                waiting, len(started), without_secrets(self.uri), self.store.path,
            )  # fmt: skip

    def _end(self, status: str) -> None:
        for trial in [self.store.trial(trial_id) for trial_id in sorted(self._ours)]:
            sent = self._ledger.read(trial)
            if sent is not None and sent.status == "RUNNING" and trial.result() is None:
                self._client.set_terminated(sent.run, "KILLED")
                sent.status = "KILLED"
                self._ledger.write(trial, sent)
        self._client.set_terminated(self.parent_id, status)

    # Trials

    def _send_all(self) -> bool:
        failed = 0
        for trial in list(self._watched.values()):
            stamp = tracked.stamp(trial)
            if stamp == self._seen.get(trial.id) or not (max(stamp) > 0 or (trial.path / "config.json").exists()):
                continue  # nothing new, or it waits for its worker
            if failed == 2 or self._given_up():  # not one trial's problem: the server is unreachable
                return False
            try:
                if not self._is_sent(trial, stamp):
                    if not self._is_ours(trial):
                        del self._watched[trial.id]
                        continue
                    self._send(trial, stamp)
            except Exception as error:
                if getattr(error, "error_code", None) in REFUSALS:
                    self._forget(trial, error)
                else:
                    self._outage("MLflow does not answer; what it misses is kept, and sent later", error)
                    failed += 1
            else:
                self._answered, self._away = time.monotonic(), False
                self._seen[trial.id] = stamp
                if stamp[1] > 0 or trial.id not in self._ours:
                    del self._watched[trial.id]
                self._say_what_is_left()
        return not failed

    def _is_ours(self, trial: TrialFolder) -> bool:
        """Whether to send a trial: by whoever holds it. A claim that no server could be asked for is asked for now."""
        if trial.id in self._ours:
            return True
        if not self.session.claims.take(trial.id):
            return False
        found = self.server.secure(trial.id) if self.server else "ours"
        if found == "ours":
            self._ours.add(trial.id)
        else:
            log.info("%s is not sent: %s", trial.id, found)
        return found == "ours"

    def _is_sent(self, trial: TrialFolder, stamp: list[int]) -> bool:
        """Whether some session has sent all of it already: then it needs no claim."""
        sent = self._ledger.read(trial)
        return (
            sent is not None and sent.stamp == stamp and (sent.uploaded == sent.ended or not trial.artifacts.exists())
        )

    def _send(self, trial: TrialFolder, stamp: list[int]) -> None:
        sent = self._ledger.read(trial) or self._begin(trial)
        if sent.stamp != stamp:
            self._send_news(trial, sent)
            sent.stamp = stamp
            self._ledger.write(trial, sent)
        if sent.uploaded != sent.ended and trial.artifacts.exists():
            self._uploads[trial.id] = trial

    def _send_news(self, trial: TrialFolder, sent: Sent) -> None:
        journal, result = trial.journal(), trial.result()
        lines = journal[sent.lines :]
        metrics = [metric for line in lines for metric in _metrics(line["metrics"], line["time"], line["epoch"])]
        if result is not None and result.ended != sent.ended:
            metrics += [
                metric
                for step, values in tracked.final(result.metrics, journal).items()
                for metric in _metrics(values, result.ended, step)
            ]
            self._log(trial, sent, metrics, tracked.outcome(result, again=sent.ended is not None))
            self._finish(trial, sent, result)
        elif lines or not sent.status:
            if sent.status not in ("", "RUNNING"):  # it was interrupted, or it failed and is tried again
                self._client.update_run(sent.run, status="RUNNING")
            self._log(trial, sent, metrics, {})
            sent.status = "RUNNING"
        sent.lines += len(lines)

    def _begin(self, trial: TrialFolder) -> Sent:
        """The trial's run: found by its tag, else created. A create that timed out may have worked, so look first."""
        found = self._find(f"tags.trial_id = '{trial.id}' and tags.`mlflow.parentRunId` = '{self.parent_id}'")
        storage = self.session.storage
        if found is not None and found.data.tags.get("storage", storage) == storage:
            return Sent(found.info.run_id)
        if found is not None:  # half of it, from a session that has left the trial to this one
            self._client.delete_run(found.info.run_id)
        content, result = trial.config(), trial.result()
        started = result.started if result else content["started"]
        identity = {"role": "trial", "trial_id": trial.id, "mlflow.parentRunId": self.parent_id, "storage": storage}
        run = self._client.create_run(
            self.experiment_id,
            start_time=int(started * 1000),
            tags=tracked.fixed(content) | identity | self._whose(),
            run_name=tracked.run_name(content),
        )
        return Sent(run.info.run_id)

    def _log(self, trial: TrialFolder, sent: Sent, metrics: "list[Metric]", tags: dict[str, str]) -> None:
        from mlflow.entities import Param

        params = [] if sent.status else [Param(name, value) for name, value in tracked.params(trial.config()).items()]
        size = tracked.METRICS_A_BATCH
        self._client.log_batch(sent.run, metrics[:size], params, _tags(tags))
        for start in range(size, len(metrics), size):
            self._client.log_batch(sent.run, metrics[start : start + size])

    def _finish(self, trial: TrialFolder, sent: Sent, result: TrialResult) -> None:
        if result.data:
            self._client.log_inputs(sent.run, [_dataset(result.data)])
        status = result.status.upper()
        self._client.set_terminated(sent.run, status, int(result.ended * 1000))
        if self.server and status == "FINISHED":
            self.server.finish(trial.id, sent.run)
        sent.status, sent.ended = status, result.ended

    def _upload_all(self) -> bool:
        """Apart from the metrics, so that an artifact store that is unreachable holds up nothing else."""
        for trial in list(self._uploads.values()):
            if self._given_up():
                return False
            sent = self._ledger.read(trial)
            if sent is not None:
                try:
                    with _on_disk(trial.artifacts) as folder:
                        self._client.log_artifacts(sent.run, str(folder))
                    self._client.set_tag(sent.run, *tracked.tables(trial))
                    sent.uploaded = sent.ended
                    self._ledger.write(trial, sent)
                except Exception as error:
                    if not self._artifacts_away:  # said once an outage
                        self._artifacts_away = True
                        self._warn("artifacts cannot be uploaded; they are kept, and sent later", error)
                    return False
                self._answered, self._artifacts_away = time.monotonic(), False
                self._say_what_is_left()
            del self._uploads[trial.id]
        return True

    # Outages

    def _tolerantly(self, send: Callable[[], Any]) -> None:
        with self._lock:
            try:
                send()
            except Exception as error:
                self._outage("MLflow does not answer", error)

    def _given_up(self) -> bool:
        now = time.monotonic()
        return now - self._answered > self._patience or now > self._deadline

    def _say_what_is_left(self) -> None:
        """While a study ends, every ten seconds."""
        if self._deadline < math.inf and time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            unsent = [trial for trial in self._watched.values() if tracked.stamp(trial) != self._seen.get(trial.id)]
            log.warning("sending what MLflow misses: %d trials left", len({t.id for t in unsent} | set(self._uploads)))

    def _forget(self, trial: TrialFolder, error: Exception) -> None:
        """Send the whole trial again next time, to a new run if its run was deleted."""
        with suppress(OSError):  # a full disk: it is refused again
            self._ledger.write(trial, None)
        if trial.id not in self._refused:
            self._refused.add(trial.id)
            log.warning("MLflow refuses trial %s: %s", trial.id, _first_line(error))

    def _outage(self, what: str, error: Exception) -> None:
        if not self._away:  # said once an outage
            self._away = True
            self._warn(what, error)

    def _warn(self, what: str, error: Exception) -> None:
        log.warning("%s: %s (%s)", without_secrets(self.uri), what, _first_line(error))


def states(study: str, uri: str | None, storage: Path) -> tuple[int, list[dict[str, Any]]]:
    """How many trials the study plans, and of each that started its state, as MLflow has them.

    A state is {"trial_id", "label", "seed", "status", "epoch", "epochs", "reason"}, as TrialStatus holds it. Raises
    TrackingRefused where no server answers, and where it has no such study.
    """
    uri = tracking_uri.resolve(uri, storage)
    tracking_uri.check(uri)
    client = _client(uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        raise TrackingRefused(f"MLflow at {without_secrets(uri)} has no study {study!r}; see `study list studies`")
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    runs = list(found)
    while found.token:
        found = client.search_runs([experiment.experiment_id], max_results=1000, page_token=found.token)
        runs += found
    trials = {run.data.tags["trial_id"]: run for run in reversed(runs) if run.data.tags.get("role") == "trial"}
    parents = [run for run in runs if run.data.tags.get("role") == "study"]
    planned = max((_planned(client, run.info.run_id) for run in parents), default=0)
    return planned, [_state(client, trial_id, run) for trial_id, run in trials.items()]


def _planned(client: "MlflowClient", parent: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return json.loads(Path(client.download_artifacts(parent, "plan.json", folder)).read_text())["trials"]
        except Exception:  # the artifact store is elsewhere, or away: the runs alone tell enough
            return 0


def _state(client: "MlflowClient", trial_id: str, run: Any) -> dict[str, Any]:
    known = {**run.data.tags, **run.data.params}
    status = {"FINISHED": "finished", "FAILED": "failed"}.get(run.info.status, "started")
    epochs = int(known.get("epochs", 0))
    epoch = epochs
    if status != "finished":
        epoch = max((metric.step for metric in client.get_metric_history(run.info.run_id, "train.loss")), default=0)
    label = (run.info.run_name or "").rpartition("seed=")[0].rstrip(", ")
    return {
        "trial_id": trial_id, "label": label, "seed": int(known.get("seed", 0)), "status": status,
        "epoch": epoch, "epochs": epochs, "reason": known.get("reason") or None,
    }  # fmt: skip


def serve(uri: str | None, storage: Path | str | None, *, port: int) -> int:
    """MLflow's pages on this machine's loopback, until interrupted; the server's exit status."""
    uri = tracking_uri.resolve(uri, location(storage) if storage else default_storage())
    if uri.startswith(("http", "databricks")):
        raise TrackingRefused(f"{without_secrets(uri)} serves its own pages: open it in a browser")
    tracking_uri.check(uri)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    with suppress(KeyboardInterrupt):
        # By environment: a URI may hold a password, and a command line is open to everyone on the machine.
        return subprocess.call(command, env={**SETTINGS, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri})
    return 0


def _client(uri: str) -> "MlflowClient":
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in os.environ})
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback a try; the tracker says it once
    from mlflow import MlflowClient

    return MlflowClient(uri)


def _artifacts(uri: str, store: Store) -> str | None:
    """Beside a local database; a server has its own place."""
    if uri.startswith(("http", "databricks")):
        return None
    storage = Path(uri.removeprefix("sqlite:///")).parent if uri.startswith("sqlite") else store.path.parent
    return (storage / "mlartifacts" / store.path.name).as_uri()


def _metrics(values: Mapping[str, Any], seconds: float, step: int) -> "Iterator[Metric]":
    from mlflow.entities import Metric

    for name, value in values.items():
        if value is not None:
            yield Metric(name, float(value), int(seconds * 1000), step)


def _tags(tags: Mapping[str, str]) -> "list[RunTag]":
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in tags.items()]


def _dataset(data: Mapping[str, Any]) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = {key: value for key, value in data.items() if key not in ("name", "digest")}
    source = json.dumps({"name": data["name"], "digest": data["digest"]})
    dataset = Dataset(data["name"], data["digest"][:36], "study", source, profile=json.dumps(profile))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "train and test")])


def _first_line(error: Exception) -> str:
    lines = [line for line in without_secrets(str(error)).splitlines() if not line.startswith("(raised as a result")]
    return lines[0][:300] if lines else type(error).__name__


@contextmanager
def _on_disk(folder: Path) -> Iterator[Path]:
    """A folder as MLflow takes it: the files of one in an object store are fetched."""
    if is_local(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as copy:
        for path in folder.iterdir():
            (Path(copy) / path.name).write_bytes(path.read_bytes())
        yield Path(copy)

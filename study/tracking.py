"""A study in MLflow: a parent run for the study, a child run a trial. The only importer of MLflow.

The driver sends what the store's files hold and MLflow does not, so trials neither know of MLflow nor wait for it, and
a server that is away costs nothing: what it missed is sent when it is back, in order. Sending twice changes nothing:
a metric is identified by its name, step, time and value, and a trial's run by the tag `trial_id`.
"""

import getpass
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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock, Timeout

from study import tracked, tracking_uri
from study.results import Results, cell_label
from study.store import Store, TrialFolder, default_storage
from study.tracked import Ledger, Sent
from study.tracking_uri import TrackingRefused, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, RunTag

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two syncs."""
PATIENCE = 30.0
"""Seconds that the end of a study waits for a server that does not answer."""
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
    """Keeps a study's MLflow experiment up to date with its store; several threads and drivers may do so at once."""

    def __init__(self, study: str, store: Store, uri: str | None = None, owner: str | None = None) -> None:
        self.study = study
        self.store = store
        self.uri = tracking_uri.resolve(uri, store.path.parent)
        self.owner = owner or _user()
        self._client: MlflowClient
        self.experiment_id = ""
        self.parent_id = ""
        self._ledger = Ledger("")
        self._seen: dict[str, tuple[int, int]] = {}  # trial id → stamp of its files when all of it had been sent
        self._uploads: dict[str, TrialFolder] = {}  # trials whose artifacts are to be uploaded
        self._refused: set[str] = set()  # trial ids
        self._away = False
        self._lock = threading.RLock()
        self._patience = math.inf  # seconds without an answer after which a sync ends
        self._answered = 0.0

    def open(self, study_yaml: str, plan: Mapping[str, Any]) -> None:
        """Create the database, the experiment and the study's parent run, or go on with them.

        Raises TrackingRefused within seconds where that cannot be done.
        """
        tracking_uri.check(self.uri)
        self.store.path.mkdir(parents=True, exist_ok=True)
        try:
            # A fresh database breaks when two processes migrate it at once, so drivers take turns.
            with FileLock(self._opening_lock(), timeout=120):
                self._client = _client(self.uri)
                self.experiment_id = self._experiment()
                self.parent_id = self._parent()
            question = without_secrets(yaml.safe_load(study_yaml).get("question", ""))
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

    def sync(self) -> bool:
        """Send everything that MLflow does not have yet. False: it is away, and something waits for the next sync."""
        with self._lock:
            try:
                with FileLock(self.store.path / ".tracking.lock", timeout=1):
                    sent = self._send_all()
                    done = self._upload_all() and sent
                self._away = self._away and not done
                return done
            except Timeout:  # another driver of this study is sending
                return False

    @contextmanager
    def background(self, every: float = EVERY, patience: float = PATIENCE) -> Iterator[None]:
        """Sync in a thread meanwhile; at the end send the rest, until the server is silent for `patience` seconds."""
        stop = threading.Event()

        def keep_syncing() -> None:
            while not stop.wait(every):
                self.sync()

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
            self._answered, self._patience = time.monotonic(), patience
            thread.join()
            self._close(status)
            self._patience = math.inf

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

    def _opening_lock(self) -> Path:
        local = self.uri.startswith("sqlite")
        return Path(self.uri.removeprefix("sqlite:///") + ".lock") if local else self.store.path / ".tracking.lock"

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.study)
        if found is None:
            training = {"mlflow.experimentKind": "custom_model_development"}  # which of MLflow's pages opens first
            return self._client.create_experiment(self.study, _artifacts(self.uri, self.store), training)
        if found.lifecycle_stage == "deleted":
            raise TrackingRefused(
                f"the experiment {self.study!r} was deleted in MLflow; bring it back with "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}`, or rename the study"
            )
        return found.experiment_id

    def _parent(self) -> str:
        run_id = self._find("tags.role = 'study'")
        if run_id is None:
            tags = {"role": "study", **self._whose()}
            run_id = self._client.create_run(self.experiment_id, run_name=self.study, tags=tags).info.run_id
        return run_id

    def _whose(self) -> dict[str, str]:
        return {"study": self.study, "owner": self.owner, "mlflow.user": self.owner}

    def _find(self, condition: str) -> str | None:
        found = self._client.search_runs([self.experiment_id], condition, max_results=1, order_by=["start_time ASC"])
        return found[0].info.run_id if found else None

    def _close(self, status: str) -> None:
        while not self.sync() and not self._given_up():
            time.sleep(0.5)
        trials = list(self.store.trials())
        self._tolerantly(lambda: self._end(status, [trial for trial in trials if trial.result() is None]))
        waiting = sum(trial.id in self._uploads or tracked.stamp(trial) != self._seen.get(trial.id) for trial in trials)
        if waiting:
            log.warning(
                "%d of %d trials are not completely in MLflow at %s. Nothing is lost: all of it is in %s, "
                "and running the study again sends it",
                waiting, len(trials), without_secrets(self.uri), self.store.path,
            )  # fmt: skip

    def _end(self, status: str, interrupted: list[TrialFolder]) -> None:
        for trial in interrupted:
            sent = self._ledger.read(trial)
            if sent is not None and sent.status == "RUNNING":
                self._client.set_terminated(sent.run, "KILLED")
                sent.status = "KILLED"
                self._ledger.write(trial, sent)
        self._client.set_terminated(self.parent_id, status)

    # Trials

    def _send_all(self) -> bool:
        failed = 0
        for trial in self.store.trials():
            stamp = tracked.stamp(trial)
            if stamp == self._seen.get(trial.id):
                continue
            if failed == 2 or self._given_up():  # not one trial's problem: the server is away
                return False
            try:
                self._send(trial)
            except Exception as error:
                if getattr(error, "error_code", None) in REFUSALS:
                    self._forget(trial, error)
                else:
                    self._outage("MLflow does not answer; what it misses is kept, and sent later", error)
                    failed += 1
            else:
                self._seen[trial.id] = stamp
                self._answered = time.monotonic()
        return not failed

    def _send(self, trial: TrialFolder) -> None:
        sent = self._ledger.read(trial) or self._begin(trial)
        lines, result = trial.journal()[sent.lines :], trial.result()
        metrics = [metric for line in lines for metric in _metrics(line["metrics"], line["time"], line["epoch"])]
        if result is not None and result["ended"] != sent.ended:
            metrics += [
                metric
                for step, values in tracked.final(result["metrics"], trial.journal()).items()
                for metric in _metrics(values, result["ended"], step)
            ]
            self._log(trial, sent, metrics, tracked.outcome(result, again=sent.ended is not None))
            self._finish(sent, result)
        elif lines or not sent.status:
            if sent.status not in ("", "RUNNING"):  # it was interrupted, or it failed and is tried again
                self._client.update_run(sent.run, status="RUNNING")
            self._log(trial, sent, metrics, {})
            sent.status = "RUNNING"
        sent.lines += len(lines)
        self._ledger.write(trial, sent)
        if sent.uploaded != sent.ended and trial.artifacts.exists():
            self._uploads[trial.id] = trial

    def _begin(self, trial: TrialFolder) -> Sent:
        """The trial's run: found by its tag, else created. A create that timed out may have worked, so look first."""
        found = self._find(f"tags.trial_id = '{trial.id}' and tags.`mlflow.parentRunId` = '{self.parent_id}'")
        if found is None:
            content, result = trial.config(), trial.result()
            started = result["started"] if result else (trial.path / "config.json").stat().st_mtime
            identity = {"role": "trial", "trial_id": trial.id, "mlflow.parentRunId": self.parent_id, **self._whose()}
            found = self._client.create_run(
                self.experiment_id,
                start_time=int(started * 1000),
                tags=tracked.fixed(content) | identity,
                run_name=tracked.run_name(content),
            ).info.run_id
        return Sent(found)

    def _log(self, trial: TrialFolder, sent: Sent, metrics: "list[Metric]", tags: dict[str, str]) -> None:
        from mlflow.entities import Param

        params = [] if sent.status else [Param(name, value) for name, value in tracked.params(trial.config()).items()]
        size = tracked.METRICS_A_BATCH
        self._client.log_batch(sent.run, metrics[:size], params, _tags(tags))
        for start in range(size, len(metrics), size):
            self._client.log_batch(sent.run, metrics[start : start + size])

    def _finish(self, sent: Sent, result: Mapping[str, Any]) -> None:
        if "data" in result:
            self._client.log_inputs(sent.run, [_dataset(result["data"])])
        status = result["status"].upper()
        self._client.set_terminated(sent.run, status, int(result["ended"] * 1000))
        sent.status, sent.ended = status, result["ended"]

    def _upload_all(self) -> bool:
        """Apart from the metrics, so that an artifact store that is away holds up nothing else."""
        for trial in list(self._uploads.values()):
            sent = self._ledger.read(trial)
            if sent is not None:
                try:
                    self._client.log_artifacts(sent.run, str(trial.artifacts))
                    self._client.set_tag(sent.run, *tracked.tables(trial))
                except Exception as error:
                    self._outage("artifacts cannot be uploaded; they are kept, and sent later", error)
                    return False
                sent.uploaded = sent.ended
                self._ledger.write(trial, sent)
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
        return time.monotonic() - self._answered > self._patience

    def _forget(self, trial: TrialFolder, error: Exception) -> None:
        """Send the whole trial again next time, to a new run if its run was deleted."""
        self._ledger.write(trial, None)
        if trial.id not in self._refused:
            self._refused.add(trial.id)
            log.warning("MLflow refuses trial %s: %s", trial.id, _first_line(error))

    def _outage(self, what: str, error: Exception) -> None:
        if not self._away:  # said once an outage
            self._away = True
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
    uri = tracking_uri.resolve(uri, Path(storage) if storage else default_storage())
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
    lines = without_secrets(str(error)).splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return str(os.getuid())

"""A study in MLflow: a parent run for the study, a child run a trial. The only importer of MLflow.

The driver sends what the store's files hold and MLflow does not yet, so trials neither know of MLflow nor wait for it,
and a server that is away costs nothing: what it missed is sent when it is back, in order. A send that is repeated
changes nothing: a metric is identified by its name, step, time and value, a trial's run by the tag `trial_id`.
How much of a trial was sent is kept beside its files, in `tracked.json`: {parent run: {"run", "lines", "status", …}}.
"""

import json
import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from study import tracking_uri
from study.results import Results, cell_label
from study.store import Store, TrialFolder, write_atomically
from study.tracking_uri import TrackingRefused, without_secrets

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds between two syncs
PATIENCE = 30.0  # seconds that the end of a study waits for a server that is away
METRICS_A_BATCH = 1000  # MLflow's own limit
PARAM_LENGTH = 500  # that every MLflow server and database takes
TAG_LENGTH = 5000
DIGEST_LENGTH = 36

# Requests end in bounded time. MLflow must not repeat them by itself: a repeated create_run would double the run.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


@dataclass
class Sent:
    """What MLflow has of one trial."""

    run: str
    lines: int = 0
    """of the journal"""
    status: str = ""
    """of the run; empty: its params are not sent yet"""
    ended: float | None = None
    """of the result that was sent; a retried trial has a later one"""
    uploaded: float | None = None
    """the same of the artifacts"""


class Tracker:
    """Keeps one study's MLflow experiment up to date with its store; safe to use from several threads and drivers."""

    def __init__(self, study: str, store: Store, uri: str | None = None, owner: str | None = None) -> None:
        self.study = study
        self.store = store
        self.uri = tracking_uri.resolve(uri, store.path.parent)
        self.owner = owner or _user()
        self.experiment_id = ""
        self.parent_id = ""
        self._client: Any = None
        self._seen: dict[str, tuple[int, int]] = {}  # trial id → size and time of its files when all was sent
        self._uploads: dict[str, TrialFolder] = {}  # trials whose artifacts wait
        self._complaints: set[str] = set()
        self._lock = threading.RLock()
        self._deadline = math.inf

    def open(self, study_yaml: str, plan: Mapping[str, Any]) -> None:
        """Create the database, the experiment and the study's parent run, or go on with them.

        Raises TrackingRefused, within seconds and before anything is written, where that is impossible.
        """
        tracking_uri.check(self.uri)
        self.store.path.mkdir(parents=True, exist_ok=True)
        try:
            # A fresh database that two processes migrate at once is broken, so drivers take turns.
            with FileLock(self.store.path.parent / ".mlflow.lock"):
                self._client = _client(self.uri)
                self.experiment_id = self._experiment()
                self.parent_id = self._parent()
            self._client.log_text(self.parent_id, without_secrets(study_yaml), "study.yaml")
            self._client.log_text(self.parent_id, without_secrets(json.dumps(plan, indent=1)), "plan.json")
        except TrackingRefused:
            raise
        except Exception as error:
            raise TrackingRefused(
                f"MLflow at {without_secrets(self.uri)} cannot be used: {_first_line(error)}; check the server, "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN), "
                "or leave the tracking URI out to track in a local file"
            ) from None

    def sync(self) -> bool:
        """Send everything that MLflow does not have yet. False: something waits for the next sync."""
        with self._lock:
            try:
                with FileLock(self.store.path / ".tracking.lock", timeout=1):
                    return self._send_all() and self._upload_all()
            except Timeout:  # another driver of this study is sending
                return False

    @contextmanager
    def background(self, every: float = EVERY, patience: float = PATIENCE) -> Iterator[None]:
        """Sync in a thread meanwhile; at the end send the rest, waiting at most `patience` seconds for the server."""
        stop = threading.Event()

        def keep_syncing() -> None:
            while not stop.wait(every):
                self.sync()

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
            self._deadline = time.monotonic() + patience
            thread.join()
            self._close(status)
            self._deadline = math.inf

    def summarise(self, metrics: Mapping[str, str]) -> None:
        """On the parent: counts, and for each of `metrics` ("max" or "min") the best cell's and the mean over cells."""
        from mlflow.entities import Metric, Param, RunTag  # noqa: F401

        results = Results.load(self.store)
        cells = results.cells()
        counts = results.frame["status"].value_counts()
        values = {f"trials.{status}": float(counts.get(status, 0)) for status in ("finished", "failed")}
        tags = {}
        for metric, direction in metrics.items():
            means = cells[cells["metric"] == metric].dropna(subset=["mean"])
            if means.empty:
                continue
            best = means.loc[means["mean"].idxmax() if direction == "max" else means["mean"].idxmin()]
            values |= {f"best.{metric}": float(best["mean"]), f"mean.{metric}": float(means["mean"].mean())}
            tags[f"best.{metric}"] = f"{cell_label({p: best[p] for p in results.varying})} (n = {best['n']})"
        now = int(time.time() * 1000)
        self._tolerantly(
            lambda: self._client.log_batch(
                self.parent_id, [Metric(name, value, now, 0) for name, value in values.items()], [], _tags(tags)
            )
        )

    def attach(self, path: Path) -> None:
        """Upload a file to the parent run: the report, a table."""
        self._tolerantly(lambda: self._client.log_artifact(self.parent_id, str(path)))

    # The study's own runs

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.study)
        if found is None:
            return self._client.create_experiment(self.study, artifact_location=_artifacts(self.uri, self.store))
        if found.lifecycle_stage == "deleted":
            raise TrackingRefused(
                f"the experiment {self.study!r} was deleted in MLflow; bring it back with "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}`, or rename the study"
            )
        return found.experiment_id

    def _parent(self) -> str:
        tags = {"role": "study", "study": self.study, "owner": self.owner, "mlflow.user": self.owner}
        run_id = (
            self._find("tags.role = 'study'")
            or self._client.create_run(self.experiment_id, run_name=self.study, tags=tags).info.run_id
        )
        self._client.update_run(run_id, status="RUNNING")
        return run_id

    def _find(self, condition: str) -> str | None:
        found = self._client.search_runs([self.experiment_id], condition, max_results=1, order_by=["start_time ASC"])
        return found[0].info.run_id if found else None

    def _close(self, status: str) -> None:
        while not self.sync() and time.monotonic() < self._deadline:
            time.sleep(0.5)
        interrupted = [trial for trial in self.store.trials() if trial.result() is None]
        for trial in interrupted:
            self._tolerantly(lambda trial=trial: self._set_status(trial, "KILLED"))  # type: ignore[misc]
        self._tolerantly(lambda: self._client.set_terminated(self.parent_id, status))
        waiting = sum(self._stamp(trial) != self._seen.get(trial.id) for trial in self.store.trials())
        if waiting or self._uploads:
            log.warning(
                "%d trials are not completely in MLflow at %s; nothing is lost (it is in %s): "
                "run the study again when the server is back, and they are sent",
                max(waiting, len(self._uploads)), without_secrets(self.uri), self.store.path,
            )  # fmt: skip

    # Trials

    def _send_all(self) -> bool:
        """Two trials in a row that cannot be sent: the server is away, and the rest waits for the next sync."""
        failed = 0
        for trial in self.store.trials():
            stamp = self._stamp(trial)
            if stamp == self._seen.get(trial.id):
                continue
            if failed == 2 or time.monotonic() > self._deadline:
                return False
            try:
                self._send(trial)
            except Exception as error:
                if not _refused(error):
                    self._complain("MLflow does not answer; what it misses is kept, and sent later", error)
                    failed += 1
                    continue
                self._complain(f"MLflow refuses trial {trial.id}", error)
                self._forget(trial)
            self._seen[trial.id] = stamp
        if not failed:
            self._complaints.clear()
        return not failed

    def _send(self, trial: TrialFolder) -> None:
        sent = self._sent(trial) or self._begin(trial)
        lines, result = trial.journal()[sent.lines :], trial.result()
        if result is not None and result["ended"] != sent.ended:
            self._log(trial, sent, lines, result)
            self._client.set_terminated(sent.run, result["status"].upper(), int(result["ended"] * 1000))
            sent.status, sent.ended = result["status"].upper(), result["ended"]
        elif lines or not sent.status:
            if sent.status not in ("", "RUNNING"):  # it was interrupted or failed, and goes on
                self._client.update_run(sent.run, status="RUNNING")
            self._log(trial, sent, lines, None)
            sent.status = "RUNNING"
        sent.lines += len(lines)
        self._remember(trial, sent)
        if sent.uploaded != sent.ended and trial.artifacts.exists():
            self._uploads[trial.id] = trial

    def _log(
        self, trial: TrialFolder, sent: Sent, lines: Sequence[Mapping[str, Any]], result: Mapping[str, Any] | None
    ) -> None:
        from mlflow.entities import Param

        metrics = [metric for line in lines for metric in _metrics(line["metrics"], line["time"], line["epoch"])]
        tags: dict[str, Any] = {}
        if result is not None:
            stepwise = {name for line in trial.journal() for name in line["metrics"]}
            final = {name: value for name, value in result["metrics"].items() if name not in stepwise}
            metrics += _metrics(final, result["ended"], step=0)
            tags = _result_tags(result)
            _log_data(self._client, sent.run, result)
        params = [] if sent.status else [Param(n, _cut(v, PARAM_LENGTH)) for n, v in _params(trial.config()).items()]
        for start in range(0, max(len(metrics), 1), METRICS_A_BATCH):
            first = start == 0
            self._client.log_batch(
                sent.run,
                metrics[start : start + METRICS_A_BATCH],
                params if first else [],
                _tags(tags) if first else [],
            )

    def _begin(self, trial: TrialFolder) -> Sent:
        """The trial's run: found by its tag, or created. Found first, because a create that timed out may have worked."""
        found = self._find(f"tags.trial_id = '{trial.id}' and tags.`mlflow.parentRunId` = '{self.parent_id}'")
        if found:
            return Sent(found)
        config = trial.config()
        tags = {tag.key: tag.value for tag in _tags(_fixed(config) | self._trial_tags(trial))}
        result = trial.result()
        started = result["started"] if result else (trial.path / "config.json").stat().st_mtime
        run = self._client.create_run(
            self.experiment_id, start_time=int(started * 1000), tags=tags, run_name=_run_name(config)
        )
        return Sent(run.info.run_id)

    def _trial_tags(self, trial: TrialFolder) -> dict[str, str]:
        return {
            "role": "trial",
            "study": self.study,
            "trial_id": trial.id,
            "owner": self.owner,
            "mlflow.user": self.owner,
            "mlflow.parentRunId": self.parent_id,
        }

    def _set_status(self, trial: TrialFolder, status: str) -> None:
        sent = self._sent(trial)
        if sent is not None and sent.status == "RUNNING":
            self._client.set_terminated(sent.run, status)
            sent.status = status
            self._remember(trial, sent)

    def _upload_all(self) -> bool:
        while self._uploads:
            trial = next(iter(self._uploads.values()))
            sent = self._sent(trial)
            if sent is not None:
                try:
                    self._client.log_artifacts(sent.run, str(trial.artifacts))
                except Exception as error:
                    self._complain("artifacts cannot be uploaded; they are kept, and sent later", error)
                    return False
                sent.uploaded = sent.ended
                self._remember(trial, sent)
            del self._uploads[trial.id]
        return True

    # What was sent

    @staticmethod
    def _stamp(trial: TrialFolder) -> tuple[int, int]:
        def stat(name: str) -> os.stat_result | None:
            with suppress(FileNotFoundError):
                return (trial.path / name).stat()
            return None

        journal, result = stat("journal.jsonl"), stat("result.json")
        return (journal.st_size if journal else -1, result.st_mtime_ns if result else -1)

    def _sent(self, trial: TrialFolder) -> Sent | None:
        known = self._tracked(trial).get(self.parent_id)
        return None if known is None else Sent(**known)

    def _remember(self, trial: TrialFolder, sent: Sent) -> None:
        content = self._tracked(trial) | {self.parent_id: asdict(sent)}
        write_atomically(trial.path / "tracked.json", json.dumps(content))

    def _forget(self, trial: TrialFolder) -> None:
        content = {parent: sent for parent, sent in self._tracked(trial).items() if parent != self.parent_id}
        write_atomically(trial.path / "tracked.json", json.dumps(content))

    @staticmethod
    def _tracked(trial: TrialFolder) -> dict[str, Any]:
        with suppress(FileNotFoundError):
            return json.loads((trial.path / "tracked.json").read_text())
        return {}

    def _tolerantly(self, send: Any) -> None:
        with self._lock:
            try:
                send()
            except Exception as error:
                self._complain("MLflow does not answer", error)

    def _complain(self, what: str, error: Exception) -> None:
        """Once an outage."""
        if what not in self._complaints:
            self._complaints.add(what)
            log.warning("%s: %s (%s)", without_secrets(self.uri), what, _first_line(error))

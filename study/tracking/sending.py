"""One trial sent to MLflow: its news, its end, its artifacts. Raises what MLflow raises."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from study.storage.store import Store, TrialFolder, is_local
from study.storage.trial_result import TrialResult
from study.tracking import client as mlflow_client
from study.tracking import schema
from study.tracking.experiment import TrialRuns
from study.tracking.schema import Ledger, Sent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sender:
    """Sends trials of a study to its experiment, each to the one run that bears its id."""

    client: "MlflowClient"
    runs: TrialRuns

    @property
    def ledger(self) -> Ledger:
        """Record of what was sent under this parent run."""
        return Ledger(self.runs.parent)

    def is_sent(self, trial: TrialFolder, stamp: list[int]) -> bool:
        """Whether some session has sent all of it already: then it needs no claim."""
        sent = self.ledger.read(trial)
        uploaded = sent is not None and (sent.uploaded == sent.ended or not trial.artifacts.exists())
        return sent is not None and sent.stamp == stamp and uploaded

    def send(self, trial: TrialFolder, stamp: list[int]) -> bool:
        """Send what MLflow lacks but the artifacts; whether these wait."""
        sent = self.ledger.read(trial) or self.runs.begin(trial)
        if sent.stamp != stamp:
            if not sent.elsewhere:
                self._send_news(trial, sent)
            sent.stamp = stamp
            self.ledger.write(trial, sent)
        return sent.uploaded != sent.ended and trial.artifacts.exists()

    def upload(self, trial: TrialFolder) -> None:
        """Send the artifacts."""
        sent = self.ledger.read(trial)
        if sent is None:
            return
        with _on_disk(trial.artifacts) as folder:
            self.client.log_artifacts(sent.run, str(folder))
        self.client.set_tag(sent.run, *schema.tables(trial))
        sent.uploaded = sent.ended
        self.ledger.write(trial, sent)

    def interrupt(self, trial: TrialFolder) -> None:
        """Say of a trial without a result that nobody runs it any more."""
        sent = self.ledger.read(trial)
        if sent is not None and sent.status == "RUNNING" and trial.result() is None:
            self.client.set_terminated(sent.run, "KILLED")
            sent.status = "KILLED"
            self.ledger.write(trial, sent)

    def restore_deleted(self, store: Store) -> None:
        """Bring back the runs that were deleted in MLflow of trials that the storage has."""
        runs = {run.data.tags.get("trial_id", ""): run.info.run_id for run in self.runs.deleted()}
        trials = [trial for trial in store.trials() if trial.id in runs]
        sent = {trial.id: self.ledger.read(trial) for trial in trials}
        deleted = [entry.run for trial_id, entry in sent.items() if entry is not None and entry.run == runs[trial_id]]
        for run in deleted:
            self.client.restore_run(run)
        if deleted:
            log.warning(
                "runs of trials that were deleted in MLflow and are restored: %d. %s has these trials; "
                "to be rid of one, delete its folder there too",
                len(deleted), store.path,
            )  # fmt: skip

    def _send_news(self, trial: TrialFolder, sent: Sent) -> None:
        journal, result = trial.journal(), trial.result()
        lines = journal[sent.lines :]
        metrics = [m for line in lines for m in mlflow_client.metrics(line["metrics"], line["time"], line["epoch"])]
        if result is not None and result.ended != sent.ended:
            metrics += [
                metric
                for step, values in schema.final(result.metrics, journal).items()
                for metric in mlflow_client.metrics(values, result.ended, step)
            ]
            self._log(trial, sent, metrics, schema.outcome(result, again=sent.ended is not None))
            self._finish(sent, result)
        elif lines or not sent.status:
            if sent.status not in ("", "RUNNING"):  # it was interrupted, or it failed and is tried again
                self.client.update_run(sent.run, status="RUNNING")
            self._log(trial, sent, metrics, {})
            sent.status = "RUNNING"
        sent.lines += len(lines)

    def _log(self, trial: TrialFolder, sent: Sent, metrics: "list[Metric]", tags: dict[str, str]) -> None:
        params = [] if sent.status else mlflow_client.params(schema.params(trial.config()))
        size = schema.METRICS_A_BATCH
        self.client.log_batch(sent.run, metrics[:size], params, mlflow_client.tags(tags))
        for start in range(size, len(metrics), size):
            self.client.log_batch(sent.run, metrics[start : start + size])

    def _finish(self, sent: Sent, result: TrialResult) -> None:
        if result.data:
            self.client.log_inputs(sent.run, [mlflow_client.dataset(result.data)])
        sent.status, sent.ended = result.status.upper(), result.ended
        self.client.set_terminated(sent.run, sent.status, mlflow_client.milliseconds(result.ended))


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

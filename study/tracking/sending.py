"""One trial sent to MLflow: its news, its end, its artifacts. Raises what MLflow raises."""

import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.storage.store import Store, TrialFolder, is_local
from study.storage.trial_result import TrialResult
from study.tracking import client as mlflow_client
from study.tracking import models, schema
from study.tracking.client import chunks
from study.tracking.experiment import TrialRuns
from study.tracking.layout import TABLE, Layout
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
    layout: Layout

    @property
    def ledger(self) -> Ledger:
        """Record of what was sent under this parent run."""
        return Ledger(self.runs.parent)

    def is_sent(self, trial: TrialFolder, stamp: list[int]) -> bool:
        """Whether some session has sent all of it already: then it needs no claim."""
        sent = self.ledger.read(trial)
        return sent is not None and sent.stamp == stamp and not self._has_artifacts(trial, sent)

    def send(self, trial: TrialFolder, stamp: list[int]) -> bool:
        """Send what MLflow lacks but the artifacts; whether these wait."""
        sent = self.ledger.read(trial) or self.runs.begin(trial)
        if sent.stamp != stamp:
            if not sent.elsewhere:
                self._send_news(trial, sent)
            sent.stamp = stamp
            self.ledger.write(trial, sent)
        return self._has_artifacts(trial, sent)

    def _has_artifacts(self, trial: TrialFolder, sent: Sent) -> bool:
        """Whether there are artifacts that were not sent: an experiment in groups has a table of each trial."""
        return sent.uploaded != sent.ended and (self.layout.grouped or trial.artifacts.exists())

    def upload(self, trial: TrialFolder) -> None:
        """Send the artifacts, and the table of what is no metric of MLflow's."""
        sent, result = self.ledger.read(trial), trial.result()
        if sent is None:
            return
        files = [f"{name}.json" for name in trial.tables()]
        if files or trial.artifacts.exists():
            with _on_disk(trial.artifacts) as folder:
                self.client.log_artifacts(sent.run, str(folder))
        if self.layout.grouped and result is not None:
            rest = self.layout.rest(result.metrics, trial.journal())
            self.client.log_text(sent.run, json.dumps(rest), TABLE)
            files.append(TABLE)
        self.client.set_tag(sent.run, *schema.tables(files))
        sent.uploaded = sent.ended
        self.ledger.write(trial, sent)
        if trial.encoder.exists():
            models.prepare()

    def interrupt(self, trial: TrialFolder) -> None:
        """Say of a trial without a result that nobody runs it any more."""
        sent = self.ledger.read(trial)
        if sent is not None and sent.status == "RUNNING" and trial.result() is None:
            self.client.set_terminated(sent.run, "KILLED")
            sent.status = "KILLED"
            self.ledger.write(trial, sent)

    def look_for_runs(self, store: Store) -> None:
        """Bring back the runs that were deleted in MLflow of trials that the storage has; forget those that are gone
        for good, so that they are sent anew."""
        sent = {trial: entry for trial in store.trials() if (entry := self.ledger.read(trial)) is not None}
        stages = self.runs.stages() if sent else {}
        deleted = [entry.run for entry in sent.values() if stages.get(entry.run) == "deleted"]
        gone = [trial for trial, entry in sent.items() if entry.run not in stages]
        for run in deleted:
            self.client.restore_run(run)
        for trial in gone:
            self.ledger.write(trial, None)
        for words, runs in (("deleted", "restored"), deleted), (("purged", "sent anew"), gone):
            if runs:
                log.warning(
                    "runs of trials that were %s in MLflow and are %s: %d. %s has these trials; to be rid of one, "
                    "delete its folder there too", *words, len(runs), store.path,
                )  # fmt: skip

    def _send_news(self, trial: TrialFolder, sent: Sent) -> None:
        journal, result = trial.journal(), trial.result()
        lines = journal[sent.lines :]
        metrics = [m for line in lines for m in self._of_epoch(line)]
        if result is not None and result.ended != sent.ended:
            metrics += [
                metric
                for step, values in self.layout.final(result.metrics, journal).items()
                for metric in mlflow_client.metrics(values, result.ended, step)
            ]
            self._log(trial, sent, metrics, schema.outcome(result, again=sent.ended is not None))
            self._finish(sent, result)
        elif lines or not sent.status:
            if again := sent.status not in ("", "RUNNING"):  # interrupted, failed or pruned, and goes on
                self.client.update_run(sent.run, status="RUNNING")
            self._log(trial, sent, metrics, {"status": "started"} if again else {})
            sent.status = "RUNNING"
        sent.lines += len(lines)

    def _of_epoch(self, line: dict[str, Any]) -> "Iterator[Metric]":
        return mlflow_client.metrics(self.layout.of_epoch(line["metrics"]), line["time"], line["epoch"])

    def _log(self, trial: TrialFolder, sent: Sent, metrics: "list[Metric]", tags: dict[str, str]) -> None:
        params = [] if sent.status else mlflow_client.params(schema.params(trial.config()))
        of_metrics, of_params = chunks(metrics, schema.METRICS_A_BATCH), chunks(params, schema.PARAMS_A_BATCH)
        for batch in zip_longest(of_metrics, of_params, [mlflow_client.tags(tags)], fillvalue=()):
            self.client.log_batch(sent.run, *batch)

    def _finish(self, sent: Sent, result: TrialResult) -> None:
        if result.data:
            self.client.log_inputs(sent.run, [mlflow_client.dataset(result.data)])
        sent.status = "KILLED" if result.status == "pruned" else result.status.upper()  # MLflow has no word for it
        sent.ended = result.ended
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

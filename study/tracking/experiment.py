"""A study's experiment, parent run and runs of its trials in MLflow: found, made, adopted."""

import itertools
import logging
import shlex
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from study.storage.claims import Session
from study.storage.store import Store, TrialFolder
from study.tracking import schema
from study.tracking.client import code, milliseconds, search
from study.tracking.schema import Sent
from study.tracking.uri import TrackingRefused, database, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

log = logging.getLogger(__name__)


KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Which of MLflow's pages an experiment opens on: model training."""
GROUPED = {"metrics": "grouped"}
"""How the metrics of an experiment's runs are named."""


def experiment_of(client: "MlflowClient", uri: str, store: Store, study: str) -> "Experiment":
    """The study's experiment. Raises TrackingRefused where it was deleted."""
    found = client.get_experiment_by_name(study)
    if found is None:
        try:
            made = client.create_experiment(study, _artifacts(uri, store), {**KIND, **GROUPED})
            return client.get_experiment(made)
        except Exception as error:
            if code(error) != "RESOURCE_ALREADY_EXISTS":
                raise
        return experiment_of(client, uri, store, study)  # another session was faster
    check_experiment(client, uri, found.experiment_id)
    _follow(uri, found.artifact_location, _artifacts(uri, store))
    return found


def is_grouped(client: "MlflowClient", experiment: "Experiment") -> bool:
    """Whether its metrics are named in groups: not where an earlier version began it, whose runs stay comparable."""
    if GROUPED.items() <= experiment.tags.items():
        return True
    begun = client.search_runs([experiment.experiment_id], max_results=1)
    if begun:  # perhaps by a session that tagged it meanwhile
        return GROUPED.items() <= client.get_experiment(experiment.experiment_id).tags.items()
    for tag, value in GROUPED.items():
        client.set_experiment_tag(experiment.experiment_id, tag, value)
    return True


def _follow(uri: str, before: str, now: str | None) -> None:
    """Where a database was copied or renamed with the artifacts beside it, the runs in it name these, not those at the
    old place: MLflow keeps absolute addresses."""
    file, study = database(uri), before.rpartition("/mlartifacts/")[2]
    if file is None or now is None or before == now or study != now.rpartition("/mlartifacts/")[2]:
        return
    old, new = (Path(unquote(urlsplit(address).path)) for address in (before, now))
    if old.exists() and not new.exists():  # the database alone was moved
        return
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column} || '/', 1, ?) = ?",
                (now, len(before) + 1, len(before) + 1, f"{before}/"),
            )
    log.warning("the storage was copied or moved: its artifacts are now looked for in %s, not in %s", new, old)


def check_experiment(client: "MlflowClient", uri: str, experiment: str) -> None:
    """Raise TrackingRefused, with the command that restores it, where an experiment was deleted."""
    found = client.get_experiment(experiment)
    if found.lifecycle_stage == "deleted":
        raise TrackingRefused(
            f"the experiment {found.name!r} was deleted in MLflow; bring it back with "
            f"`MLFLOW_TRACKING_URI={shlex.quote(without_secrets(uri))} "
            f"mlflow experiments restore --experiment-id {experiment}`, or rename the study"
        )


def parent_of(client: "MlflowClient", experiment: str, study: str, question: str, session: Session) -> str:
    """The id of the study's parent run, the same for all sessions with one storage however many start at once.

    They elect it by registers of the storage's claims ("parent.0", …), which are written once: the first that names a
    run of this experiment. A register that names a run of another server, or one that is gone, is passed over.
    """
    board, made, candidate = session.board, "", ""
    for number in itertools.count():
        run = board.get(f"parent.{number}") or ""
        if not run:
            candidate = candidate or _oldest_parent(client, experiment)
            if not candidate:
                tags = {"role": "study", "mlflow.note.content": question, **whose(study, session)}
                candidate = made = client.create_run(experiment, run_name=study, tags=tags).info.run_id
            board.put(f"parent.{number}", candidate)
            run = board.get(f"parent.{number}") or ""
        if _is_there(client, run, experiment):
            break
    if made not in ("", run):
        client.delete_run(made)
    return run


def whose(study: str, session: Session) -> dict[str, str]:
    """The tags that name study and owner."""
    return {"study": study, "owner": session.owner, "mlflow.user": session.owner}


@dataclass(frozen=True)
class TrialRuns:
    """The runs of a study's trials: one each, which bears its id as a tag."""

    client: "MlflowClient"
    uri: str
    experiment: str
    parent: str
    study: str
    session: Session
    loss: str = "train.loss"
    """the name there of what tells its epochs"""

    def begin(self, trial: TrialFolder) -> Sent:
        """The trial's run: found by its id, else created. A create that timed out may have worked, so look first."""
        found = self._found(trial)
        if found is None:
            return self._create(trial)
        times = {line["epoch"]: milliseconds(line["time"]) for line in trial.journal()}
        history = self.client.get_metric_history(found.info.run_id, self.loss)
        another = any(times.get(point.step) != point.timestamp for point in history)
        ours = found.data.tags.get("storage", self.session.storage) == self.session.storage
        if another and ours:  # its folder was deleted, and it was trained anew
            self.client.delete_run(found.info.run_id)
            return self._create(trial)
        last = max((point.step for point in history), default=0) if another else 0
        return self._adopt(found, lines=sum(epoch <= last for epoch in times), elsewhere=another)

    def _adopt(self, run: "Run", lines: int, elsewhere: bool) -> Sent:
        """Go on in a run. One that a session with another storage finished is left as it is."""
        if run.data.tags.get("mlflow.parentRunId") != self.parent:
            self.client.set_tag(run.info.run_id, "mlflow.parentRunId", self.parent)
        if elsewhere and run.info.status == "FINISHED":
            log.info("run %s is finished, from another storage: it stays as it is", run.info.run_id)
            return Sent(run.info.run_id, elsewhere=True)
        ended = 0.0 if "status" in run.data.tags else None
        return Sent(run.info.run_id, lines=lines, status=run.info.status if run.data.params else "", ended=ended)

    def _create(self, trial: TrialFolder) -> Sent:
        content, result = trial.config(), trial.result()
        started = result.started if result else content["started"]
        identity = {"role": "trial", "trial_id": trial.id, "mlflow.parentRunId": self.parent}
        run = self.client.create_run(
            self.experiment,
            start_time=milliseconds(started),
            tags=identity | {"storage": self.session.storage} | whose(self.study, self.session),
            run_name=schema.run_name(content),
        )
        return Sent(run.info.run_id)

    def _found(self, trial: TrialFolder) -> "Run | None":
        """A trial's run, under whichever parent; one that was deleted is restored."""
        found = self._search("ALL", f" and tags.trial_id = '{trial.id}'")
        there = [run for run in found if run.info.lifecycle_stage == "active"]
        if there or not found:
            return there[0] if there else None
        check_experiment(self.client, self.uri, self.experiment)
        self.client.restore_run(found[0].info.run_id)
        log.warning("the run of trial %s had been deleted in MLflow; it is restored", trial.id)
        return found[0]

    def stages(self) -> dict[str, str]:
        """Every trial's run that there is → "active" or "deleted"."""
        return {run.info.run_id: run.info.lifecycle_stage for run in self._search("ALL")}

    def _search(self, view: str, condition: str = "") -> "list[Run]":
        return search(self.client, self.experiment, f"tags.role = 'trial'{condition}", view)


def _oldest_parent(client: "MlflowClient", experiment: str) -> str:
    """That of a session with another storage, or of a version that had no registers; empty: there is none."""
    found = search(client, experiment, "tags.role = 'study'")
    return found[-1].info.run_id if found else ""


def _is_there(client: "MlflowClient", run: str, experiment: str) -> bool:
    """Whether the experiment has the run; one that was deleted is restored."""
    try:
        info = client.get_run(run).info
    except Exception as error:
        if code(error) not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return False
    if info.experiment_id == experiment and info.lifecycle_stage == "deleted":
        client.restore_run(run)
        log.warning("the study's run %s had been deleted in MLflow; it is restored", run)
    return info.experiment_id == experiment


def _artifacts(uri: str, store: Store) -> str | None:
    """Beside a local database; a server has its own place."""
    if uri.startswith(("http", "databricks")):
        return None
    file = database(uri)
    storage = store.path.parent if file is None else file.parent
    return (storage / "mlartifacts" / store.path.name).as_uri()

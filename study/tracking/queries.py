"""Queries of a study's state in MLflow, for whoever cannot read its storage."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.tracking import client as mlflow_client
from study.tracking import uri as tracking_uri
from study.tracking.uri import TrackingRefused, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient


def states(study: str, uri: str | None, storage: Path) -> tuple[int, list[dict[str, Any]]]:
    """Number of trials that the study plans, and the state of each that started, as MLflow has them.

    A state is {"trial_id", "label", "seed", "status", "epoch", "epochs", "reason"}, as TrialStatus holds it. Raises
    TrackingRefused where no server answers, and where it has no such study.
    """
    uri = tracking_uri.absolute(uri, storage)
    tracking_uri.check(uri)
    client = mlflow_client.connect(uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        raise TrackingRefused(f"MLflow at {without_secrets(uri)} has no study {study!r}; see `study list studies`")
    runs = mlflow_client.search(client, experiment.experiment_id)
    trials = {run.data.tags["trial_id"]: run for run in reversed(runs) if run.data.tags.get("role") == "trial"}
    parents = [run for run in runs if run.data.tags.get("role") == "study"]
    planned = max((_planned(client, run.info.run_id) for run in parents), default=0)
    return planned, [_state(client, trial_id, run) for trial_id, run in trials.items()]


def _planned(client: "MlflowClient", parent: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return json.loads(Path(client.download_artifacts(parent, "plan.json", folder)).read_text())["trials"]
        except Exception:  # the artifact store is elsewhere, or unreachable: the runs alone tell enough
            return 0


def _state(client: "MlflowClient", trial_id: str, run: Any) -> dict[str, Any]:
    known = {**run.data.tags, **run.data.params}
    pruned = run.info.status == "KILLED" and known.get("status") == "pruned"
    status = "pruned" if pruned else {"FINISHED": "finished", "FAILED": "failed"}.get(run.info.status, "started")
    epochs = int(known.get("epochs", 0))
    epoch = epochs
    if status != "finished":
        loss = next((name for name in ("train/loss", "train.loss") if name in run.data.metrics), None)
        epoch = max((m.step for m in client.get_metric_history(run.info.run_id, loss)), default=0) if loss else 0
    label = (run.info.run_name or "").rpartition("seed=")[0].rstrip(", ")
    return {
        "trial_id": trial_id, "label": label, "seed": int(known.get("seed", 0)), "status": status,
        "epoch": epoch, "epochs": epochs, "reason": known.get("reason") or None,
    }  # fmt: skip

"""MLflow's client: how it is set up, what it takes, what it answers."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from study.tracking.uri import database, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run, RunTag

T = TypeVar("T")

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a create_run that MLflow repeats by itself would double the run
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
PAGE = 1000
"""Runs that one search may return."""


def connect(uri: str) -> "MlflowClient":
    """A client that answers or fails within seconds, and says nothing itself."""
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in os.environ})
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback per try; the tracker logs it
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    literal = Path(uri.partition(":///")[2]).parent
    if (file := database(uri)) is not None and file.parent != literal:
        with suppress(OSError):  # MLflow (3.17) makes a folder of the address as it is written, and leaves it empty
            literal.rmdir()
    return client


def search(client: "MlflowClient", experiment: str, condition: str = "", view: str = "ACTIVE_ONLY") -> "list[Run]":
    """Every run of an experiment that meets a condition, the latest first: ACTIVE_ONLY, DELETED_ONLY, or ALL."""
    from mlflow.entities import ViewType

    kind = ViewType.from_string(view.lower())
    found = client.search_runs([experiment], condition, kind, PAGE)
    runs = list(found)
    while found.token:
        found = client.search_runs([experiment], condition, kind, PAGE, page_token=found.token)
        runs += found
    return runs


def code(error: Exception) -> str | None:
    """MLflow's code of an error; None: it is not MLflow's answer."""
    return getattr(error, "error_code", None)


def first_line(error: Exception) -> str:
    """An error in a line, without secrets."""
    lines = [line for line in without_secrets(str(error)).splitlines() if not line.startswith("(raised as a result")]
    return lines[0][:300] if lines else type(error).__name__


def metrics(values: Mapping[str, Any], seconds: float, step: int) -> "Iterator[Metric]":
    """Those that have a value, at a time in seconds since 1970."""
    from mlflow.entities import Metric

    for name, value in values.items():
        if value is not None:
            yield Metric(name, float(value), milliseconds(seconds), step)


def milliseconds(seconds: float) -> int:
    """A time as MLflow keeps it."""
    return int(seconds * 1000)


def params(values: Mapping[str, str]) -> "list[Param]":
    """Names and values as MLflow takes them."""
    from mlflow.entities import Param

    return [Param(name, value) for name, value in values.items()]


def tags(values: Mapping[str, str]) -> "list[RunTag]":
    """Names and values as MLflow takes them."""
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in values.items()]


def chunks(values: list[T], size: int) -> list[list[T]]:
    """The values in lists of at most that size."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def dataset(data: Mapping[str, Any]) -> Any:
    """A trial's data as MLflow shows what a run was trained on."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = {key: value for key, value in data.items() if key not in ("name", "digest")}
    source = json.dumps({"name": data["name"], "digest": data["digest"]})
    entity = Dataset(data["name"], data["digest"][:36], "study", source, profile=json.dumps(profile))
    return DatasetInput(entity, [InputTag("mlflow.data.context", "train and test")])

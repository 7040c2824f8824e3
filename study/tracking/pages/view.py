"""A study at first sight in MLflow's pages: accuracies and what varies, as columns and parallel coordinates."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from study.tracking.experiment import KIND
from study.tracking.layout import Layout

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

KEY = "study"
"""The view's name in the address of a page."""
WIDTHS = {"params": 100, "metrics": 160}
"""Pixels of a column."""
COMPARED = ("linear.features.top1", "knn.features.top1", "linear.floor.top1", "train.loss")
"""Columns beside the study's own metrics."""


def page(server: str, experiment: "Experiment") -> str:
    """The address of an experiment's runs at a server, in the study's view where it has one."""
    shared = f"&viewStateShareKey={KEY}" if _tag() in experiment.tags else ""
    return f"{server}/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning{shared}"


def dress(client: "MlflowClient", experiment: "Experiment", layout: Layout, settings: Mapping[str, Any]) -> None:
    """Set the experiment's tags that MLflow's pages go by; kind and description only where it has none."""
    metric, direction = next(iter(settings.get("metrics", {}).items()), ("train.loss", "min"))
    tags = {
        "mlflow.experiment.primaryMetric.name": layout.name(metric),
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(direction == "max"),
        _tag(): json.dumps(_state(settings.get("space", {}), layout, metric, direction)),
    }
    once = {**KIND, "mlflow.note.content": settings.get("question", "")}
    tags |= {name: value for name, value in once.items() if value and not experiment.tags.get(name)}
    for name, value in tags.items():
        if experiment.tags.get(name) != value:
            with suppress(Exception):  # of two sessions that set a tag at once MLflow refuses one
                client.set_experiment_tag(experiment.experiment_id, name, value)


def _tag() -> str:
    return f"mlflow.sharedViewState.{KEY}"


def _state(varying: Iterable[str], layout: Layout, metric: str, direction: str) -> dict[str, Any]:
    """Settings of MLflow's page of runs, where they are not its own."""
    params = [*varying, "seed"]
    metrics = [layout.name(name) for name in dict.fromkeys([*layout.wanted, *COMPARED])]
    columns = [*(_column("params", name) for name in params), *(_column("metrics", name) for name in metrics)]
    widths = {column: WIDTHS[column.partition(".")[0]] for column in columns}
    chart = {
        "type": "PARALLEL", "uuid": KEY, "metricSectionId": KEY, "deleted": False, "isGenerated": False,
        "showAllRuns": True, "runsCountToCompare": 100,
        "selectedParams": params[:-1], "selectedMetrics": [layout.name(name) for name in layout.wanted or (metric,)],
    }  # fmt: skip
    section = {"uuid": KEY, "name": "Comparison", "display": True, "isReordered": False, "deleted": False}
    return {
        "orderByKey": _column("metrics", layout.name(metric)), "orderByAsc": direction != "max",
        "selectedColumns": columns, "columnOrder": columns, "columnWidths": widths,
        "runsHiddenMode": "FIRST_20_RUNS", "compareRunCharts": [chart], "compareRunSections": [section],
        "isAccordionReordered": True,
    }  # fmt: skip


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"

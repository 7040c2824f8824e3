"""MLflow's pages show a study's accuracies and what varies at once, also in a browser that has never been there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.cli import main
from study.storage.store import Store
from study.tracking.pages.view import page
from study.tracking.tracker import Tracker
from study.tracking.uri import absolute
from tests.clusters import free_ports
from tests.tracking.pages.browser import browser, look, needs_browser
from tests.tracking.test_tracker import finish, start

# sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

STUDY_YAML = """
name: seen
question: Does accuracy grow with K?
space: {k: {grid: [16, 64]}, negatives: {grid: [all]}}
metrics: {linear.features.top1: max}
"""


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """Two trials of different accuracy."""
    storage = tmp_path_factory.mktemp("storage")
    store = Store.of("seen", storage)
    tracker = Tracker("seen", store, absolute(f"sqlite:///{storage}/mlflow.db", storage))
    tracker.open(STUDY_YAML, {"trials": 2})
    for k, top1 in ((16, 51.25), (64, 53.5)):
        config = {"k": k, "negatives": {"name": "all"}, "seed": 0, "epochs": 3}
        trial = start(tracker, f"trial{k}", config=config, cell={"k": k, "negatives": "all"})
        finish(trial, **{"linear.features.top1": top1, "linear.features.top5": 80.0, "geometry.uniformity": -2.0})
    assert tracker.sync()
    return tracker


def tags(tracker: Tracker) -> dict[str, str]:
    return tracker._client.get_experiment(tracker.experiment_id).tags


def test_the_view_has_what_varies_and_the_accuracies_as_columns_sorted_by_the_studys_metric(tracker: Tracker) -> None:
    found = tags(tracker)
    assert found["mlflow.experimentKind"] == "custom_model_development"
    assert found["mlflow.experiment.primaryMetric.name"] == "linear/features.top1"
    assert found["mlflow.note.content"] == "Does accuracy grow with K?"
    state = json.loads(found["mlflow.sharedViewState.study"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`linear/features.top1`", False)
    assert state["selectedColumns"][:4] == [
        "params.`k`", "params.`negatives`", "params.`seed`", "metrics.`linear/features.top1`",
    ]  # fmt: skip
    (chart,) = state["compareRunCharts"]
    assert (chart["selectedParams"], chart["selectedMetrics"]) == (["k", "negatives"], ["linear/features.top1"])


def test_an_experiment_without_a_kind_gets_one_and_keeps_its_own_description(tracker: Tracker) -> None:
    client, experiment = tracker._client, tracker.experiment_id
    client.delete_experiment_tag(experiment, "mlflow.experimentKind")
    client.set_experiment_tag(experiment, "mlflow.note.content", "my own words")
    Tracker("seen", tracker.store, tracker.uri, session=tracker.session).open(STUDY_YAML, {"trials": 2})
    found = tags(tracker)
    assert found["mlflow.experimentKind"] == "custom_model_development"
    assert found["mlflow.note.content"] == "my own words"


def test_an_unknown_study_is_refused_with_those_that_there_are(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    storage, port = str(tracker.store.path.parent), str(free_ports(1)[0])
    assert main(["ui", "sean", "--storage", storage, "--port", port]) == 2
    said = capfd.readouterr().err
    assert "study: 1 problem\n  MLflow at " in said
    assert "has no study 'sean'; it has seen" in said


def without_uri() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}


@pytest.fixture(scope="module")
def told(tracker: Tracker) -> Iterator[str]:
    """The address that `study ui` prints."""
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "study.cli", "ui", "seen", "--storage", str(tracker.store.path.parent)]
    command += ["--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=without_uri()) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@needs_browser
@pytest.mark.slow
def test_a_browser_shows_them_under_model_training(tracker: Tracker, told: str, tmp_path: Path) -> None:
    name, address = told.split(": ", 1)
    server = address.partition("/#/")[0]
    experiment = tracker._client.get_experiment(tracker.experiment_id)
    assert (name, address) == ("seen", page(server, experiment))
    with browser(tmp_path) as port:
        at, text, thrown = look(port, address, ["linear/features.top1", "53.5", "51.25"], 120)
        assert "Model training" in text
        assert "workflowType=machine_learning" in at
        assert re.search(r"53\.5\b.*51\.25\b", text, re.DOTALL), "the best comes first, no run is folded away"
        assert "Ask questions about" not in text, "no assistant beside them"
        assert thrown == []
        charts = address.replace("/runs?", "/runs?compareRunsMode=CHART&")
        _, text, thrown = look(port, charts, ["Comparison (1)", "linear (1)", "train (2)"], 120)
        assert "Comparison (1)" in text
        assert "geometry (1)" in text
        assert "linear (1)" in text, "top-5 is in the table alone"
        assert thrown == []
        at, _, _ = look(port, f"{server}/#/experiments/{tracker.experiment_id}", ["Run Name"], 120)
        assert "workflowType=machine_learning" in at, "from any other page of MLflow's, too"

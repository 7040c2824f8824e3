"""The code in docs/mlflow.md, `mlflow.search_runs` above all, is run as it stands there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from study.storage.store import Store
from study.tracking.tracker import Tracker
from tests.tracking.test_tracker import finish, start

# sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

DOCS = Path(__file__).parents[2] / "docs/mlflow.md"
STUDY_YAML = "name: quickstart\nspace: {k: {grid: [8, 64]}, temperature: {grid: [0.2, 1.0]}}\n"
ACCURACY = {(8, 0): 29.0, (8, 1): 31.0, (64, 0): 35.5, (64, 1): 36.5}


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names that the code of the docs leaves behind, for a study of eight trials in ./runs."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    tracker = Tracker("quickstart", Store.of("quickstart", tmp_path / "runs"))
    tracker.open(STUDY_YAML, {"trials": 8})
    for (k, seed), top1 in ACCURACY.items():
        for temperature in (0.2, 1.0):
            config = {"k": k, "temperature": {"name": "constant", "value": temperature}, "seed": seed}
            cell = {"k": k, "temperature": temperature}
            measured = {"linear.features.top1": top1 - temperature, "linear.features.top5": top1 + 40}
            finish(start(tracker, f"k{k}t{temperature:g}s{seed}", config=config, cell=cell), **measured)
    assert tracker.sync()
    (code,) = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(code, names)
    yield names
    mlflow.set_tracking_uri(None)


def test_the_snippet_finds_trials_by_what_varies_and_their_details(shown: dict[str, Any]) -> None:
    runs = shown["runs"]
    assert runs["tags.trial_id"].tolist() == ["k64t0.2s1", "k64t0.2s0", "k8t0.2s1", "k8t0.2s0"], "the best first"
    assert runs[["params.k", "params.temperature", "params.seed"]].to_numpy().tolist()[0] == ["64", "0.2", "1"]
    assert shown["accuracy"]["mean"].to_dict() == pytest.approx({8: 29.8, 64: 35.8})
    assert shown["accuracy"]["count"].to_dict() == {8: 2, 64: 2}
    assert sorted(shown["top5"]["value"]) == [69.0, 71.0, 75.5, 76.5]
    assert set(shown["top5"]["run_id"]) == set(runs["run_id"])

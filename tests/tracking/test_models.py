"""An encoder as MLflow's model: loaded in a process of its own that has nothing of this project."""

import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import pytest
import torch
from torch import nn

from models.encoders import as_encoder, example
from models.heads import HEADS
from study import TrialConfig
from study.planning.resolve import resolve
from study.results import Results
from study.results.encoder import TrainedEncoder, saved_of
from study.storage.store import Checkpoints, Store
from study.storage.trial_result import TrialResult
from study.tracking.models import LOGGED, log_encoder, save_model
from study.tracking.tracker import Tracker
from study.trial.run import run_trial
from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "encoders.md"
# sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

ELSEWHERE = """
import sys, warnings
warnings.simplefilter("ignore")
import mlflow.pytorch, numpy, torch
from mlflow.models import get_model_info
assert not any(name.split(".")[0] in ("models", "study") for name in sys.modules)
place, images, out = sys.argv[1:]
model = mlflow.pytorch.load_model(place)
with torch.no_grad():
    numpy.save(out, model(torch.from_numpy(numpy.load(images))).numpy())
assert (mlflow.pyfunc.load_model(place).predict(numpy.load(images)) == numpy.load(out)).all()
print(get_model_info(place).signature)
"""


def encoder_of(layers: nn.Module, precision: str = "float32") -> TrainedEncoder:
    torch.manual_seed(0)
    encoder = as_encoder(layers, example((16, 16)))
    about = {"modality": "image", "size": [16, 16], "precision": precision, "head_trained": True}
    return TrainedEncoder(encoder, HEADS["mlp"](encoder.feature_dim, dim=4), about)


class Endless(nn.Module):
    """Asks for numbers, which a graph does not have."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.mean(dim=(2, 3)) if inputs.sum().item() < 1e9 else inputs.flatten(1)


def layers() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_model_needs_no_code_of_this_project_and_gives_the_same_features(tmp_path: Path, precision: str) -> None:
    encoder = encoder_of(layers(), precision)
    save_model(encoder, tmp_path / "model")
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    arguments = [str(tmp_path / name) for name in ("model", "images.npy", "features.npy")]
    ran = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stderr
    assert "uint8" in ran.stdout
    assert "(-1, 16, 16, 3)" in ran.stdout
    expected = encoder(encoder.preprocess.tensor(images)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "features.npy"), expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two trials, each with its encoder."""
    for seed in (0, 1):
        trial = resolve(TrialConfig(**TINY | {"epochs": 1, "evaluations": ["knn"]})).under(seed)
        folder = Store.of("my-first-study", tmp_path / "runs").trial(trial.id)
        assert run_trial(trial, folder, checkpoints=Checkpoints(encoder=True)).finished
    return Store.of("my-first-study", tmp_path / "runs")


def test_the_best_trials_run_has_its_encoder_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    tracker = Tracker("my-first-study", store)
    tracker.open("name: my-first-study\n", {})
    assert tracker.sync()
    results = Results.load(store)
    for _ in range(2):
        tracker.log_encoder(results)
    client = mlflow.MlflowClient(tracker.uri)
    having = client.search_runs([tracker.experiment_id], f"tags.`{LOGGED}` != ''")
    best = saved_of(results)
    assert [run.data.tags["trial_id"] for run in having] == [best.id]
    shown: dict[str, Any] = {}
    exec(re.search(r"```python\n(import os\nimport mlflow\n.*?)```", PAGE.read_text(), re.DOTALL)[1], shown)
    mlflow.set_tracking_uri(None)
    assert shown["run_id"] == having[0].info.run_id
    encoder = results.encoder()
    assert torch.equal(shown["h"], encoder(encoder.preprocess.tensor(shown["images"])))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.slow
def test_saving_a_model_imports_little_once_it_is_prepared(tmp_path: Path) -> None:
    script = f"""
import sys
from study.study import Study
import torch
from study.tracking.client import connect
connect("sqlite:///{tmp_path}/mlflow.db").search_experiments()
from study.tracking import models
heavy = {{"torch._dynamo", "torch._inductor", "sympy"}}
assert not heavy & set(sys.modules)
models.prepare()
assert heavy <= set(sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr


def test_what_saving_an_encoder_takes_is_imported_when_the_first_trial_that_has_one_is_sent(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[bool] = []
    monkeypatch.setattr("study.tracking.models.prepare", lambda: prepared.append(True))
    first, second = store.trials()
    first.encoder.unlink()
    tracker = Tracker("s", store)
    tracker.open("name: s\n", {})
    assert tracker.sync()
    assert len(prepared) == 1, "one of the two has one"
    assert second.encoder.exists()


def test_an_encoder_that_no_graph_can_be_made_of_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Store(tmp_path).trial("abc")
    folder.write_result(TrialResult(status="finished", started=0, ended=1))
    monkeypatch.setattr("study.results.encoder.load", lambda folder: encoder_of(Endless()))
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    run = client.create_run(client.create_experiment("s", artifact_location=str(tmp_path / "artifacts")))
    log_encoder(client, run.info.run_id, folder)
    assert client.list_artifacts(run.info.run_id) == []
    (said,) = [record.getMessage() for record in caplog.records if record.name == "study.tracking.models"]
    assert "trial abc is not in MLflow, as torch.export cannot follow it" in said
    assert "\n" not in said

"""On a GPU: studies and trials in each precision, their speed, resuming, sharing, and steps that do not wait.

`make test-gpu` writes the figures into docs/results/gpu.md.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.precision import FORCE_BFLOAT16
from study import Study, grid
from study.machine import devices
from tests.gpu import measure
from tests.gpu.page import write

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(500),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

DEVICE = "cuda"
PRECISIONS = ("bfloat16", "float16", "float32")
SECONDS = 8
SHARES = 4
Found = dict[str, list[dict[str, Any]]]


@pytest.fixture(autouse=True, scope="module")
def a_gpu() -> None:
    if why := devices.why_no_cuda():
        pytest.skip(f"no GPU: {why}")
    devices.set_modes(torch.device(DEVICE))


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(cache))
    monkeypatch.delenv(FORCE_BFLOAT16, raising=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def found(a_gpu: None) -> Iterator[Found]:
    found: Found = defaultdict(list)
    yield found
    if page := os.environ.get("GPU"):
        write(Path(page), found, measure.hardware(DEVICE))


def test_the_quickstart_study_runs_in_every_precision(found: Found, tmp_path: Path) -> None:
    from search_spaces.quickstart import study

    space = {**dict(study.space), "precision": grid(*PRECISIONS)}
    rows = measure.trials_of(
        measure.run_study(replace(study, space=space, gpus=1 / SHARES), tmp_path), "quickstart, gpus=0.25"
    )
    found["studies"] += rows
    assert {row["precision"] for row in rows} == set(PRECISIONS)
    assert all(row["finished"] == row["trials (n)"] for row in rows)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_trial_of_cifar10_small_runs(precision: str, found: Found, tmp_path: Path) -> None:
    trial, what = measure.cifar10_small(precision)
    rows = measure.one_trial(trial, what, tmp_path, DEVICE)
    found["studies"] += rows
    assert [row["finished"] for row in rows] == [1]


@pytest.mark.parametrize(
    ("encoder", "side", "batch"), [("conv-small", 32, 512), ("resnet18", 32, 512), ("resnet50", 224, 16)]
)
def test_steps_beside_the_bare_encoder(encoder: str, side: int, batch: int, found: Found) -> None:
    row = measure.speed(encoder, DEVICE, side=side, batch=batch, seconds=SECONDS)
    found["speed"].append(row)
    assert float(row["ratio"]) > 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_resumed_trial_has_the_numbers_of_one_that_ran_through(precision: str, found: Found, tmp_path: Path) -> None:
    row = measure.resumed(measure.config(precision=precision), tmp_path, DEVICE)
    found["resumed"].append(row)
    assert row["different"] == 0, row["which"]


def test_trials_that_share_a_gpu_all_finish(found: Found, tmp_path: Path) -> None:
    base = measure.config(encoder="resnet18", epochs=12, batch_size=250)
    alone = measure.run_study(Study("alone", base=base, gpus=1), tmp_path / "alone")
    together = measure.run_study(Study("together", base=base, seeds=SHARES, gpus=1 / SHARES), tmp_path / "together")
    row = measure.packed(alone, together)
    found["packed"].append(row)
    assert row["finished"] == SHARES


@pytest.mark.parametrize("name", measure.BLOCKED)
def test_no_call_of_a_step_waits_for_the_gpu(name: str, found: Found) -> None:
    row = {"config": name, "steps (n)": 4, "waited": "yes"}
    found["unblocked"].append(row)
    taken = measure.unblocked(measure.config(**measure.BLOCKED[name]), DEVICE, torch.cuda.set_sync_debug_mode)
    row |= {"steps (n)": taken, "waited": "no"}

"""The examples run: each file's study as it stands but smaller, and every cell of the notebook."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray import cloudpickle

from models.negatives import STRATEGIES, Candidates
from models.objectives import OBJECTIVES, info_nce
from study import Study
from study.bounds import BOUNDS
from study.bounds.probabilities import expected_log_collisions
from study.catalogue import registries
from study.data import DATASETS
from study.execution.worker import user_modules
from study.recipes import load
from study.storage.trial_result import TrialResult

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "first_study.ipynb"
SMALLER = {"epochs": 1, "evaluation_views": 2, "data.train_size": 256, "data.test_size": 100, "batch_size": 64}


@pytest.fixture(autouse=True)
def registries_as_before() -> Iterator[None]:
    """Registries without the entries of an example, once it has run."""
    before = [(registry, dict(registry._entries), dict(registry._traits)) for registry in registries().values()]
    yield
    for registry, entries, traits in before:
        registry._entries, registry._traits = entries, traits


def smaller(name: str) -> Study:
    return load(str(EXAMPLES / f"{name}.py")).with_overrides(SMALLER)


def last_cell(name: str) -> TrialResult:
    """The result of the study's last cell, which has the example's component."""
    study = smaller(name)
    return study.run_one(len(study.known_cells()) - 1)[1]


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_an_example_trains(name: str) -> None:
    result = last_cell(name)
    assert (result.status, result.reason) == ("finished", None)
    assert np.isfinite(result.metrics["train.loss"])
    assert 0 <= result.metrics["linear.features.top1"] <= 100
    if name == "own_bound":
        lower = result.metrics["bounds.collisions.contrastive_lower"]
        assert lower == pytest.approx(result.metrics["bounds.log_collisions"] + result.metrics["bounds.gap"], rel=1e-12)
        assert result.metrics["bounds.collisions.slack"] > 0


def test_the_strategy_keeps_what_is_easier_than_the_positive() -> None:
    smaller("own_strategy")
    similarity = torch.tensor([[0.1, 0.5, 0.9], [0.3, -0.2, 0.6]])
    unit = torch.eye(3)
    candidates = Candidates(similarity, unit[:2], unit, positive=torch.tensor([0.5, 0.55]))
    kept = STRATEGIES["easier-than-positive"](margin=0.1).select(candidates, generator=torch.Generator()).log_weight
    assert kept is not None
    assert (kept == 0).tolist() == [[True, True, False], [True, True, True]]


def test_the_objective_is_info_nce_of_a_positive_that_is_farther_by_the_margin() -> None:
    smaller("own_objective")
    positive, negatives = torch.tensor([0.7, 0.2], dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64).tanh()
    found = OBJECTIVES["margin-info-nce"](positive, negatives, temperature=0.5, margin=0.2)
    scores = torch.cat([positive[:, None] - 0.2, negatives], dim=1) / 0.5
    assert found.item() == pytest.approx(-scores.log_softmax(dim=1)[:, 0].mean().item(), rel=1e-12)
    without = OBJECTIVES["margin-info-nce"](positive, negatives, temperature=0.5, margin=0.0)
    assert without == info_nce(positive, negatives, temperature=0.5)


def test_a_grating_repeats_across_its_bars_and_its_classes_are_as_declared() -> None:
    smaller("own_data")
    source = DATASETS["gratings"](noise=0.0)
    whole = source.decode()
    assert whole.shape.classes == source.available().classes == 8
    assert (len(whole.train), len(whole.test)) == (source.available().train, source.available().test)
    images = np.asarray(whole.train.inputs[:8], dtype=int)  # one of each orientation
    assert (images[0] == images[0][:1]).all(), "at 0° nothing changes from row to row"
    assert (images[4] == images[4][:, :1]).all(), "at 90° nothing from column to column"


def test_the_bound_is_met_by_the_best_encoder_there_is() -> None:
    """Classes at the corners of a simplex and a low temperature: the loss is ln(Col+1) to the share of others."""
    smaller("own_bound")
    scale, constant = BOUNDS["collisions"]().closed(4, 3, 0.05)
    assert scale == 0
    draws = np.random.default_rng(0).integers(0, 3, (200_000, 5))
    same = draws[:, 1:] == draws[:, :1]
    cosines = np.where(same, 1.0, -0.5)
    losses = np.log1p(np.exp((cosines - 1) / 0.05).sum(axis=1))
    assert losses.mean() == pytest.approx(constant, abs=4 * losses.std() / len(losses) ** 0.5)
    assert constant == pytest.approx(expected_log_collisions(4, 3))


def test_the_bound_travels_with_a_trial_to_a_worker_that_does_not_know_it() -> None:
    (trial, *_) = smaller("own_bound").trials()
    assert user_modules([trial]) == ["own_bound"]
    sent = cloudpickle.dumps(trial)
    del BOUNDS._entries["collisions"], BOUNDS._traits["collisions"]
    cloudpickle.loads(sent)
    assert BOUNDS["collisions"]().nonexistent(4, 3) == "collisions alone say nothing of the supervised loss"


def test_the_cells_of_the_notebook_run_in_their_order_and_hold_no_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    session: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        exec("".join(cell["source"]), session)
    assert len(session["results"].finished) == 4
    assert session["curves"].groupby(["k", "seed"])["epoch"].apply(list).tolist() == [[1, 2]] * 4
    assert [line.get_label() for line in session["axes"].lines] == ["k=8", "k=62"]
    assert "linear.features.top1" in session["drawing"].get_supylabel()

"""The quickstart: minutes on two cores, a net that learns, and claims that it can decide."""

from pathlib import Path

import pytest

from study.config import split_component
from study.planning.until_decided import decidable
from study.recipes import load

TRAINED_ON = 16 * 9 * 2000
"""Examples of all its trainings, which two idle cores took two and a half minutes for, evaluations and all."""


def test_it_asks_for_no_more_work_than_fits_its_minutes() -> None:
    recipe = load("quickstart")
    trials = recipe.trials()
    assert len(trials) * recipe.base.epochs * trials[0].parts.data.shape().train <= TRAINED_ON
    assert trials[0].parts.data.shape().test <= 1000


def test_it_speaks_to_claims_on_both_of_what_it_varies_under_four_seeds() -> None:
    recipe = load("quickstart")
    claims = decidable(recipe.trials())
    assert len(recipe.seeds) >= 4
    assert {"wang2021_uniformity", "wang2021_concentration", "nozawa2021_accuracy", "control_untrained"} <= set(claims)


def test_colours_tell_nothing_of_the_class() -> None:
    assert split_component(load("quickstart").base.data)[1]["colour_semantics"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("cell", [0, 1])
def test_at_the_better_temperature_a_cell_gains_twenty_points(cell: int, tmp_path: Path) -> None:
    metrics = load("quickstart").run_one(cell, storage=tmp_path)[1].metrics
    assert metrics["linear.features.top1"] - metrics["linear.floor.top1"] >= 20

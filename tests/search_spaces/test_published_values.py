"""Published values of published.csv: each of a recipe's cell and of a metric that is measured."""

import csv
from pathlib import Path

import pytest

from study.bounds.probabilities import expected_log_collisions
from study.config import split_component
from study.figures.outcome.published import published
from study.recipes import load

RESULTS = Path(__file__).parents[2] / "docs" / "results"
CLASSES = {"cifar10": 10, "cifar100": 100}


def test_each_of_the_recipes_data_is_of_one_of_its_cells() -> None:
    assert len(published()) >= 30
    for row in published():
        recipe = load(row["study"])
        if row["data"] == split_component(recipe.base.data)[0]:
            assert int(row["k"]) + 1 in {cell["batch_size"] for cell in recipe.known_cells()}


def test_each_is_of_a_metric_that_the_measured_table_has() -> None:
    with (RESULTS / "nozawa2021_small.csv").open(newline="") as file:
        measured = next(csv.reader(file))
    assert {row["metric"] for row in published()} <= set(measured)


def test_collisions_are_those_of_equal_classes() -> None:
    found = [row for row in published() if row["metric"] == "bounds.expected_log_collisions"]
    assert len(found) == 13
    for row in found:
        exact = float(expected_log_collisions(int(row["k"]), CLASSES[row["data"]]))
        assert float(row["value"]) == pytest.approx(exact, abs=0.01)  # cut off, not rounded: 0.69 for 0.697

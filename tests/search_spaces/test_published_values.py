"""Published values of docs/results/published.csv: each of a recipe's cell and of a metric that is measured."""

import csv
from pathlib import Path

import pytest

from study.bounds.probabilities import expected_log_collisions
from study.config import split_component
from study.recipes import load
from study.results import cell_label

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (RESULTS / "published.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_is_of_a_cell_of_its_recipe(rows: list[dict[str, str]]) -> None:
    assert len(rows) >= 30
    for row in rows:
        cells = [cell_label({"batch_size": cell["batch_size"]}) for cell in load(row["study"]).known_cells()]
        assert row["cell"] in cells
        assert split_component(load(row["study"]).base.data)[0] == "cifar10"
        assert "arXiv 2102.06866" in row["source"]


def test_each_is_of_a_metric_that_the_measured_table_has(rows: list[dict[str, str]]) -> None:
    with (RESULTS / "nozawa2021_small.csv").open(newline="") as file:
        measured = next(csv.reader(file))
    assert {row["metric"] for row in rows} <= set(measured)


def test_collisions_are_those_of_ten_equal_classes(rows: list[dict[str, str]]) -> None:
    found = [row for row in rows if row["metric"] == "bounds.expected_log_collisions"]
    assert len(found) == 5
    for row in found:
        k = int(row["cell"].removeprefix("batch_size=")) - 1
        exact = float(expected_log_collisions(k, 10))
        assert float(row["value"]) == pytest.approx(exact, abs=0.006)  # 2.58 is printed for 2.585

"""One description of a space serves grid, random and Optuna modes."""

import pytest

from study.space import choice, from_plain, grid, grid_cells, loguniform, randint, random_cells, to_plain, uniform


def test_a_grid_is_the_product_of_its_dimensions() -> None:
    cells = list(grid_cells({"k": grid(8, 32), "temperature": grid(0.1, 0.5, 1.0)}))
    assert len(cells) == 6
    assert {"k": 32, "temperature": 0.5} in cells


def test_draws_stay_in_range_and_the_first_ones_do_not_depend_on_the_count() -> None:
    space = {"a": uniform(1, 2), "b": loguniform(1e-3, 1), "c": randint(4, 6), "d": choice("x", "y"), "e": grid(1, 2)}
    few, many = list(random_cells(space, 5, seed=0)), list(random_cells(space, 200, seed=0))
    assert many[:5] == few
    assert all(1 <= c["a"] <= 2 and 1e-3 <= c["b"] <= 1 and c["d"] in "xy" and c["e"] in (1, 2) for c in many)
    assert {c["c"] for c in many} == {4, 5, 6}


def test_a_log_uniform_draw_is_uniform_in_the_logarithm() -> None:
    cells = list(random_cells({"b": loguniform(1e-4, 1)}, 4000, seed=1))
    assert sum(c["b"] < 1e-2 for c in cells) / 4000 == pytest.approx(0.5, abs=0.04)


def test_a_space_survives_being_written_and_read() -> None:
    space = {"k": grid(8, {"name": "x"}), "a": uniform(1, 2), "b": loguniform(0.1, 1), "c": randint(1, 9, log=True)}
    assert from_plain(to_plain(space)) == space
    assert from_plain({"k": [1, 2]}) == {"k": grid(1, 2)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grid(), "at least one value"),
        (lambda: grid(1, 2, 1), "names 1 twice"),
        (lambda: uniform(2, 1), "low < high, got 2 and 1"),
        (lambda: loguniform(0, 1), "low > 0, got 0"),
        (lambda: from_plain({"k": {"gird": [1]}}), "space.k must be one of grid, choice"),
    ],
)
def test_a_dimension_that_makes_no_sense_is_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()

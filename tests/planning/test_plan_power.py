"""Differences that a plan says its seeds will find."""

from study import Study, TrialConfig
from study.planning.plan import make_plan
from study.storage.store import Store
from tests.conftest import TINY


def planned(tmp_path, **options):
    study = Study("power", base=TrialConfig(**TINY), **options)
    return str(make_plan(study, Store.of("power", tmp_path)))


def test_a_plan_says_which_differences_its_seeds_will_find(tmp_path):
    space = {"k": {"grid": [4, 8]}, "temperature": {"grid": [0.1, 0.2, 0.3, 0.5]}}
    said = planned(tmp_path, space=space, seeds=2)
    assert "2 seeds find, in 80 % of studies, a difference of 3.3 σ between two cells, of 1.6 σ between" in said
    assert "1 seed leaves the noise unknown" in planned(tmp_path, space=space, seeds=1)


def test_of_two_cells_a_plan_tells_their_difference_alone(tmp_path):
    said = planned(tmp_path, space={"k": {"grid": [4, 8]}}, seeds=2)
    assert said.count(" σ ") == 1
    assert "between two cells (σ: a cell's spread over seeds)" in said


def test_a_slope_is_told_of_three_or_more_numbers_alone(tmp_path):
    four = {"temperature": {"grid": [0.1, 0.2]}, "k": {"grid": [4, 8]}}
    assert "end to end" not in planned(tmp_path, space=four, seeds=2)
    assert "end to end" in planned(tmp_path, space={"temperature": {"grid": [0.1, 0.2, 0.4]}}, seeds=2)


def test_a_plan_of_one_cell_compares_nothing(tmp_path):
    assert "σ" not in planned(tmp_path, space={}, seeds=3)

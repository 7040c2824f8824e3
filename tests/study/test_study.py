"""A study is checked before anything starts, counts what is done, and survives being written."""

import json
from pathlib import Path

import pytest

from models.registry import UnknownName
from study import ConfigError, Study, TrialConfig, choice, grid, loguniform, randint
from study.recipes import from_yaml, load, names, to_yaml
from study.store import Store
from tests.study.conftest import TINY


def study(**arguments: object) -> Study:
    space = {"k": grid(8, 32), "negatives": grid("all", {"name": "difficulty", "hi": 0.25})}
    return Study("s", **{"base": TrialConfig(**TINY), "space": space, "seeds": 2, **arguments})


def test_a_plan_counts_cells_seeds_and_what_is_done(tmp_path: Path) -> None:
    plan = study().plan(storage=tmp_path)
    assert (plan.cells, plan.seeds, plan.trials, plan.done, plan.pending) == (4, 2, 8, 0, 8)
    done, failed = study().points()[0].trial.id, study().points()[1].trial.id
    for trial_id, status in ((done, "finished"), (failed, "failed")):
        folder = Store.of("s", tmp_path).trial(trial_id)
        folder.write_config({})
        folder.write_result({"status": status, "seconds": 60, "metrics": {"memory.peak_mib": 100}})
    plan = study().plan(storage=tmp_path)
    assert (plan.done, plan.failed, plan.pending, plan.seconds_per_trial) == (1, 1, 6, 60)
    assert "from 1 finished trials" in str(plan)


def test_a_probe_times_real_steps(tmp_path: Path) -> None:
    plan = study(seeds=1).plan(storage=tmp_path, probe=True)
    assert plan.seconds_per_trial is not None
    assert 0 < plan.seconds_per_trial < 60
    assert plan.mib_per_trial is not None
    assert plan.measured.startswith("probed")


def test_all_cells_are_checked_before_anything_starts(tmp_path: Path) -> None:
    wrong = study(space={"k": grid(8, 127, 500), "negatives": grid("all", "difficult")})
    with pytest.raises(ConfigError) as caught:
        wrong.run(storage=tmp_path)
    assert any("k: 127 candidates" in problem for problem in caught.value.problems)
    assert any("k: 500 candidates" in problem for problem in caught.value.problems)
    assert any("did you mean 'difficulty'" in problem for problem in caught.value.problems)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": {"temprature": grid(1)}}, "space.temprature: no such key; did you mean 'temperature'?"),
        ({"space": {"seed": grid(1, 2)}}, "seeds are replicates"),
        ({"space": {"temperature": loguniform(0.1, 1)}}, "temperature is a range"),
        ({"sampler": "tpe"}, "needs the number of cells"),
        ({"sampler": "bayes"}, "'bayes' is none of grid, random, tpe"),
        ({"seeds": [1, 1]}, "distinct whole numbers"),
        ({"metrics": {"linear.features.top1": "high"}}, "the direction is max or min, got 'high'"),
        ({"cpus": 0}, "cpus must be above 0"),
        ({"space": [{"k": grid(8)}, {"temprature": grid(1)}]}, "did you mean 'temperature'?"),
        ({"space": [{"k": grid(8)}, {"k": grid(9)}], "sampler": "random", "cells": 2}, "draws from one space, got 2"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.").replace("?", r"\?")):
        study(**arguments)


def test_several_spaces_are_taken_together_and_overridden_together() -> None:
    several = study(space=[{"k": grid(8, 32)}, {"negatives": grid("hardest", "ball"), "k": grid(16)}], seeds=1)
    expected = [{"k": 8}, {"k": 32}, {"negatives": "hardest", "k": 16}, {"negatives": "ball", "k": 16}]
    assert [point.cell for point in several.points()] == expected
    assert [space["k"] for space in several.with_overrides({"k": [4, 5]}).spaces] == [grid(4, 5)] * 2
    fixed = several.with_overrides({"k": 9})
    assert (fixed.base.k, [list(space) for space in fixed.spaces]) == (9, [[], ["negatives"]])
    with pytest.raises(ConfigError, match="are the same trial"):
        study(space=[{"k": grid(8)}, {"k": grid(8, 9)}]).points()


def test_two_cells_that_are_the_same_trial_are_refused() -> None:
    with pytest.raises(ConfigError, match="are the same trial; drop one"):
        study(space={"k": grid(None, 126)}).points()


def test_random_cells_are_the_same_every_time_and_grow_with_the_number() -> None:
    space = {"temperature": loguniform(0.05, 1), "k": randint(4, 126), "negatives": choice("all", "without_same_class")}
    few, many = (study(space=space, sampler="random", cells=n, seeds=1).points() for n in (3, 5))
    assert [p.trial.id for p in few] == [p.trial.id for p in many][:3]


def test_a_study_is_the_same_after_being_written_and_read() -> None:
    space = {"temperature": loguniform(0.05, 1), "k": grid(4, 8), "negatives": grid({"name": "uniform", "count": 3})}
    several = [{"k": grid(4, 8)}, {"negatives": grid("hardest")}]
    tpe = study(space=space, sampler="tpe", cells=7, metrics={"contrastive.loss": "min"})
    for original in (study(), study(space=several), tpe):
        assert from_yaml(to_yaml(original, [])) == original
    assert [p.trial.id for p in from_yaml(to_yaml(study(), [])).points()] == [p.trial.id for p in study().points()]


def test_overrides_set_base_space_and_study() -> None:
    changed = study().with_overrides({"epochs": 1, "encoder.width": 8, "k": [4, 6, 8], "negatives": "all", "seeds": 1})
    assert changed.base.epochs == 1
    assert changed.base.encoder == {"name": "conv-small", "width": 8}
    assert dict(changed.space) == {"k": grid(4, 6, 8)}
    assert changed.base.negatives == "all"
    assert changed.seeds == (0,)
    with pytest.raises(ConfigError, match="epoch: no such key; did you mean 'epochs'"):
        study().with_overrides({"epoch": 1})


def test_studies_are_found_by_name_and_file(tmp_path: Path) -> None:
    assert load("quickstart").name == "quickstart"
    with pytest.raises(UnknownName, match="did you mean 'quickstart'"):
        load("quikstart")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(str(tmp_path / "none.py"))
    (tmp_path / "mine.py").write_text("from study import Study\nstudy = Study('mine')\n")
    assert load(str(tmp_path / "mine.py")).name == "mine"
    (tmp_path / "study.yaml").write_text(to_yaml(study(), []))
    assert load(str(tmp_path / "study.yaml")) == study()
    (tmp_path / "bad.yaml").write_text(json.dumps({"nmae": "x"}))
    with pytest.raises(ConfigError, match="nmae: no such key; did you mean 'name'"):
        load(str(tmp_path / "bad.yaml"))


@pytest.mark.parametrize("name", names())
def test_every_recipe_says_its_question_and_is_short(name: str) -> None:
    recipe = load(name)
    assert recipe.name == name
    assert recipe.question.endswith("?")
    assert len((Path(__file__).parents[2] / "search_spaces" / f"{name}.py").read_text().splitlines()) <= 40


def test_the_quickstart_sweeps_k_temperature_and_strategy_in_at_least_twelve_trials() -> None:
    recipe = load("quickstart")
    assert {"k", "temperature", "negatives"} <= set(recipe.space)
    assert len(recipe.points()) >= 12

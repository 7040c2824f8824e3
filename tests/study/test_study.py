"""A study is checked before anything starts, counts what is done, and survives being written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from models.registry import UnknownName
from study import ConfigError, Study, TrialConfig, choice, grid, loguniform, randint
from study.config import plain_value
from study.planning import cost
from study.recipes import from_yaml, load
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from tests.conftest import TINY


def study(**arguments: object) -> Study:
    space = {"k": grid(8, 32), "negatives": grid("all", {"name": "difficulty", "hi": 0.25})}
    return Study(**{"name": "s", "base": TrialConfig(**TINY), "space": space, "seeds": 2, **arguments})


def test_a_plan_counts_cells_seeds_and_what_is_done(tmp_path: Path) -> None:
    plan = study().plan(storage=tmp_path)
    assert (plan.cells, plan.seeds, plan.trials, plan.done, plan.pending) == (4, 2, 8, 0, 8)
    done, failed = study().trials()[0].id, study().trials()[1].id
    for trial_id, status in ((done, "finished"), (failed, "failed")):
        folder = Store.of("s", tmp_path).trial(trial_id)
        folder.write_config({})
        metrics = {"memory.peak_mib": 100.0}
        folder.write_result(TrialResult(status=status, metrics=metrics, started=0, ended=70, seconds=60))
    plan = study().plan(storage=tmp_path)
    assert (plan.done, plan.failed, plan.pending, plan.seconds_per_trial) == (1, 1, 6, 60)
    assert "from 1 finished trials" in str(plan)


def test_a_probe_times_real_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "start", lambda measure: 7.0)  # a run on Ray: in the slow tests of tests/planning
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
        ({"sampler": "random", "cells": 3, "space": {}}, "needs something to draw"),
        ({"sampler": "random", "cells": 3.5}, "cells: takes a whole number, got 3.5"),
        ({"name": 5}, "name: takes a text, got 5"),
        ({"name": "x" * 101}, "up to 100 letters"),
        ({"base": 3}, "base: takes a TrialConfig"),
        ({"base": {"epoch": 3}}, "did you mean 'epochs'?"),
        ({"base": TrialConfig(seed=3)}, "write seeds=[3]"),
        ({"space": {"k": 8}}, "space.k must be one of grid, choice"),
        ({"space": [3]}, "space: takes a mapping such as {k: [16, 64]}, or a list of mappings, got 3"),
        ({"seeds": True}, "seeds: takes a count such as 3"),
        (
            {"seeds": [0, "x"]},
            "seeds: takes a count such as 3, or distinct whole numbers from 0 to 2**63 - 1; got [0, 'x']",
        ),
        ({"seeds": [1.5]}, "distinct whole numbers from 0 to 2**63 - 1; got [1.5]"),
        ({"metrics": "linear.features.top1"}, "metrics: takes a mapping"),
        ({"cpus": float("nan")}, "cpus: takes a finite number such as 0.5, got nan"),
        ({"gpus": "one"}, "gpus: takes a finite number such as 0.5, got 'one'"),
        ({"checkpoints": True}, "checkpoints: takes a whole number, got True"),
        ({"keep_checkpoint": "maybe"}, "keep_checkpoint: takes true or false, got 'maybe'"),
        ({"seeds": [1, 1]}, "distinct whole numbers"),
        ({"seeds": [2**63]}, "distinct whole numbers from 0 to 2**63 - 1; got [9223372036854775808]"),
        ({"seeds": [-1]}, "got [-1]"),
        ({"seeds": []}, "got []"),
        ({"metrics": {"linear.features.top1": "high"}}, "the direction is max or min, got 'high'"),
        ({"cpus": 0}, "cpus must be above 0"),
        ({"cpus": 1e-9}, "cpus must be above 0"),
        ({"gpus": 1e-9}, "gpus must be 0"),
        ({"space": [{"k": grid(8)}, {"temprature": grid(1)}]}, "did you mean 'temperature'?"),
        ({"space": [{"k": grid(8)}, {}], "sampler": "random", "cells": 2}, "needs something to draw"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        study(**arguments)


def test_plain_values_are_taken_as_study_yaml_has_them() -> None:
    plain = study(base={"epochs": 3}, space={"k": [8, 32]}, seeds=None)
    assert (plain.base, plain.space, plain.seeds) == (TrialConfig(epochs=3), {"k": grid(8, 32)}, (0,))


def test_numpy_values_are_the_trials_of_plain_ones() -> None:
    plain = Study("s", base=TrialConfig(**TINY, k=8), space={"temperature": grid(0.1, 0.5)}, seeds=2, cpus=1)
    same = Study(
        "s",
        base=TrialConfig(**TINY, k=np.int64(8)),
        space={"temperature": grid(*np.array([0.1, 0.5], dtype=np.float32))},
        seeds=np.arange(2),
        cpus=np.int64(1),
    )
    assert same == plain
    assert [trial.id for trial in same.trials()] == [trial.id for trial in plain.trials()]
    assert same.to_yaml() == plain.to_yaml()


def test_paths_and_numbers_of_numpy_become_plain() -> None:
    found = plain_value({"root": Path("a/b"), "lr": np.float32(0.1), "ks": np.arange(2), "on": np.bool_(True)})
    assert found == {"root": "a/b", "lr": 0.1, "ks": [0, 1], "on": True}
    assert [type(value) for value in found.values()] == [str, float, list, bool]


def test_a_list_given_to_grid_is_to_be_unpacked() -> None:
    with pytest.raises(ValueError, match=re.escape("got the list [8, 16]; unpack it: grid(*values)")):
        grid([8, 16])


def test_several_spaces_are_taken_together_and_overridden_together() -> None:
    several = study(space=[{"k": grid(8, 32)}, {"negatives": grid("hardest", "ball"), "k": grid(16)}], seeds=1)
    expected = [{"k": 8}, {"k": 32}, {"negatives": "hardest", "k": 16}, {"negatives": "ball", "k": 16}]
    assert [trial.cell for trial in several.trials()] == expected
    assert [space["k"] for space in several.with_overrides({"k": [4, 5]}).spaces] == [grid(4, 5)] * 2
    fixed = several.with_overrides({"k": 9})
    assert (fixed.base.k, [list(space) for space in fixed.spaces]) == (9, [[], ["negatives"]])
    with pytest.raises(ConfigError, match="are the same trial"):
        study(space=[{"k": grid(8)}, {"k": grid(8, 9)}]).trials()


def test_two_cells_that_are_the_same_trial_are_refused() -> None:
    with pytest.raises(ConfigError, match="are the same trial; drop one"):
        study(space={"k": grid(None, 126)}).trials()


def test_random_cells_are_the_same_every_time_and_grow_with_the_number() -> None:
    space = {"temperature": loguniform(0.05, 1), "k": randint(4, 126), "negatives": choice("all", "without_same_class")}
    few, many = (study(space=space, sampler="random", cells=n, seeds=1).trials() for n in (3, 5))
    assert [p.id for p in few] == [p.id for p in many][:3]


def test_a_study_is_the_same_after_being_written_and_read() -> None:
    space = {"temperature": loguniform(0.05, 1), "k": grid(4, 8), "negatives": grid({"name": "uniform", "count": 3})}
    several = [{"k": grid(4, 8)}, {"negatives": grid("hardest")}]
    tpe = study(space=space, sampler="tpe", cells=7, metrics={"contrastive.loss": "min"})
    for original in (study(), study(space=several), tpe):
        assert from_yaml(original.to_yaml()) == original
    assert [p.id for p in from_yaml(study().to_yaml()).trials()] == [p.id for p in study().trials()]


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
    (tmp_path / "study.yaml").write_text(study().to_yaml())
    assert load(str(tmp_path / "study.yaml")) == study()
    (tmp_path / "bad.yaml").write_text(json.dumps({"nmae": "x"}))
    with pytest.raises(ConfigError, match="nmae: no such key; did you mean 'name'"):
        load(str(tmp_path / "bad.yaml"))


def test_the_quickstart_asks_one_question_under_four_seeds() -> None:
    """So that its claims can be decided: a cell under one seed has no noise to be held against."""
    recipe = load("quickstart")
    assert set(recipe.space) == {"k", "temperature"}
    assert len(recipe.seeds) >= 4
    assert len(recipe.trials()) >= 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: x\nversion: 2", "version: no such key"),
        ("name: x\nmodule: [mine]", "module: no such key; did you mean 'modules'? (known: name, base, space,"),
        (
            "name: x\nspace: {k: [1, 2]}\nseeds: 2\nspace: {temperature: [1]}",
            'line 4, column 1: found duplicate key "space"; keep one',
        ),
        ("name: x\nspace: {k: {grid: [1]}, k: {grid: [2]}}", 'line 2, column 25: found duplicate key "k"; keep one'),
        ("name: x\nbase: [a]", "base: takes a TrialConfig, in study.yaml a mapping"),
        ("name: x\nbase: {3: 3}", "a key must be a text, got 3"),
        ("name: x\nspace: 3", "space: takes a mapping such as"),
        ("name: x\nspace: {3: [1]}", "space: a path is a text such as k or temperature, got 3"),
        ("name: x\nspace: {k: []}", "space.k: grid needs at least one value"),
        ("name: x\nspace: {k: {grid: 3}}", "space.k: grid is written grid: [0.1, 0.5], got 3"),
        ("name: x\nspace: {k: {uniform: [1]}}", "space.k: uniform is written uniform: {low: 1, high: 10}, got [1]"),
        ("name: x\nspace: {k: {uniform: {low: 1, hig: 2}}}", "space.k: uniform is written"),
        ("name: x\nspace: {k: {uniform: [a, b]}}", "space.k: uniform needs two finite numbers, got 'a' and 'b'"),
        ("name: x\nspace: {k: {uniform: [0, .inf]}}", "space.k: uniform needs two finite numbers"),
        ("name: x\nspace: {k: {randint: [1.5, 9]}}", "space.k: randint needs two whole numbers, got 1.5 and 9"),
        ("name: x\nspace: {k: {randint: {low: 1, high: 9, log: x}}}", "space.k: randint: log is true or false"),
        ("name: x\nmodules: mine", "modules: takes a list of module names"),
        ("name: x\nmodules: [..mine]", "modules: takes a list of module names"),
    ],
)
def test_a_study_yaml_that_is_wrong_is_refused_with_the_place_and_the_form(content: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_yaml(content)
    assert message in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_part_is_set_after_its_whole_whatever_their_order() -> None:
    space = {"encoder.width": grid(4, 8), "encoder": grid("conv-small")}
    widths = {trial.config["encoder"]["width"] for trial in study(space=space, seeds=1).trials()}
    assert widths == {4, 8}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"negatives.hi": 0.5}, "negatives.hi: the space gives negatives as a whole, so this changes nothing"),
        ({"seed": 3}, "set seeds=3, or seeds=[3]"),
        ({"base.epochs": 3}, "base.epochs: no such key; set what is in it, such as epochs=…"),
        ({"space": {"k": [8]}}, "space: no such key; set what is in it"),
    ],
)
def test_an_override_that_would_change_nothing_is_refused(overrides: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        study().with_overrides(overrides)
    assert message in str(caught.value)


def test_a_number_format_that_the_device_would_emulate_is_refused_by_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_BFLOAT16", "0")
    with pytest.raises(ConfigError, match="float16 is for GPUs, and gpus=0 is the CPU; set gpus=1, or precision=auto"):
        Study("s", base=TrialConfig(**TINY, precision="float16")).plan()
    with pytest.raises(ConfigError, match=r"precision 'bfloat16' needs a CPU with AMX .* give precision='auto'"):
        Study("s", base=TrialConfig(**TINY, precision="bfloat16")).plan()
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")  # the trials run on other machines
    assert Study("s", base=TrialConfig(**TINY, precision="bfloat16")).plan().pending == 1

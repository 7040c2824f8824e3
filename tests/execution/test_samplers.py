"""The samplers go on from what the store has finished, towards the number of cells that was asked for."""

import importlib.util
from contextlib import nullcontext
from pathlib import Path

import pytest

from study import ConfigError, Study, TrialConfig, choice, loguniform, uniform
from study.execution import samplers
from study.planning.plan import check_study
from study.planning.search import optuna_samplers
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.trial import Trial
from tests.conftest import TINY

SPACE = {"temperature": loguniform(0.05, 1), "negatives": choice("all", {"name": "uniform", "fraction": 0.5})}


def study(**arguments: object) -> Study:
    defaults = {"base": TrialConfig(**TINY), "space": SPACE, "sampler": "tpe", "cells": 4, "seeds": 2}
    return Study("s", **{**defaults, **arguments})


def sampler_of(of: Study, store: Store) -> samplers.Sampler:
    return samplers.sampler_of(of, check_study(of), store)


def finish(store: Store, trial: Trial, metrics: dict | None = None, status: str = "finished") -> TrialResult:
    folder = store.trial(trial.id)
    folder.write_config({"config": trial.config, "cell": trial.cell, "seed": trial.seed})
    metrics = metrics or {"linear.features.validation.top1": 50.0}
    result = TrialResult(status=status, metrics=metrics, started=0, ended=1)
    folder.write_result(result)
    return result


def drain(sampler, store: Store, limit: int = 100, value=lambda trial: 50.0) -> list[Trial]:
    trials = []
    while len(trials) < limit and (trial := sampler.next()) is not None:
        trials.append(trial)
        sampler.tell(trial, finish(store, trial, {"linear.features.validation.top1": value(trial)}))
    return trials


def test_tpe_runs_every_cell_under_every_seed_and_stops_at_the_number(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    trials = drain(sampler_of(study(), store), store)
    assert len(trials) == 8
    assert len({p.id for p in trials}) == 8
    assert {p.seed for p in trials} == {0, 1}
    assert drain(sampler_of(study(), store), store) == []


def test_tpe_goes_on_from_an_interrupted_cell_towards_the_number(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    first = drain(sampler_of(study(), store), store, limit=3)
    rest = drain(sampler_of(study(), store), store)
    assert len(rest) == 5
    assert rest[0].cell == first[2].cell
    assert rest[0].seed == 1
    assert len(drain(sampler_of(study(cells=6), store), store)) == 4


def test_tpe_learns_where_the_metric_is_better(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    trials = drain(
        sampler_of(study(cells=30, seeds=1), store), store, value=lambda trial: -abs(trial.cell["temperature"] - 0.2)
    )
    late = [p.cell["temperature"] for p in trials[-10:]]
    assert sum(0.1 < t < 0.4 for t in late) >= 6


def test_a_failed_trial_does_not_stop_the_others(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    sampler = sampler_of(study(), store)
    trial = sampler.next()
    assert trial is not None
    sampler.tell(trial, finish(store, trial, {}, status="failed"))
    assert len(drain(sampler, store)) == 7


def test_several_metrics_are_optimised_at_once(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    both = study(metrics={"linear.features.top1": "max", "train.loss": "min"}, seeds=1)
    sampler = sampler_of(both, store)
    for _ in range(4):
        trial = sampler.next()
        assert trial is not None
        sampler.tell(trial, finish(store, trial, {"linear.features.validation.top1": 1.0, "train.loss": 2.0}))
    assert sampler.next() is None


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_a_list_gives_interrupted_points_first_and_finished_ones_never(tmp_path: Path, sampler: str) -> None:
    store = Store.of("s", tmp_path)
    listed = study(
        space={"temperature": choice(0.1, 0.2, 0.5)}, sampler=sampler, cells=3 if sampler == "random" else None
    )
    trials = listed.trials()
    finish(store, trials[0])
    store.trial(trials[-1].id).append({"epoch": 1, "time": 0, "metrics": {}})
    order = [p.id for p in drain(sampler_of(listed, store), store)]
    assert order[0] == trials[-1].id
    assert len(order) == len(trials) - 1


def test_a_list_goes_seed_by_seed_so_that_what_has_run_is_whole_pairs(tmp_path: Path) -> None:
    listed = study(space={"temperature": choice(0.1, 0.2, 0.5)}, sampler="grid", cells=None, seeds=[7, 3])
    store = Store.of("s", tmp_path)
    order = [(trial.seed, trial.cell["temperature"]) for trial in drain(sampler_of(listed, store), store)]
    assert order == [(seed, temperature) for seed in (7, 3) for temperature in (0.1, 0.2, 0.5)]


CONDITIONAL = [
    {"negatives": choice("all"), "temperature": loguniform(0.05, 1)},
    {
        "negatives": choice({"name": "difficulty"}),
        "negatives.hi": uniform(0.1, 0.9),
        "temperature": loguniform(0.05, 1),
    },
]


@pytest.mark.parametrize("sampler", ["tpe", "random", "optuna:NSGAIISampler", "optuna:QMCSampler"])
def test_a_dimension_can_be_of_one_strategy_alone(tmp_path: Path, sampler: str) -> None:
    of = study(space=CONDITIONAL, sampler=sampler, cells=10, seeds=1)
    store = Store.of("s", tmp_path)
    trials = drain(sampler_of(of, store), store)
    assert len(trials) == 10
    kinds = {trial.config["negatives"]["name"]: trial.cell for trial in trials}
    assert set(kinds) == {"all", "difficulty"}
    assert "negatives.hi" not in kinds["all"]
    assert 0.1 <= kinds["difficulty"]["negatives.hi"] <= 0.9
    assert drain(sampler_of(of, store), store) == [], "all of them count, of either space"


def test_tpe_learns_which_space_is_better_and_goes_on_from_the_store(tmp_path: Path) -> None:
    def value(trial: Trial) -> float:
        return 90.0 * trial.cell.get("negatives.hi", 0.2)

    store = Store.of("s", tmp_path)
    first = drain(sampler_of(study(space=CONDITIONAL, cells=14, seeds=1), store), store, value=value)
    last = drain(sampler_of(study(space=CONDITIONAL, cells=26, seeds=1), store), store, value=value)
    assert (len(first), len(last)) == (14, 12)
    assert sum("negatives.hi" in trial.cell for trial in last) >= 8


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("optuna:CmaSampler", r"optuna.samplers has no 'CmaSampler'; did you mean 'optuna:CmaEsSampler'\?"),
        ("optuna:CmaEs", r"did you mean 'optuna:CmaEsSampler'\?"),
        ("cmaes", r"did you mean 'optuna:CmaEsSampler'\?"),
        ("GPSampler", r"did you mean 'optuna:GPSampler'\?"),
        ("nsga2", r"did you mean 'optuna:NSGAIISampler'\?"),
        ("TPE", r"did you mean 'tpe'\?"),
        ("optuna:GridSampler", "optuna:GridSampler cannot be made .*; choose another, such as tpe"),
        ("bayes", "sampler: 'bayes' is none of grid, random, tpe, optuna:NAME"),
    ],
)
def test_a_sampler_that_cannot_be_is_refused_when_it_is_planned(sampler: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_study(study(sampler=sampler))


NEEDY = {"GridSampler", "PartialFixedSampler", "BruteForceSampler"} | (
    set() if importlib.util.find_spec("cmaes") else {"CmaEsSampler"}
)
"""Samplers that need arguments, lists of values, or a package that is not here."""


def test_every_sampler_of_optuna_is_made_or_refused_in_a_line() -> None:
    made = set()
    for name in optuna_samplers():
        with (
            nullcontext()
            if name not in NEEDY
            else pytest.raises(
                ConfigError, match=rf"^sampler: optuna:{name} (can|needs a package: `pip install cmaes`)"
            )
        ):
            check_study(study(sampler=f"optuna:{name}"))
            made.add(name)
    assert {"TPESampler", "RandomSampler", "QMCSampler", "NSGAIISampler", "NSGAIIISampler"} <= made

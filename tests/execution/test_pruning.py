"""A study that prunes: which trials its queue gives, what its states and results say of them, and one on Ray."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from study import ConfigError, Study, TrialConfig, grid, uniform
from study.execution.samplers import Wait, prunable, sampler_of
from study.figures.records import Records
from study.planning.plan import check_study, make_plan
from study.report.page import facts
from study.results import Results
from study.status import status
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.trial import Trial
from tests.conftest import TINY
from tests.execution.test_samplers import finish

WATCHED = {**TINY, "data": {"name": "shapes", "train_size": 500, "test_size": 40}, "epochs": 8, "accuracy_every": 2}
LEARNED = {
    "name": "shapes", "train_size": 1500, "test_size": 40, "colour_semantics": 0.0, "turn": 0.1, "clutter": 0.05,
    "classes": ("circle", "square", "pentacle", "spiral", "wave"),
}  # fmt: skip
DONE = {"linear.features.top1": 50.0, "memory.peak_mib": 1.0}


def study(**settings: Any) -> Study:
    """Two cells of three seeds."""
    base = TrialConfig(**{**WATCHED, **settings.pop("base", {})})
    return Study(
        "s", **{"base": base, "space": {"temperature": grid(0.2, 0.5)}, "seeds": 3, "prune": "median"} | settings
    )


def prune(store: Store, trial: Trial) -> TrialResult:
    folder = store.trial(trial.id)
    folder.append({"epoch": 2, "time": 0.0, "metrics": {"train.loss": 1.0}})
    return finish(store, trial, {"train.loss": 1.0}, "pruned")


def given(sampler: Any) -> list[Trial]:
    found = []
    while isinstance(trial := sampler.next(), Trial):
        found.append(trial)
    return found


def test_first_seeds_decide_and_a_cell_is_given_up_with_all_of_its_seeds(tmp_path: Path) -> None:
    store, of = Store.of("s", tmp_path), study()
    sampler = sampler_of(of, trials := check_study(of), store)
    kept, lost = given(sampler)
    assert (kept.seed, lost.seed) == (0, 0)
    assert isinstance(sampler.next(), Wait), "what comes next depends on what runs"
    sampler.tell(lost, prune(store, lost))
    assert isinstance(sampler.next(), Wait)
    sampler.tell(kept, finish(store, kept, DONE))
    rest = given(sampler)
    assert [(t.cell, t.seed) for t in rest] == [(kept.cell, 1), (kept.cell, 2)]
    assert sampler.next() is None
    for trial in rest:
        finish(store, trial, DONE)
    assert given(sampler_of(of, trials, store)) == []
    assert status(of, tmp_path).counts() == {"finished": 3, "started": 0, "failed": 0, "pending": 0, "pruned": 3}
    plan = make_plan(of, store)
    assert (plan.done, plan.pruned, plan.pending, plan.over) == (3, 3, 0, 6)
    assert "3 done, 0 failed, 0 started, 0 pending, 3 pruned" in str(plan)


def test_a_session_that_goes_on_gives_up_what_another_one_pruned(tmp_path: Path) -> None:
    store, of = Store.of("s", tmp_path), study()
    lost, kept = (trial for trial in check_study(of) if trial.seed == 0)
    prune(store, lost)
    finish(store, kept, {}, "failed")
    left = given(sampler_of(of, check_study(of), store))
    assert [(t.cell, t.seed) for t in left] == [(kept.cell, 1), (kept.cell, 2)], "a failure is no verdict on its cell"
    assert status(of, tmp_path).counts()["pruned"] == 3


def test_pruned_trials_are_no_results_and_go_on_in_a_study_that_does_not_prune(tmp_path: Path) -> None:
    store, of = Store.of("s", tmp_path), study()
    sampler = sampler_of(of, check_study(of), store)
    kept, lost = given(sampler)
    sampler.tell(lost, prune(store, lost))
    sampler.tell(kept, finish(store, kept, DONE))
    store.path.joinpath("study.yaml").write_text(of.to_yaml())
    results = Results.load(store)
    assert list(results.finished["trial_id"]) == [kept.id]
    assert results.failed.empty
    assert "3 pruned" in str(results)
    assert facts(Records(results, store))["pruned"] == "3", "with the seeds that were never begun"
    plain = study(prune=None)
    assert make_plan(plain, store).pending == 5
    left = given(sampler_of(plain, check_study(plain), store))
    assert {t.id for t in left} == {t.id for t in check_study(plain)} - {kept.id}
    assert store.trial(lost.id).status() == "started", "it has an epoch"


def test_a_cell_of_which_another_seed_has_finished_is_not_given_up(tmp_path: Path) -> None:
    store, of = Store.of("s", tmp_path), study()
    trials = check_study(of)
    assert prunable(of, trials, store) == {trials[0].id, trials[3].id}
    finish(store, trials[4], DONE)
    assert prunable(of, trials, store) == {trials[0].id}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"prune": "mean"}, "prune: takes median, got 'mean'"),
        ({"base": {"accuracy_every": 0}}, "prune: it goes by the accuracy on the way; set accuracy_every"),
        ({"space": {"epochs": grid(8, 9)}}, "prune: cells of other epochs do not compare on the way; fix epochs"),
        ({"until_decided": True}, "prune: until_decided: claims need cells that have all of their seeds"),
        (
            {"space": {"temperature": uniform(0.1, 1)}, "sampler": "tpe", "cells": 3},
            'prune: sampler "tpe" decides by cells that have all of their seeds; leave prune out',
        ),
    ],
)
def test_a_study_that_cannot_prune_honestly_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        check_study(study(**settings))


def test_pruning_changes_no_trials_identity() -> None:
    assert [t.id for t in check_study(study())] == [t.id for t in check_study(study(prune=None))]


@pytest.fixture
def one_core() -> Iterator[None]:
    """Ray with one core, so that trials run one by one on every machine."""
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("one_core")
def test_a_study_on_ray_prunes_whole_cells_and_goes_on_with_them_without_the_option(tmp_path: Path) -> None:
    """Two of seven cells hardly learn."""
    rates = {"optimizer.learning_rate": grid(0.003, 0.004, 0.005, 0.006, 0.007, 1e-9, 2e-9)}
    base = {"data": LEARNED, "encoder": {"name": "conv-small", "width": 16}, "batch_size": 64, "evaluations": ["knn"]}
    base |= {"optimizer": "adamw", "augmentation": {"name": "simclr", "min_scale": 0.4, "grey_probability": 0.5}}
    settings: dict[str, Any] = {"space": rates, "seeds": 2}
    of = study(**settings, base=base)
    frame = of.run(storage=tmp_path).frame
    pruned, finished = (frame[frame["status"] == state] for state in ("pruned", "finished"))
    assert len(pruned) + len(finished) == 14
    assert 0 < pruned["optimizer.learning_rate"].nunique() <= 2, "of seven, five are seen to their ends"
    assert pruned.groupby("optimizer.learning_rate").size().eq(2).all(), "with all of their seeds"
    assert of.run(storage=tmp_path).frame["status"].value_counts().to_dict() == frame["status"].value_counts().to_dict()
    from study.tracking.queries import states

    _, found = states("s", None, tmp_path)
    assert sum(state["status"] == "pruned" for state in found) == len(pruned)
    without = study(**settings, base=base, prune=None)
    assert (without.run(storage=tmp_path).frame["status"] == "finished").all()

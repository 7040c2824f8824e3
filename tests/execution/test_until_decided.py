"""A study that runs until its claims are decided: which trials its queue gives, session by session, and one on Ray."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study import ConfigError, Study, TrialConfig, grid
from study.claims import CLAIMS, findings
from study.execution import queue as turns
from study.execution.queue import Queue
from study.execution.samplers import Wait, sampler_of
from study.planning.kept import as_begun
from study.planning.plan import check_study, make_plan
from study.results import Results
from study.storage.claims import Session
from study.storage.store import Store
from study.trial.trial import Trial
from tests.conftest import TINY
from tests.execution.test_samplers import finish

GAIN, TRUTH = "chuang2020_gain", "robinson2021_gain"
OBJECTIVES = ("nt_xent", "debiased", "hard")


@pytest.fixture(autouse=True)
def two_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLAIMS, "_entries", {name: CLAIMS[name] for name in (GAIN, TRUTH)})
    monkeypatch.setattr(turns, "POLL", 0.0)


def study(**arguments: Any) -> Study:
    space = {"objective": grid(*OBJECTIVES), "temperature": grid(0.2, 0.5)}
    settings: dict[str, Any] = {"space": space, "seeds": 3, "until_decided": True}
    return Study("s", **{"base": TrialConfig(**TINY), **settings, **arguments})


class Driver:
    """A session whose trials measure an accuracy of known truth in no time."""

    def __init__(self, of: Study, store: Store, *, gains: tuple[float, float] = (6.0, 0.6), noise: float = 1.0) -> None:
        self.of, self.store, self.noise = of, store, noise
        self.gains = dict(zip(OBJECTIVES, (0.0, *gains), strict=True))
        self.said: list[str] = []
        store.path.mkdir(parents=True, exist_ok=True)
        (store.path / "study.yaml").write_text(of.to_yaml())
        self.session = Session(store)
        sampler = sampler_of(of, check_study(of), store, lambda text, more: self.said.append(text))
        self.queue = Queue(sampler, store, self.session.claims)

    def trial(self) -> Trial:
        trial = self.queue.next()
        assert isinstance(trial, Trial), trial
        return trial

    def finish(self, trial: Trial, status: str = "finished") -> None:
        objective = trial.config["objective"]["name"]
        draw = np.random.default_rng([trial.seed, OBJECTIVES.index(objective), int(10 * trial.cell["temperature"])])
        value = 50 + self.gains[objective] + self.noise * draw.normal()
        metrics = {"linear.features.top1": value, "memory.peak_mib": 1.0}
        self.queue.tell(trial, finish(self.store, trial, metrics, status))

    def run(self, limit: int = 500) -> list[Trial]:
        given = []
        while len(given) < limit and isinstance(trial := self.queue.next(), Trial):
            given.append(trial)
            self.finish(trial)
        return given

    def verdicts(self) -> dict[str, str]:
        return {one.name: one.verdict for one in findings(Results.load(self.store))}


def objectives(trials: list[Trial]) -> set[str]:
    return {trial.config["objective"]["name"] for trial in trials}


def test_seeds_go_to_the_cells_of_the_claim_that_is_open_until_it_is_decided(tmp_path: Path) -> None:
    driver = Driver(study(seeds=4), Store.of("s", tmp_path), gains=(60.0, 2.0))
    given = driver.run()
    first, added = given[:24], given[24:]
    assert {trial.seed for trial in first} == {0, 1, 2, 3}
    assert driver.verdicts() == {GAIN: "supported", TRUTH: "supported"}
    assert objectives(added) == {"nt_xent", "hard"}  # the gain of `debiased` was decided by the first seeds
    assert [trial.seed for trial in added] == sorted(trial.seed for trial in added)
    assert len({trial.id for trial in given}) == len(given)
    assert len(driver.said) == len({trial.seed for trial in added})
    assert driver.said[0].startswith(f"seed 4 of 4 cells for {TRUTH} (+")
    assert driver.said[0].endswith(f"; open: {TRUTH}")


def test_it_ends_at_the_most_seeds_and_each_look_is_paid_for(tmp_path: Path) -> None:
    driver = Driver(study(max_seeds=5), Store.of("s", tmp_path), gains=(0.0, 0.1), noise=3.0)
    assert len(driver.run()) == 6 * 5
    found = findings(Results.load(driver.store))
    assert [one.verdict for one in found] == ["undecided"] * 2
    assert all(one.anytime and one.open for one in found)


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    of = study(max_seeds=7)
    whole = Driver(of, Store.of("s", tmp_path / "whole")).run()
    store = Store.of("s", tmp_path / "killed")
    begun = Driver(of, store)
    before = begun.run(limit=20)
    left = begun.trial()  # killed while this ran
    store.trial(left.id).write_config({"config": left.config, "cell": left.cell, "seed": left.seed})
    begun.session.end()
    after = Driver(of, store)
    assert after.queue.next().id == left.id  # type: ignore[union-attr]
    after.finish(left)
    assert {trial.id for trial in [*before, left, *after.run()]} == {trial.id for trial in whole}
    assert after.verdicts() == {GAIN: "supported", TRUTH: "undecided"}


def test_two_sessions_run_each_trial_once_and_wait_for_each_other(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    of = study(max_seeds=7)
    sessions = [Driver(of, store), Driver(of, store)]
    given, running = [], []
    while len(given) < 500:
        found = [driver.queue.next() for driver in sessions]
        running = [(driver, trial) for driver, trial in zip(sessions, found, strict=True) if isinstance(trial, Trial)]
        given += [trial for _, trial in running]
        for driver, trial in running:
            driver.finish(trial)
        if found == [None, None]:
            break
    alone = Driver(of, Store.of("s", tmp_path / "alone")).run()
    assert len({trial.id for trial in given}) == len(given)
    assert {trial.id for trial in alone} <= {trial.id for trial in given}
    assert len(given) <= len(alone) + 4  # what was under way when the last claim was decided


def test_nothing_is_added_before_the_studys_own_seeds_have_their_results(tmp_path: Path) -> None:
    driver = Driver(study(), Store.of("s", tmp_path))
    running = [driver.trial() for _ in range(18)]
    for trial in running[:-1]:
        driver.finish(trial)
    assert driver.queue.next() == Wait()
    driver.finish(running[-1])
    assert driver.trial().seed == 3


def test_more_workers_run_as_many_seeds_at_once_as_are_expected_to_be_needed(tmp_path: Path) -> None:
    driver = Driver(study(seeds=4), Store.of("s", tmp_path), gains=(120.0, 1.0), noise=2.0)
    driver.run(limit=24)
    (open_,) = [one for one in findings(Results.load(driver.store)) if one.open]
    given = []
    while isinstance(trial := driver.queue.next(), Trial):
        given.append(trial)
    assert trial == Wait()
    assert len(given) == 4 * min(open_.more_seeds, 16)


def test_cells_that_fail_under_every_seed_are_left_alone(tmp_path: Path) -> None:
    driver = Driver(study(seeds=4, max_seeds=6), Store.of("s", tmp_path), gains=(60.0, 60.0))
    given = []
    while isinstance(trial := driver.queue.next(), Trial):
        given.append(trial)
        failed = trial.config["objective"]["name"] == "hard"
        driver.finish(trial, "failed" if failed else "finished")
    assert len(given) == 24
    assert driver.verdicts() == {GAIN: "supported", TRUTH: "undecided"}


def test_a_study_with_one_seed_gets_those_that_a_verdict_needs(tmp_path: Path) -> None:
    driver = Driver(study(seeds=1), Store.of("s", tmp_path), gains=(12.0, 12.0))
    driver.run()
    assert driver.verdicts() == {GAIN: "supported", TRUTH: "supported"}


def test_trials_keep_their_ids_and_the_plan_counts_what_was_added(tmp_path: Path) -> None:
    fixed, store = study(until_decided=False), Store.of("s", tmp_path)
    own = {trial.id for trial in check_study(fixed)}
    driver = Driver(study(), store, gains=(12.0, 2.0))
    added = len(driver.run()) - 18
    assert own == {trial.id for trial in check_study(study())}
    assert {trial.id for trial in check_study(study(until_decided=False, seeds=4))} > own
    plan = make_plan(study(), store)
    assert (plan.trials, plan.added, plan.done, plan.pending) == (18 + added, added, 18 + added, 0)
    assert f"6 cells × 3 seeds + {added} of added seeds = {18 + added} trials" in str(plan)
    assert as_begun(fixed, store).until_decided  # it was looked at, whoever asks
    assert not as_begun(fixed, Store.of("s", tmp_path / "elsewhere")).until_decided


def test_the_plan_says_what_comes_first_and_what_it_may_become(tmp_path: Path) -> None:
    said = str(study(max_seeds=10).plan(storage=tmp_path))
    assert "first these 18 trials" in said
    assert "up to 10 seeds of 6 cells: at most 42 trials more (max_seeds=10)" in said
    assert f"it may decide 2 claims: {GAIN}, {TRUTH}" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sampler": "tpe", "cells": 9}, 'sampler "tpe" chooses its cells by their accuracy; set sampler=grid'),
        ({"sampler": "random", "cells": 9}, 'sampler "random" draws its cells; set sampler=grid'),
        ({"max_seeds": 3}, "max_seeds=3 leaves none to add to the 3 seeds of the study; set max_seeds=13"),
    ],
)
def test_what_cannot_be_decided_is_refused_with_what_to_type(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        study(**arguments)


def test_a_study_whose_cells_speak_to_no_claim_is_refused_when_it_is_planned(tmp_path: Path) -> None:
    dull = study(space={"epochs": grid(1, 2)})
    with pytest.raises(ConfigError, match="the cells of s speak to none of the 2 claims"):
        dull.plan(storage=tmp_path)


def test_an_end_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_trials must be at least 1, got 0; such as --max-trials 20"):
        study().run(storage=tmp_path, max_trials=0)
    with pytest.raises(ConfigError, match="above 0 and finite, got 0; such as --max-hours 2"):
        study().run(storage=tmp_path, max_hours=0)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore:.*unclosed.*")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_study_of_drawn_shapes_runs_until_it_is_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.claims.published.wang2021 import Concentration

    monkeypatch.setattr(CLAIMS, "_entries", {"wang2021_concentration": Concentration})
    small = {"data": {"name": "shapes", "train_size": 128, "test_size": 60}, "evaluations": ["geometry"], "epochs": 1}
    tiny = Study(
        "tiny",
        base=TrialConfig(**{**TINY, **small}),
        space={"temperature": grid(0.1, 1.0)},
        seeds=2,
        metrics={"geometry.uniformity": "min"},
    )
    results = tiny.run(storage=tmp_path, until_decided=True)
    (found,) = findings(results)
    assert (found.verdict, found.anytime) == ("supported", True)
    assert 3 <= found.seeds < 20
    assert results.frame["added"].sum() == len(results.frame) - 4 > 0
    again = tiny.run(storage=tmp_path, max_hours=1)  # without the flag: it stays as it was begun
    assert len(again.frame) == len(results.frame)
    assert tiny.findings(storage=tmp_path)[0].interval == found.interval
    gc.collect()  # Ray's processes, while what they warn of is let be

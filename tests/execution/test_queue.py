"""Sessions share a study: what one runs the other waits for, takes over when it is left, and hears of."""

from pathlib import Path
from typing import Any

import pytest

from study import Study, TrialConfig, choice, grid, loguniform
from study.execution import queue as turns
from study.execution.queue import Queue, Wait
from study.execution.samplers import sampler_of
from study.planning.plan import check_study
from study.storage.claims import Session
from study.storage.store import Store
from study.trial.trial import Trial
from tests.conftest import TINY
from tests.execution.test_samplers import finish


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "POLL", 0.0)


def study(**arguments: Any) -> Study:
    return Study("s", **{"base": TrialConfig(**TINY), "space": {"temperature": grid(0.1, 0.2, 0.3, 0.5)}, **arguments})


class Driver:
    """A session that runs the study."""

    def __init__(self, of: Study, store: Store) -> None:
        self.store, self.session = store, Session(store)
        self.heard: list[str] = []
        self.queue = Queue(
            sampler_of(of, [] if of.sampler == "tpe" else check_study(of), store),
            store,
            self.session.claims,
            heard=lambda trial, result: self.heard.append(trial.id),
        )

    def next(self) -> Trial | Wait | None:
        return self.queue.next()

    def trial(self) -> Trial:
        trial = self.next()
        assert isinstance(trial, Trial)
        return trial

    def finish(self, trial: Trial) -> None:
        self.queue.tell(trial, finish(self.store, trial))


def test_two_sessions_run_each_trial_once_and_both_end(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    a, b = Driver(study(), store), Driver(study(), store)
    mine = [a.trial()]
    theirs = [b.trial(), b.trial(), b.trial()]
    assert len({p.id for p in mine + theirs}) == 4
    waiting = b.next()
    assert isinstance(waiting, Wait)
    assert waiting.why == f"1 trial is being run by {a.session}"
    a.finish(mine[0])
    for trial in theirs:
        b.finish(trial)
    assert b.next() is None
    assert b.heard == [mine[0].id]
    assert a.next() is None
    assert sorted(a.heard) == sorted(p.id for p in theirs)


def test_what_a_session_left_is_taken_over(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    a, b = Driver(study(), store), Driver(study(), store)
    left = a.trial()
    for _ in range(3):
        b.finish(b.trial())
    assert isinstance(b.next(), Wait)
    a.session.end()
    assert b.trial().id == left.id


def test_two_tpe_sessions_run_as_many_cells_as_asked_for_together(tmp_path: Path) -> None:
    of = study(
        sampler="tpe",
        cells=6,
        seeds=2,
        space={"temperature": loguniform(0.05, 1), "negatives": choice("all", "uniform")},
    )
    store, ran = Store.of("s", tmp_path), []
    drivers = [Driver(of, store), Driver(of, store)]
    open_, ended = {0: [], 1: []}, set()
    for step in range(400):
        number = step % 2
        driver, mine = drivers[number], open_[number]
        if len(mine) > number or (mine and number in ended):
            driver.finish(mine.pop(0))
        trial = driver.next()
        if isinstance(trial, Trial):
            mine.append(trial)
            ran.append(trial.id)
        elif trial is None:
            ended.add(number)
        elif mine:
            driver.finish(mine.pop(0))
        if ended == {0, 1} and not open_[0] and not open_[1]:
            break
    assert ended == {0, 1}
    assert len(ran) == len(set(ran)) == 12
    assert len(list(store.trials())) == 12

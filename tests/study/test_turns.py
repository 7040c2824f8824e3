"""Sessions share a study: what one runs the other waits for, takes over when it is left, and hears of."""

import time
from pathlib import Path
from typing import Any

import pytest

from study import Study, TrialConfig, choice, grid, loguniform, turns
from study.claims import Session
from study.sampler import sampler_of
from study.store import Store
from study.study import Point
from study.turns import Turns, Wait
from tests.study.conftest import TINY
from tests.study.test_sampler import finish


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "POLL", 0.0)


def study(**arguments: Any) -> Study:
    return Study("s", **{"base": TrialConfig(**TINY), "space": {"temperature": grid(0.1, 0.2, 0.3, 0.5)}, **arguments})


class Driver:
    """A session at work on the study."""

    def __init__(self, of: Study, store: Store, **options: Any) -> None:
        self.store, self.session = store, Session(store)
        self.heard: list[str] = []
        self.turns = Turns(
            sampler_of(of, store),
            store,
            self.session.claims,
            heard=lambda point, result: self.heard.append(point.trial.id),
            **options,
        )

    def next(self) -> Point | Wait | None:
        return self.turns.next()

    def point(self) -> Point:
        point = self.next()
        assert isinstance(point, Point)
        return point

    def finish(self, point: Point) -> None:
        self.turns.tell(point, finish(self.store, point))


def test_two_sessions_run_each_trial_once_and_both_end(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    a, b = Driver(study(), store), Driver(study(), store)
    mine = [a.point()]
    theirs = [b.point(), b.point(), b.point()]
    assert len({p.trial.id for p in mine + theirs}) == 4
    waiting = b.next()
    assert isinstance(waiting, Wait)
    assert waiting.why == f"1 trial is being run by {a.session}"
    a.finish(mine[0])
    for point in theirs:
        b.finish(point)
    assert b.next() is None
    assert b.heard == [mine[0].trial.id]
    assert a.next() is None
    assert sorted(a.heard) == sorted(p.trial.id for p in theirs)


def test_what_a_session_left_is_taken_over(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    a, b = Driver(study(), store), Driver(study(), store)
    left = a.point()
    for _ in range(3):
        b.finish(b.point())
    assert isinstance(b.next(), Wait)
    a.session.end()
    assert b.point().trial.id == left.trial.id


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
        point = driver.next()
        if isinstance(point, Point):
            mine.append(point)
            ran.append(point.trial.id)
        elif point is None:
            ended.add(number)
        elif mine:
            driver.finish(mine.pop(0))
        if ended == {0, 1} and not open_[0] and not open_[1]:
            break
    assert ended == {0, 1}
    assert len(ran) == len(set(ran)) == 12
    assert len(list(store.trials())) == 12


def test_what_a_server_says_is_finished_elsewhere_is_skipped_and_what_is_held_waits(tmp_path: Path) -> None:
    said = {}

    class Server:
        def claim(self, trial: str) -> str:
            return said.get(trial, "ours")

    points, skipped = study().points(), []
    said[points[0].trial.id] = "finished by alice@node7 in another storage"
    said[points[1].trial.id] = "held by alice@node7"
    b = Driver(study(), Store.of("s", tmp_path), server=Server(), skipped=lambda p, why: skipped.append((p, why)))
    assert [b.point().trial.id, b.point().trial.id] == [p.trial.id for p in points[2:]]
    waiting = b.next()
    assert waiting == Wait("1 trial is being run by alice@node7")
    assert [(p.trial.id, why) for p, why in skipped] == [
        (points[0].trial.id, "finished by alice@node7 in another storage")
    ]
    del said[points[1].trial.id]
    assert b.point().trial.id == points[1].trial.id


def test_a_slow_claim_holds_up_nobody(tmp_path: Path) -> None:
    class Slow:
        def claim(self, trial: str) -> str:
            time.sleep(2 * turns.INSTANT)
            return "ours"

    b = Driver(study(), Store.of("s", tmp_path), server=Slow())
    started = time.monotonic()
    assert b.next() == Wait()
    assert time.monotonic() - started < 1.5 * turns.INSTANT
    time.sleep(2 * turns.INSTANT)
    assert isinstance(b.next(), Point)

"""Two people with storages of their own and one MLflow run and send each trial once."""

import logging
import threading
from pathlib import Path

import pytest

from study.storage.store import Store
from study.tracking.tracker import Tracker
from tests.tracking.test_tracker import STUDY_YAML, finish, history, lines, runs, start, train  # noqa: F401 (a fixture)

# sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('server')}/mlflow.db"


@pytest.fixture
def connect(request, database, tmp_path, lines):  # noqa: F811
    """Trackers of the same study, each with a storage of its own."""

    def connect(owner: str) -> Tracker:
        study = request.node.name.removeprefix("test_")
        tracker = Tracker(study, Store.of(study, tmp_path / owner), database, owner)
        tracker.open(STUDY_YAML, {})
        return tracker

    return connect


def test_sessions_that_open_at_once_share_one_parent_and_one_claims_run(connect):
    connect("zoe")._client.delete_run(connect("zoe").parent_id)  # the study's parent is missing when all of them come
    trackers: list[Tracker] = []
    threads = [threading.Thread(target=lambda n=n: trackers.append(connect(f"user{n}"))) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tracker.parent_id for tracker in trackers}) == 1
    client = trackers[0]._client
    assert len(client.search_runs([trackers[0].experiment_id], "tags.role = 'study'")) == 1
    winners = []

    def race(tracker: Tracker) -> None:
        winners.extend(t for t in range(10) if tracker.server.claim(f"t{t}") == "ours")

    threads = [threading.Thread(target=race, args=[tracker]) for tracker in trackers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(winners) == list(range(10))


def test_a_held_trial_waits_a_left_one_is_taken_over_and_a_finished_one_is_known(connect):
    ada, bob = connect("ada"), connect("bob")
    assert ada.server.claim("aaa") == "ours"
    assert bob.server.claim("aaa") == f"held by {ada.session}"
    assert ada.server.claim("bbb") == "ours"
    finish(start(ada, "bbb"))
    assert ada.sync()
    ada.session.end()
    bob.server._board.refresh()
    assert bob.server.claim("aaa") == "ours"
    run = runs(ada)["bbb"].info.run_id
    assert (
        bob.server.claim("bbb") == f"finished by {ada.session} in another storage; its numbers are in MLflow, run {run}"
    )


def test_a_trial_that_both_computed_is_sent_once(connect):
    ada, bob = connect("ada"), connect("bob")
    finish(start(ada))
    assert ada.sync()
    finish(start(bob), at=3e9)
    assert bob.sync()
    found = bob._client.search_runs([bob.experiment_id], "tags.role = 'trial'")
    assert len(found) == 1
    assert len(history(bob, found[0])) == 3
    assert len(history(bob, found[0], "linear.features.top1")) == 1


def test_the_half_of_a_trial_that_is_taken_over_gives_way_to_the_whole(connect):
    ada, bob = connect("ada"), connect("bob")
    left = start(ada, epochs=2)
    assert ada.sync()
    ada.session.end()
    finish(start(bob, epochs=3))
    assert bob.sync()
    (run,) = bob._client.search_runs([bob.experiment_id], "tags.role = 'trial'")
    assert run.data.tags["owner"] == "bob"
    assert [step for step, _, _ in history(bob, run)] == [1, 2, 3]
    again = connect("ada")
    train(left, 3, 3)
    again.sync()
    again.sync()
    assert len(bob._client.search_runs([bob.experiment_id], "tags.role = 'trial'")) == 1


def test_trials_go_on_where_the_server_is_away_and_it_is_said_once(connect, lines, caplog):  # noqa: F811
    ada, bob = connect("ada"), connect("bob")
    for line in lines:
        line.down = True
    with caplog.at_level(logging.WARNING, "study.tracking.server_claims"):
        assert ada.server.claim("aaa") == "ours"
        assert ada.server.claim("bbb") == "ours"
    assert caplog.text.count("cannot be checked") == 1
    for line in lines:
        line.down = False
    finish(start(bob, "aaa"))
    finish(start(ada, "aaa"))
    assert bob.sync()
    assert ada.sync()
    (run,) = bob._client.search_runs([bob.experiment_id], "tags.role = 'trial'")
    assert run.data.tags["owner"] == "bob", "who claimed it first when the server was back"


def test_what_others_were_known_to_have_when_the_server_went_away_is_not_run_again(
    connect,
    lines,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ada = connect("ada")
    assert ada.server.claim("held") == "ours"
    finish(start(ada, "done"))
    assert ada.sync()
    bob = connect("bob")
    monkeypatch.setattr("study.tracking.server_claims.FRESH", 0.0)
    for line in lines:
        line.down = True
    assert bob.server.claim("held") == f"held by {ada.session}"
    assert bob.server.claim("done").startswith(f"finished by {ada.session} in another storage")
    assert bob.server.claim("free") == "ours"
    monkeypatch.setattr("study.tracking.server_claims.EXPIRES", 0.0)
    assert bob.server.claim("held") == "ours", "who had it may be gone, and nobody can tell"
    assert bob.server.claim("done") != "ours"


def test_claims_are_on_no_page_of_the_study(connect):
    ada = connect("ada")
    ada.server.claim("aaa")
    names = [experiment.name for experiment in ada._client.search_experiments()]
    assert not [name for name in names if ".parent." in name]
    assert set(ada._client.get_run(ada.parent_id).data.params) == {"claims"}
    assert len(ada._client.search_runs([ada.experiment_id])) == 1


def test_the_storages_own_database_needs_no_claims(tmp_path: Path, lines):  # noqa: F811
    tracker = Tracker("own", Store.of("own", tmp_path))
    tracker.open(STUDY_YAML, {})
    assert tracker.server is None
    assert [e.name for e in tracker._client.search_experiments()] == ["own", "Default"]

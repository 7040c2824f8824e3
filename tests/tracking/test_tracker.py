import json
import logging
import math
import re
import shutil
import threading
from collections import Counter

import pytest
from mlflow.entities import ViewType

from study.claims import findings
from study.results import Results
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.tracking import client as tracking
from study.tracking.schema import params
from study.tracking.tracker import Tracker
from study.tracking.uri import TrackingRefused

# sqlalchemy 2.1 deprecates a loader that MLflow's own tables still ask for.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

STUDY_YAML = "name: s\nquestion: Does accuracy grow with K?\nmetrics: {linear.features.top1: max}\n"
CONFIG = {
    "data": {"name": "shapes", "train_size": 1000},
    "negatives": {"name": "difficulty", "lo": 0.0, "hi": 0.05},
    "k": 64,
    "evaluations": [{"name": "linear"}],
    "seed": 0,
}
CELL = {"k": 64, "negatives": {"name": "difficulty", "hi": 0.05}}
DATA = {"name": "shapes", "digest": "d" * 64, "train": 1000, "test": 200, "classes": ["cat", "dog"]}


class Line:
    """A client on a line that can be cut, before a request arrives or after it was obeyed."""

    def __init__(self, client):
        self.client = client
        self.calls = Counter()
        self.down = False
        self.answer_lost = set()  # names of calls

    def __getattr__(self, name):
        def call(*arguments, **options):
            self.calls[name] += 1
            if self.down:
                raise ConnectionError("cannot reach http://ada:hunter2@host")
            answer = getattr(self.client, name)(*arguments, **options)
            if name in self.answer_lost:
                self.answer_lost.discard(name)
                raise TimeoutError("no answer")
            return answer

        return call


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    return tmp_path_factory.mktemp("storage")


@pytest.fixture
def lines(monkeypatch):
    """The clients that trackers opened."""
    opened, connect = [], tracking.connect

    def client(uri):
        opened.append(Line(connect(uri)))
        return opened[-1]

    monkeypatch.setattr(tracking, "connect", client)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return opened


@pytest.fixture
def tracker(request, storage, lines):
    name = request.node.name.removeprefix("test_")
    tracker = Tracker(name, Store.of(name, storage), owner="ada")
    tracker.open(STUDY_YAML, {"trials": 2})
    return tracker


def start(tracker, trial_id="aaa", epochs=3, config=CONFIG, cell=CELL):
    trial = tracker.store.trial(trial_id)
    trial.write_config({"config": config, "cell": cell, "seed": config["seed"]})
    train(trial, 1, epochs)
    return trial


def train(trial, first, last):
    for epoch in range(first, last + 1):
        metrics = {"train.loss": 5 - epoch / 10, "train.k": 64}
        trial.append({"epoch": epoch, "time": 1e9 + epoch, "metrics": metrics})


def finish(trial, status="finished", reason=None, at=2e9, **metrics):
    metrics = {"train.loss": 4.7, "linear.features.top1": 53.3, **metrics} if status == "finished" else {}
    environment = {"torch": "2.15", "device": "cpu", "git_commit": "abc"}
    ended = {"started": at - 9, "ended": at, "seconds": 9.0, "environment": environment, "data": DATA}
    trial.write_result(TrialResult(status=status, reason=reason, metrics=metrics, **ended))


def runs(tracker):
    found = tracker._client.search_runs([tracker.experiment_id], "tags.role = 'trial'")
    return {run.data.tags["trial_id"]: run for run in found}


def history(tracker, run, metric="train.loss"):
    points = tracker._client.get_metric_history(run.info.run_id, tracker._layout.name(metric))
    return [(p.step, p.timestamp, p.value) for p in points]


def artifacts(tracker, run_id):
    return [file.path for file in tracker._client.list_artifacts(run_id)]


def expected_losses(epochs):
    return [(epoch, int((1e9 + epoch) * 1000), 5 - epoch / 10) for epoch in range(1, epochs + 1)]


def test_trial_is_a_child_run_with_its_config_as_params_what_varies_first(tracker):
    trial = start(tracker)
    trial.artifacts.mkdir()
    (trial.artifacts / "bands.json").write_text("{}")
    finish(trial)
    assert tracker.sync()
    run = runs(tracker)["aaa"]
    assert run.data.params == {
        "k": "64",
        "negatives": "difficulty(hi=0.05)",
        "seed": "0",
        "data.name": "shapes",
        "data.train_size": "1000",
        "negatives.name": "difficulty",
        "negatives.lo": "0.0",
        "negatives.hi": "0.05",
        "evaluations": '[{"name": "linear"}]',
    }
    assert list(params(trial.config()))[:3] == ["k", "negatives", "seed"]
    tags = run.data.tags
    assert tags["mlflow.parentRunId"] == tracker.parent_id
    assert (tags["owner"], tags["status"], tags["environment.torch"]) == ("ada", "finished", "2.15")
    assert not {*run.data.params, "reason"} & set(tags)
    assert run.info.run_name == "k=64, negatives=difficulty(hi=0.05), seed=0"
    assert (run.info.status, run.info.end_time) == ("FINISHED", 2_000_000_000_000)
    assert history(tracker, run) == expected_losses(3)
    assert history(tracker, run, "linear.features.top1") == [(0, 2_000_000_000_000, 53.3)]
    dataset = tracker._client.get_run(run.info.run_id).inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("shapes", "d" * 36)
    assert artifacts(tracker, run.info.run_id) == ["bands.json", "metrics.json"]


def test_study_is_one_parent_run_that_a_second_driver_continues(tracker, storage):
    again = Tracker(tracker.study, tracker.store)
    again.open(STUDY_YAML, {"trials": 2})
    assert (again.experiment_id, again.parent_id) == (tracker.experiment_id, tracker.parent_id)
    parent = tracker._client.get_run(tracker.parent_id)
    assert parent.data.tags["mlflow.note.content"] == "Does accuracy grow with K?"
    assert artifacts(tracker, tracker.parent_id) == ["plan.json", "study.yaml"]
    assert parent.info.artifact_uri.startswith((storage / "mlartifacts").as_uri())


def test_sync_sends_only_what_is_new(tracker, lines):
    trial = start(tracker)
    tracker.sync()
    before = lines[0].calls.total()
    assert tracker.sync()
    assert lines[0].calls.total() == before
    train(trial, 4, 4)
    tracker.sync()
    assert lines[0].calls.total() == before + 1  # one log_batch for one epoch
    assert history(tracker, runs(tracker)["aaa"]) == expected_losses(4)


def test_trial_that_waits_for_its_worker_is_no_outage(tracker, caplog):
    tracker.watch(tracker.store.trial("aaa"))
    assert tracker._sync_watched()
    assert not caplog.records
    start(tracker)
    assert tracker._sync_watched()
    assert history(tracker, runs(tracker)["aaa"]) == expected_losses(3)


def test_driver_that_starts_anew_continues_the_runs(tracker, lines):
    trial = start(tracker)
    tracker.sync()
    train(trial, 4, 5)
    tracker.session.end()
    again = Tracker(tracker.study, tracker.store)
    again.open(STUDY_YAML, {})
    again.sync()
    assert list(runs(tracker)) == ["aaa"]
    assert history(tracker, runs(tracker)["aaa"]) == expected_losses(5)


@pytest.mark.parametrize(("status", "there"), [("failed", "FAILED"), ("pruned", "KILLED")])
def test_trial_that_goes_on_does_so_in_its_run_without_the_old_reason(tracker, status, there):
    trial = start(tracker)
    finish(trial, status, "the loss is nan in epoch 3")
    tracker.sync()
    failed = runs(tracker)["aaa"]
    assert (failed.info.status, failed.data.tags["reason"]) == (there, "the loss is nan in epoch 3")
    assert failed.data.tags["status"] == status
    trial.reset()
    train(trial, 4, 4)
    tracker.sync()
    assert runs(tracker)["aaa"].info.status == "RUNNING"
    finish(trial, at=3e9)
    tracker.sync()
    run = runs(tracker)["aaa"]
    assert run.info.run_id == failed.info.run_id
    assert (run.info.status, run.info.end_time, run.data.tags["reason"]) == ("FINISHED", 3_000_000_000_000, "")
    assert history(tracker, run) == expected_losses(4)


def test_what_an_outage_missed_is_sent_afterwards_in_order_and_said_once(tracker, lines, caplog):
    first = start(tracker, "aaa")
    tracker.sync()
    lines[0].down = True
    lines[0].calls.clear()
    train(first, 4, 6)
    finish(first)
    finish(start(tracker, "bbb"))
    start(tracker, "ccc")
    with caplog.at_level(logging.WARNING, "study.tracking.tracker"):
        assert not tracker.sync()
        assert not tracker.sync()
    assert len(caplog.records) == 1
    assert "hunter2" not in caplog.text
    assert lines[0].calls["search_runs"] <= 2  # two trials in a row: then the rest waits, so the outage costs little
    lines[0].down = False
    assert tracker.sync()
    found = runs(tracker)
    assert {name: run.info.status for name, run in found.items()} == {
        "aaa": "FINISHED", "bbb": "FINISHED", "ccc": "RUNNING",
    }  # fmt: skip
    assert history(tracker, found["aaa"]) == expected_losses(6)
    assert history(tracker, found["bbb"]) == expected_losses(3)


@pytest.mark.parametrize("call", ["create_run", "log_batch", "log_inputs", "set_terminated"])
def test_request_that_was_obeyed_but_not_answered_doubles_nothing(tracker, lines, call):
    finish(start(tracker))
    lines[0].answer_lost.add(call)
    assert not tracker.sync()
    assert tracker.sync()
    found = tracker._client.search_runs([tracker.experiment_id], "tags.role = 'trial'")
    assert len(found) == 1
    assert found[0].info.status == "FINISHED"
    assert history(tracker, found[0]) == expected_losses(3)
    assert len(history(tracker, found[0], "linear.features.top1")) == 1


def test_tables_are_tables_in_mlflow_however_often_they_are_sent(tracker, monkeypatch):
    trial = start(tracker)
    trial.write_table("bands", [{"band": "hard", "wup": 0.5}, {"band": "easy", "wup": math.nan, "se": 0.1}])
    for at in (2e9, 2.1e9):
        finish(trial, at=at)
        assert tracker.sync()
    run = runs(tracker)["aaa"]
    tables = [{"path": "bands.json", "type": "table"}, {"path": "metrics.json", "type": "table"}]
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == tables
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)  # where load_table looks, whatever its client's
    table = tracker._client.load_table(tracker.experiment_id, "bands.json", [run.info.run_id])
    assert list(table.columns) == ["band", "wup", "se"]
    assert table["wup"].tolist() == [0.5, pytest.approx(math.nan, nan_ok=True)]


def test_what_is_measured_on_the_way_and_at_the_end_is_one_curve(tracker):
    trial = start(tracker, epochs=1)
    trial.append({"epoch": 2, "time": 1e9 + 2, "metrics": {"train.loss": 4.8, "negatives.x": 0.1}})
    train(trial, 3, 4)
    assert tracker.sync()
    finish(trial, **{"negatives.x": 0.3})
    assert tracker.sync()
    run = runs(tracker)["aaa"]
    assert [(step, value) for step, _, value in history(tracker, run, "negatives.x")] == [(2, 0.1), (4, 0.3)]
    assert history(tracker, run) == expected_losses(4)


def test_artifact_store_that_is_unreachable_holds_up_nothing_else(tracker, lines, monkeypatch):
    for name in ("aaa", "bbb"):
        trial = start(tracker, name)
        trial.artifacts.mkdir()
        (trial.artifacts / "bands.json").write_text("{}")
        finish(trial)
    upload = lines[0].client.log_artifacts

    def refuse(*arguments):
        raise PermissionError("s3: denied")

    monkeypatch.setattr(lines[0].client, "log_artifacts", refuse)
    assert not tracker.sync()
    assert {run.info.status for run in runs(tracker).values()} == {"FINISHED"}
    monkeypatch.setattr(lines[0].client, "log_artifacts", upload)
    assert tracker.sync()
    assert all(tracker._client.list_artifacts(run.info.run_id) for run in runs(tracker).values())


def test_numbers_that_are_not_finite_are_kept(tracker):
    trial = start(tracker, epochs=0)
    metrics = {"train.loss": math.nan, "train.uniformity": -math.inf, "train.alignment": None}
    trial.append({"epoch": 1, "time": 1e9, "metrics": metrics})
    assert tracker.sync()
    sent = runs(tracker)["aaa"].data.metrics
    assert math.isnan(sent["train/loss"])
    assert sent["train/uniformity"] < -1e300
    assert "train/alignment" not in sent


def test_long_values_are_cut_and_secrets_taken_out(tracker):
    config = CONFIG | {"data": {"name": "image_folder", "root": "s3://key:hunter2@bucket/data"}}
    cell = {"negatives": {"name": "mine", "words": ["word"] * 1000}}
    start(tracker, config=config, cell=cell)
    assert tracker.sync()
    run = runs(tracker)["aaa"]
    assert len(run.data.params["negatives"]) == 5000
    assert run.data.params["negatives"].endswith("…")
    assert run.data.params["data.root"] == "s3://bucket/data"
    assert "hunter2" not in json.dumps(run.to_dictionary())


def again(tracker):
    """The study's next session."""
    tracker.session.end()
    following = Tracker(tracker.study, tracker.store, tracker.uri)
    following.open(STUDY_YAML, {})
    return following


def every_run(tracker):
    """Of all trials, the deleted too."""
    return tracker._client.search_runs([tracker.experiment_id], "tags.role = 'trial'", ViewType.ALL)


def test_run_that_someone_deleted_is_restored_and_goes_on(tracker, caplog):
    trial = start(tracker)
    tracker.sync()
    deleted = runs(tracker)["aaa"].info.run_id
    tracker._client.delete_run(deleted)
    train(trial, 4, 4)
    assert tracker.sync()
    assert "MLflow refuses trial aaa" in caplog.text
    assert tracker.sync()
    assert "the run of trial aaa had been deleted in MLflow; it is restored" in caplog.text
    assert runs(tracker)["aaa"].info.run_id == deleted
    assert history(tracker, runs(tracker)["aaa"]) == expected_losses(4)


def test_deleted_run_of_a_finished_trial_is_restored_by_the_next_session_which_says_so(tracker, caplog):
    for name in ("aaa", "bbb"):
        finish(start(tracker, name))
    tracker.sync()
    tracker._client.delete_run(runs(tracker)["aaa"].info.run_id)
    following = again(tracker)
    assert "deleted in MLflow and are restored: 1" in caplog.text
    assert set(runs(following)) == {"aaa", "bbb"}
    assert len(every_run(following)) == 2


def test_deleted_parent_is_restored_and_no_trial_doubled(tracker, caplog):
    finish(start(tracker))
    tracker.sync()
    tracker._client.delete_run(tracker.parent_id)
    following = again(tracker)
    assert following.sync()
    assert following.parent_id == tracker.parent_id
    assert f"the study's run {tracker.parent_id} had been deleted in MLflow; it is restored" in caplog.text
    assert len(every_run(following)) == 1


def test_trials_of_a_parent_that_is_gone_for_good_are_adopted_by_the_new_one(tracker):
    finish(start(tracker))
    tracker.sync()
    run = runs(tracker)["aaa"].info.run_id
    purge(tracker, tracker.parent_id)
    following = again(tracker)
    assert following.parent_id != tracker.parent_id
    assert following.sync()
    (adopted,) = every_run(following)
    assert adopted.info.run_id == run
    assert adopted.data.tags["mlflow.parentRunId"] == following.parent_id
    assert (adopted.info.status, history(following, adopted)) == ("FINISHED", expected_losses(3))
    assert len(history(following, adopted, "linear.features.top1")) == 1


def purge(tracker, run_id):
    """Remove a run for good, as `mlflow gc` does."""
    tracker._client.delete_run(run_id)
    tracker._client.client._tracking_client.store._hard_delete_run(run_id)


def test_runs_of_finished_trials_that_were_purged_are_sent_anew_at_the_cost_of_one_search(tracker, lines, caplog):
    for trial_id in ("aaa", "bbb", "ccc"):
        finish(start(tracker, trial_id))
    tracker.sync()
    before = {trial_id: run.info.run_id for trial_id, run in runs(tracker).items()}
    purge(tracker, before["bbb"])
    following = again(tracker)
    assert lines[-1].calls["search_runs"] == 1
    assert f"purged in MLflow and are sent anew: 1. {tracker.store.path}" in caplog.text
    assert following.sync()
    after = runs(following)
    assert {t: run.info.run_id for t, run in after.items() if t != "bbb"} == {t: before[t] for t in ("aaa", "ccc")}
    assert after["bbb"].info.status == "FINISHED"
    assert history(following, after["bbb"]) == expected_losses(3)
    assert artifacts(following, after["bbb"].info.run_id) == ["metrics.json"]


def test_trial_whose_folder_was_deleted_has_one_run_with_the_new_epochs_only(tracker):
    finish(start(tracker))
    tracker.sync()
    shutil.rmtree(tracker.store.trial("aaa").path)
    following = again(tracker)
    trial = following.store.trial("aaa")
    trial.write_config({"config": CONFIG, "cell": CELL, "seed": 0})
    trial.append({"epoch": 1, "time": 3e9, "metrics": {"train.loss": 4.5}})
    finish(trial, at=4e9)
    assert following.sync()
    assert len(following._client.search_runs([following.experiment_id], "tags.role = 'trial'")) == 1
    run = runs(following)["aaa"]
    assert history(following, run)[0] == (1, 3_000_000_000_000, 4.5)
    assert 2 not in {step for step, _, _ in history(following, run)}
    assert history(following, run, "linear.features.top1") == [(0, 4_000_000_000_000, 53.3)]


def test_experiment_deleted_meanwhile_is_said_with_the_command_and_goes_on_where_it_is_restored(tracker, caplog):
    trial = start(tracker)
    tracker.sync()
    tracker._client.delete_experiment(tracker.experiment_id)
    train(trial, 4, 4)
    tracker.sync()
    assert not tracker.sync()
    assert f"mlflow experiments restore --experiment-id {tracker.experiment_id}" in caplog.text
    tracker._client.restore_experiment(tracker.experiment_id)
    assert tracker.sync()
    assert history(tracker, runs(tracker)["aaa"]) == expected_losses(4)
    assert len(every_run(tracker)) == 1


def test_two_drivers_at_once_double_no_run(tracker, lines):
    for number in range(6):
        finish(start(tracker, f"trial{number}"))
    other = Tracker(tracker.study, tracker.store)
    other.open(STUDY_YAML, {})
    threads = [threading.Thread(target=driver.sync) for driver in (tracker, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracker.sync()
    assert len(tracker._client.search_runs([tracker.experiment_id], "tags.role = 'trial'")) == 6


def test_background_sends_the_rest_at_the_end(tracker):
    with tracker.background(every=60):
        finish(start(tracker))
    assert runs(tracker)["aaa"].info.status == "FINISHED"
    assert tracker._client.get_run(tracker.parent_id).info.status == "FINISHED"


def test_interrupted_trial_and_study_are_shown_as_such_and_go_on(tracker):
    with pytest.raises(KeyboardInterrupt), tracker.background(every=60):  # noqa: PT012 (the block is interrupted)
        start(tracker)
        raise KeyboardInterrupt
    assert runs(tracker)["aaa"].info.status == "KILLED"
    assert tracker._client.get_run(tracker.parent_id).info.status == "KILLED"
    train(tracker.store.trial("aaa"), 4, 4)
    tracker.sync()
    assert runs(tracker)["aaa"].info.status == "RUNNING"


def test_end_of_a_study_waits_a_bounded_time_and_says_what_waits(tracker, lines, caplog):
    with tracker.background(every=60, patience=0.1):
        finish(start(tracker))
        lines[0].down = True
    assert "1 of 1 trials are not completely in MLflow" in caplog.text


def test_parent_sums_up_the_study(tracker, tmp_path):
    (tracker.store.path / "study.yaml").write_text(STUDY_YAML)
    for number, (k, top1) in enumerate([(64, 50.0), (64, 52.0), (256, 54.0), (256, 58.0)]):
        config = CONFIG | {"k": k, "seed": number % 2}
        finish(start(tracker, f"trial{number}", config=config, cell={"k": k}), **{"linear.features.top1": top1})
    finish(start(tracker, "trial9", config=CONFIG | {"seed": 2}, cell={"k": 64}), "failed", "out of memory")
    results = Results.load(tracker.store)
    tracker.summarise(results, findings(results))
    (tmp_path / "report.html").write_text("<html>")
    tracker.attach(tmp_path / "report.html")
    parent = tracker._client.get_run(tracker.parent_id)
    assert parent.data.metrics == {
        "trials/finished": 4, "trials/failed": 1, "best/linear.features.top1": 56, "mean/linear.features.top1": 53.5,
    }  # fmt: skip
    assert parent.data.tags["best.linear.features.top1"] == "k=256 (n = 2)"
    verdict = parent.data.tags["finding.nozawa2021_accuracy"]
    assert re.fullmatch(r"(supported|undecided): \+.* \[.*\] % per doubling of k against −0\.5", verdict), verdict
    assert {"report.html", "findings.json", "results.csv"} <= set(artifacts(tracker, tracker.parent_id))
    question, _, said = parent.data.tags["mlflow.note.content"].partition("\n\n")
    assert question == "Does accuracy grow with K?"
    assert "- **undecided**: " in said or "- **supported**: " in said
    tracker.summarise(results, findings(results))
    again(tracker)
    assert tracker._client.get_run(tracker.parent_id).data.tags["mlflow.note.content"] == f"{question}\n\n{said}"


def test_outcome_is_sent_once_and_again_where_some_of_it_did_not_arrive(tracker, tmp_path):
    start(tracker)

    def sent(outcome, file):
        with tracker.once(outcome) as anew:
            if anew:
                tracker.attach(file)
        return anew

    (tmp_path / "figure.png").write_bytes(b"drawn")
    assert sent("first", tmp_path / "there is none")
    assert sent("first", tmp_path / "figure.png"), "the file did not arrive"
    assert not sent("first", tmp_path / "figure.png")
    assert not again(tracker).once("first").__enter__(), "the next session asks MLflow"
    assert sent("second", tmp_path / "figure.png")


def test_deleted_experiment_is_refused_with_the_command_that_restores_it(tracker):
    tracker._client.delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingRefused) as refusal:
        Tracker(tracker.study, tracker.store).open(STUDY_YAML, {})
    command = f"MLFLOW_TRACKING_URI={tracker.uri} mlflow experiments restore --experiment-id {tracker.experiment_id}"
    assert f"`{command}`" in str(refusal.value)

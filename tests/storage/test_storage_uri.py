"""A storage in an object store: real S3 requests to a server on this machine."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from study.config import ConfigError
from study.planning.resolve import resolve
from study.results import Results
from study.storage.claims import Session
from study.storage.store import Store, check_writable, location
from study.tracking.tracker import Tracker
from study.tracking.uri import TrackingRefused
from study.tracking.uri import absolute as tracking_uri
from study.trial.run import run_trial
from tests.conftest import TINY, undrawn
from tests.trial.conftest import Killed
from tests.trial.test_run import numbers

pytestmark = [
    # aiobotocore leaves its connections to the garbage collector; botocore, moto and MLflow use what is deprecated.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def bucket(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A storage in the bucket, with MLflow's database on disk."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return f"{bucket}/studies"


def test_a_trial_that_was_killed_goes_on_from_its_checkpoint_to_the_same_numbers(bucket: str, tmp_path: Path) -> None:
    from study import TrialConfig

    trial = resolve(TrialConfig(**TINY))
    whole = run_trial(undrawn(resolve(TrialConfig(**TINY))), Store.of("s", tmp_path).trial("a"), threads=1)
    folder = Store.of("s", bucket).trial("a")

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        run_trial(trial, folder, threads=1, report=kill)
    assert folder.status() == "started"
    assert [path.name for path in folder.checkpoints()] == ["000002.pt", "000001.pt"]
    assert numbers(run_trial(trial, folder, threads=1)) == numbers(whole)
    assert [line["epoch"] for line in folder.journal()] == [1, 2, 3]
    assert folder.checkpoints() == []
    assert list(folder.artifacts.iterdir())
    assert list(Results.load(Store.of("s", bucket)).frame["status"]) == ["finished"]


def test_of_sessions_at_once_one_gets_a_claim(bucket: str) -> None:
    sessions, taken = [Session(Store.of("s", bucket)) for _ in range(4)], []

    def race(session: Session) -> None:
        taken.extend(trial for trial in range(5) if session.claims.take(f"t{trial}"))

    threads = [threading.Thread(target=race, args=[session]) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(5))
    sessions[0].end()


def test_what_another_process_writes_is_seen_at_once(bucket: str) -> None:
    import s3fs

    store = Store.of("s", bucket)
    store.trial("a").write_config({})
    store.trial("a").write_table("t", [{"x": 1}])
    assert [folder.id for folder in store.trials()] == ["a"]
    assert store.trial("a").tables() == ["t"]
    other = s3fs.S3FileSystem(skip_instance_cache=True)
    other.pipe_file(f"{bucket}/s/b/config.json", b"{}")
    other.pipe_file(f"{bucket}/s/a/artifacts/u.json", b"{}")
    assert [folder.id for folder in store.trials()] == ["a", "b"]
    assert store.trial("a").tables() == ["t", "u"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_runs_on_it_and_a_second_run_starts_nothing(bucket: str, tmp_path: Path) -> None:
    script = tmp_path / "on_s3.py"
    script.write_text(
        "from study import Study, TrialConfig, grid\n"
        f"study = Study('on-s3', base=TrialConfig(**{TINY!r}), space={{'temperature': grid(0.1, 0.5)}})\n"
    )
    command = [
        sys.executable,
        "-c",
        "from study.cli import main; raise SystemExit(main())",
        "run",
        str(script),
        "--storage",
        bucket,
    ]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    store = Store.of("on-s3", bucket)
    before = [folder.result() for folder in store.trials()]
    assert [result.status for result in before if result] == ["finished"] * 2
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "nothing to run" in second.stdout
    assert [folder.result() for folder in store.trials()] == before


def test_a_bucket_that_is_not_there_is_refused(bucket: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written to .*; check bucket, credentials and AWS_ENDPOINT_URL"):
        check_writable(location("s3://no-such-bucket/x"))


def test_an_unknown_scheme_and_a_missing_package_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown scheme 's33' in s33://b; write a folder, or s3://BUCKET/PREFIX"):
        location("s33://b")
    with pytest.raises(ConfigError, match=r"gs:// needs a package that is not installed .*gcsfs"):
        check_writable(location("gs://bucket/prefix"))


def test_a_database_in_an_object_store_is_refused_with_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrackingRefused, match="--tracking-uri http://HOST:5000 for a server"):
        tracking_uri(None, location("s3://bucket/prefix"))


def test_sessions_that_track_at_once_elect_one_parent_run_in_the_bucket(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tracker("first", Store.of("first", bucket)).open("name: first\n", {})  # makes the database
    monkeypatch.setattr(Tracker, "_opening_lock", lambda self: None)  # that of a database file: a server has none
    trackers = [Tracker("s", Store.of("s", bucket)) for _ in range(4)]
    threads = [threading.Thread(target=tracker.open, args=["name: s\n", {}]) for tracker in trackers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tracker.parent_id for tracker in trackers}) == 1
    found = trackers[0]._client.search_runs([trackers[0].experiment_id], "tags.role = 'study'")
    assert [run.info.run_id for run in found] == [trackers[0].parent_id]


def test_a_trained_encoder_comes_back_from_a_bucket(bucket: str, tmp_path: Path) -> None:
    import torch

    from study import TrialConfig
    from study.storage.store import Checkpoints

    trial = undrawn(resolve(TrialConfig(**TINY | {"epochs": 1, "evaluations": ["knn"]})))
    stores = [Store.of("s", bucket), Store.of("s", tmp_path)]
    for store in stores:
        assert run_trial(trial, store.trial(trial.id), checkpoints=Checkpoints(encoder=True)).finished
    there, here = (Results.load(store).encoder() for store in stores)
    images = torch.zeros(2, 3, 32, 32)
    assert torch.equal(there(images), here(images))
    stores[0].trial(trial.id).encoder.unlink(missing_ok=True)
    assert not stores[0].trial(trial.id).encoder.exists()

"""Trials on Ray: a user's strategy runs on the workers, a second run starts nothing, failures stay alone."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.timeout(900),  # on a busy machine Ray's workers are the first to wait
    # Ray leaves a socket of its own to the garbage collector, and tune warns of its own deprecated parts.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*unclosed.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MODULE = '''
"""A strategy of the user's own."""
from dataclasses import dataclass

from models.negatives import STRATEGIES, Candidates, Selection, Strategy


@STRATEGIES.register("nearest_index")
@dataclass(frozen=True, kw_only=True)
class NearestIndex(Strategy):
    """The first rows of the pool."""

    rows: int = 4

    def select(self, candidates: Candidates, *, generator) -> Selection:
        kept = candidates.similarity.new_zeros(candidates.similarity.shape, dtype=bool)
        kept[:, : self.rows] = True
        return Selection.keep(kept)
'''


def test_a_study_runs_a_users_strategy_skips_what_is_done_and_keeps_failures_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "my_strategies.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    import my_strategies  # noqa: F401 (registers nearest_index)

    from study import Study, TrialConfig, grid
    from study.storage.store import Store
    from tests.conftest import TINY

    explosive = {"name": "sgd", "learning_rate": 1e30, "warmup_epochs": 0}
    study = Study(
        "users",
        base=TrialConfig(**{**TINY, "epochs": 1, "evaluations": ["contrastive"]}),
        space={"negatives": grid("all", {"name": "nearest_index", "rows": 6}), "optimizer": grid("sgd", explosive)},
        cpus=0.5,
    )
    storage = tmp_path / "runs"
    results = study.run(storage=storage)
    frame = results.frame.set_index(["negatives", "optimizer"])
    assert sorted(frame["status"]) == ["failed", "failed", "finished", "finished"]
    assert results.failed["reason"].str.contains("the loss is").all()
    mine = frame.loc[[i for i in frame.index if "nearest_index" in i[0] and "1e" not in i[1]]].iloc[0]
    assert mine["status"] == "finished"
    assert mine["train.k_eff"] <= 6

    store = Store.of("users", storage)
    before = {folder.id: folder.result() for folder in store.trials()}
    again = study.run(storage=storage)
    assert {folder.id: folder.result() for folder in store.trials()} == before
    assert len(again.frame) == 4
    (sent,) = (storage / "mlartifacts").rglob("report.html")  # on the study's run
    assert "<figure" in sent.read_text()
    assert sent.read_text() == (store.path / "report.html").read_text()
    with monkeypatch.context() as patched:  # a report that fails takes nothing from what has run
        patched.setattr("study.report.page.facts", lambda records: 1 / 0)
        patched.setattr("study.execution.runner._outcome", lambda *_: "another")
        assert len(study.run(storage=storage).frame) == 4
    assert "`study report users` tries again" in caplog.text
    assert "modules:\n- my_strategies" in (store.path / "study.yaml").read_text()
    sys.modules.pop("my_strategies")


def test_a_database_that_is_not_mlflows_is_refused_before_any_trial_starts(tmp_path: Path) -> None:
    """It is opened while Ray starts."""
    import ray

    from study import Study, TrialConfig
    from study.storage.store import Store
    from study.tracking.uri import TrackingRefused
    from tests.conftest import TINY

    (tmp_path / "mlflow.db").write_text("no database")
    with pytest.raises(TrackingRefused, match=r"cannot be used: .*see that .*mlflow\.db is MLflow's"):
        Study("refused", base=TrialConfig(**TINY)).run(storage=tmp_path)
    assert not list(Store.of("refused", tmp_path).trials())
    assert not ray.is_initialized()


def test_cores_that_this_machine_does_not_have_are_refused_before_ray_starts(tmp_path: Path) -> None:
    import ray

    from study import ConfigError, Study, TrialConfig
    from tests.conftest import TINY

    with pytest.raises(ConfigError, match="cpus=1000 a trial is more than the"):
        Study("big", base=TrialConfig(**TINY), cpus=1000).run(storage=tmp_path)
    assert not ray.is_initialized()


FULL_GPU = '''
"""A strategy that finds a GPU full which it shares; the GPU is played by the CPU."""
from dataclasses import dataclass
from pathlib import Path

import ray
import torch

from models.negatives import STRATEGIES, Candidates, Selection, Strategy
from study.machine import devices


@STRATEGIES.register("full_gpu")
@dataclass(frozen=True, kw_only=True)
class FullGPU(Strategy):
    """All of the pool, for as long as the GPU has memory."""

    seen: str
    alone_too: bool = False

    def __setstate__(self, state) -> None:
        """On the worker: trials that are given a GPU run on the CPU."""
        self.__dict__.update(state)
        devices.named = lambda device: torch.device({"cuda": "cpu"}[device])

    def select(self, candidates: Candidates, *, generator) -> Selection:
        share = ray.get_runtime_context().get_assigned_resources()["GPU"]
        with Path(self.seen).open("a") as file:
            file.write(f"{share}\\n")
        steps = Path(self.seen).read_text().split().count(str(share))
        if (share < 1 or self.alone_too) and steps > 4:  # the first epoch has four steps
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Selection.keep(candidates.similarity.new_ones(candidates.similarity.shape, dtype=bool))
'''


@pytest.mark.parametrize(
    "alone_too", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["fits alone", "fits nowhere"]
)
def test_a_trial_for_which_its_share_of_a_gpu_is_full_is_tried_again_once_with_the_whole_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], alone_too: bool
) -> None:
    import ray

    (tmp_path / "full_gpu.py").write_text(FULL_GPU)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "full_gpu", raising=False)
    from models.negatives import STRATEGIES

    for known in ("_entries", "_traits"):  # put back as they were, for this strategy is of no use to others
        monkeypatch.setattr(STRATEGIES, known, dict(getattr(STRATEGIES, known)))
    import full_gpu  # noqa: F401

    from study import Study, TrialConfig
    from study.machine import devices
    from study.storage.store import Store
    from tests.conftest import TINY

    seen, named = tmp_path / "seen", devices.named
    strategy = {"name": "full_gpu", "seen": str(seen), "alone_too": alone_too}
    config = {**TINY, "method": {"name": "moco", "queue_size": 128}, "negatives": strategy, "evaluations": []}
    study = Study("packed", base=TrialConfig(**config), gpus=0.5)
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    try:
        results = study.run(storage=tmp_path / "runs")
    finally:
        ray.shutdown()
    assert devices.named is named  # patched on the worker only
    (folder,) = Store.of("packed", tmp_path / "runs").trials()
    result = folder.result()
    shares = seen.read_text().split()
    assert list(results.frame["status"]) == ["failed" if alone_too else "finished"]
    assert shares.count("0.5") == 5, "it failed in its second epoch"
    assert shares.count("1.0") == (5 if alone_too else 8), "alone it goes on from its checkpoint, once"
    assert "tried again alone on a GPU (out of memory" in " ".join(capsys.readouterr().err.split())
    assert result.environment["device"] == "cpu"
    assert result.out_of_memory is alone_too
    assert [line["epoch"] for line in folder.journal()] == ([1, 2] if alone_too else [1, 2, 3])


def test_an_address_without_a_cluster_is_refused_before_anything_starts(tmp_path: Path) -> None:
    from study import ConfigError, Study, TrialConfig
    from tests.conftest import TINY

    with pytest.raises(ConfigError, match="no Ray cluster answers at '127"):
        Study("far", base=TrialConfig(**TINY)).run(storage=tmp_path, address="127.0.0.1:1")
    assert not (tmp_path / "mlflow.db").exists()


def proposals_of(tmp_path: Path, *, most: float = math.inf, **options: Any):
    """Ray's view of a study of two trials."""
    from io import StringIO

    from rich.console import Console

    from study import Study, TrialConfig
    from study.execution.progress import Progress
    from study.execution.proposals import Proposals
    from study.planning.plan import make_plan
    from study.storage.claims import Session
    from study.storage.store import Store
    from study.tracking.tracker import Tracker
    from tests.conftest import TINY

    study, store = Study("two", base=TrialConfig(**TINY), seeds=2, **options), Store.of("two", tmp_path)
    session = Session(store)
    progress = Progress(make_plan(study, store), "m", "max", Console(file=StringIO()))
    tracker = Tracker("two", store, session=session)
    return Proposals(study, study.trials(), store, session, tracker, progress, most=most), store, progress


def test_a_trial_that_ray_starts_again_after_its_end_finds_its_result_and_counts_once(tmp_path: Path) -> None:
    from study.execution.worker import work
    from study.storage.trial_result import TrialResult

    proposals, store, progress = proposals_of(tmp_path)
    config = proposals.suggest("a")
    result = TrialResult(status="finished", started=0, ended=1)
    store.trial(Path(config["folder"]).name).write_result(result)
    with progress:
        for _ in range(2):
            proposals.start("a")
            proposals.on_trial_complete("a", {"status": "finished", "reason": None, "stored": True})
    assert (progress.finished, progress.running) == (1, {})
    said = {"status": "finished", "reason": None, "stored": True, "retry_alone": False}
    assert work({"folder": config["folder"]}) == said


def test_no_more_trials_are_started_than_a_run_may(tmp_path: Path) -> None:
    from ray.tune.search import Searcher

    proposals, _, _ = proposals_of(tmp_path, most=1)
    assert isinstance(proposals.suggest("a"), dict)
    assert proposals.suggest("b") == Searcher.FINISHED


def test_a_trial_that_needs_a_gpu_alone_keeps_the_study_from_its_end_and_is_proposed_once_more(tmp_path: Path) -> None:
    from ray.tune.search import Searcher

    from study.execution.worker import work
    from study.storage.trial_result import TrialResult

    proposals, store, progress = proposals_of(tmp_path, gpus=0.5)
    configs = [proposals.suggest(name) for name in "ab"]
    assert [config["gpus"] for config in configs] == [0.5, 0.5]
    assert proposals.suggest("c") is None  # either may come back
    with progress:
        proposals.on_trial_complete("a", {"status": "failed", "reason": "full", "stored": False, "retry_alone": True})
        assert (progress.failed, progress.finished) == (0, 0)
        alone = proposals.suggest("c")
        assert (alone["folder"], alone["gpus"]) == (configs[0]["folder"], 1)
        assert work({"folder": alone["folder"], "gpus": 0.5})["stored"] is False  # Ray starts the first once more
        for name, config in (("b", configs[1]), ("c", alone)):
            store.trial(Path(config["folder"]).name).write_result(TrialResult.failure("full"))
            proposals.on_trial_complete(name, {"status": "failed", "reason": "full", "stored": True})
    assert proposals.suggest("d") == Searcher.FINISHED
    assert progress.failed == 2


def test_a_result_that_a_shared_folder_does_not_show_yet_is_not_recorded_as_a_failure(tmp_path: Path) -> None:
    proposals, store, progress = proposals_of(tmp_path)
    late, dead = (proposals.suggest(name)["folder"].rpartition("/")[2] for name in "ab")
    with progress:
        proposals.on_trial_complete("a", {"status": "finished", "reason": None, "stored": True})
        proposals.on_trial_complete("b", {}, error=True)
    assert store.trial(late).result() is None
    failure = store.trial(dead).result()
    assert failure is not None
    assert "its worker died" in failure.reason
    assert (progress.finished, progress.failed) == (1, 1)


@pytest.mark.slow
def test_two_runs_at_the_same_time_share_the_trials_and_both_return_all(tmp_path: Path) -> None:
    from study.storage.store import Store
    from tests.conftest import TINY

    script = tmp_path / "shared.py"
    script.write_text(
        "from study import Study, TrialConfig, grid\n"
        f"study = Study('shared', base=TrialConfig(**{TINY!r}), space={{'temperature': grid(0.1, 0.2)}}, seeds=3)\n"
    )
    command = [
        sys.executable,
        "-c",
        "from study.cli import main; raise SystemExit(main())",
        "run",
        str(script),
        "--storage",
        str(tmp_path / "runs"),
    ]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    store = Store.of("shared", tmp_path / "runs")
    trials = list(store.trials())
    assert [trial.status() for trial in trials] == ["finished"] * 6
    assert all([line["epoch"] for line in trial.journal()] == [1, 2, 3] for trial in trials)
    claims = [path.name for path in (store.path / "claims").iterdir() if path.name != "storage"]
    assert sorted(claims) == [f"{trial.id}.0" for trial in trials], "each trial was claimed once"
    assert all("6 trials (6 finished)" in stdout for stdout, _ in outputs)

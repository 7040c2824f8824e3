"""A trial is deterministic under its seed, resumes to the same numbers, and fails with its reason."""

import functools
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from study import TrialConfig
from study.planning.resolve import resolve
from study.storage.store import Store, TrialFolder
from study.storage.trial_result import TrialResult
from study.trial.encode import AFTER_TRAINING
from study.trial.run import run_trial
from study.trial.streams import Stream, layers_draw, seed_of
from study.trial.training import Training
from study.trial.trial import Trial
from tests.conftest import TINY, undrawn
from tests.trial.conftest import Killed

in_each_precision = pytest.mark.usefixtures("each_precision")


def folder(tmp_path: Path, name: str = "t") -> TrialFolder:
    return Store.of("s", tmp_path).trial(name)


def with_parts(trial: Trial, **parts: object) -> Trial:
    return replace(trial, parts=replace(trial.parts, **parts))


def numbers(result: TrialResult) -> dict[str, float]:
    """Every metric that does not measure time or memory."""
    return exact(result.metrics)


def exact(metrics: dict[str, float]) -> dict[str, float]:
    noisy = ("time.", "memory.", "train.views_per_s")
    return {name: value for name, value in metrics.items() if not name.startswith(noisy)}


@in_each_precision
@pytest.mark.parametrize(
    "method", ["simclr", {"name": "moco", "queue_size": 128, "momentum": 0.9}], ids=["simclr", "moco"]
)
def test_an_interrupted_trial_goes_on_to_the_same_numbers(tmp_path: Path, method: object) -> None:
    config = TrialConfig(**TINY, method=method, k=32, negatives={"name": "uniform", "fraction": 0.5})
    trial = undrawn(resolve(config))
    whole = run_trial(trial, folder(tmp_path, "whole"), threads=1)

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        run_trial(trial, folder(tmp_path), threads=1, report=kill)
    assert folder(tmp_path).status() == "started"
    seen: list[int] = []
    resumed = run_trial(trial, folder(tmp_path), threads=1, report=lambda epoch, _: seen.append(epoch))
    assert seen == [3]
    assert resumed.status == "finished"
    assert numbers(resumed) == numbers(whole)
    assert [line["epoch"] for line in folder(tmp_path).journal()] == [1, 2, 3]


def test_a_trial_that_goes_on_where_the_clock_is_behind_has_a_steady_one(
    tmp_path: Path, tiny: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(epoch: int, metrics: dict[str, float]) -> None:
        raise Killed

    with pytest.raises(Killed):
        run_trial(undrawn(resolve(tiny)), folder(tmp_path), threads=1, report=kill)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    result = run_trial(undrawn(resolve(tiny)), folder(tmp_path), threads=1)
    times = folder(tmp_path).times()
    assert result.started == times[0]
    assert len(times) == 1 + tiny.epochs
    assert times == sorted(times)
    assert times[-1] <= result.ended < times[0] + 600


@in_each_precision
def test_seeds_differ_and_a_seed_repeats(tmp_path: Path, tiny: TrialConfig, whole: TrialFolder) -> None:
    trial, first = undrawn(resolve(tiny)), whole.result()
    again = run_trial(trial, folder(tmp_path, "a"), threads=1)
    other = run_trial(undrawn(trial.under(1)), folder(tmp_path, "b"), threads=1)
    assert numbers(first) == numbers(again)
    assert numbers(first)["train.loss"] != numbers(other)["train.loss"]


def test_a_finished_trial_is_not_run_again(tiny: TrialConfig, whole: TrialFolder) -> None:
    assert run_trial(resolve(tiny), whole, threads=1) == whole.result()


@in_each_precision
def test_a_loss_that_is_not_finite_fails_the_trial_with_the_place_and_what_to_do(tmp_path: Path) -> None:
    optimizer = {"name": "sgd", "learning_rate": 1e30, "warmup_epochs": 0}
    result = run_trial(resolve(TrialConfig(**TINY, optimizer=optimizer)), folder(tmp_path), threads=1)
    assert result.status == "failed"
    assert "at epoch 1, step" in result.reason
    assert "lower optimizer.learning_rate" in result.reason
    assert folder(tmp_path).status() == "failed"


class SpoiltLater(nn.Module):
    """An encoder that makes NaN in one mode from its second epoch on: the floor is measured, then it trains."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32 * 3, 16))
        self.feature_dim, self.modality, self.begun = 16, "image", 0

    def train(self, mode: bool = True) -> nn.Module:
        self.begun += mode and not self.training
        return super().train(mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        of_this = self.training == (self.mode == "training")
        return self.layers(x) * (torch.nan if self.begun >= 2 and of_this else 1)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("training", "the loss is nan as features are not finite at epoch 2, step 1 of "),
        ("evaluation", "embeddings are not finite (NaN or infinite) after epoch 2, in evaluation mode; "),
    ],
)
def test_features_that_are_not_finite_fail_the_trial_with_the_epoch(
    mode: str, reason: str, tmp_path: Path, tiny: TrialConfig
) -> None:
    broken = with_parts(resolve(tiny), encoder=functools.partial(SpoiltLater, mode))
    result = run_trial(broken, folder(tmp_path), threads=1)
    assert result.status == "failed"
    assert result.reason.startswith(reason)
    assert [line["epoch"] for line in folder(tmp_path).journal()] == [1]


def test_an_error_on_the_way_is_the_trials_reason(tmp_path: Path, tiny: TrialConfig) -> None:
    broken = with_parts(resolve(tiny), temperature=None)
    result = run_trial(broken, folder(tmp_path), threads=1)
    assert result.status == "failed"
    assert result.reason.startswith("AttributeError")
    assert result.trace


def test_a_checkpoint_that_cannot_be_read_is_set_aside_and_no_epoch_counts_twice(
    tmp_path: Path, tiny: TrialConfig, whole: TrialFolder
) -> None:
    trial, at = undrawn(resolve(tiny)), folder(tmp_path)

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        raise Killed

    with pytest.raises(Killed):
        run_trial(trial, at, threads=1, report=kill)
    (checkpoint,) = at.checkpoints()
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert numbers(run_trial(trial, at, threads=1)) == numbers(whole.result())
    assert [line["epoch"] for line in at.journal()] == [1, 2, 3]
    assert checkpoint.with_name("000001.pt.unreadable").exists()


@in_each_precision
def test_k_is_what_an_anchor_is_offered_and_collisions_are_a_class_share(tmp_path: Path) -> None:
    config = TrialConfig(**{**TINY, "epochs": 1}, k=20, negatives="without_same_class")
    metrics = run_trial(undrawn(resolve(config)), folder(tmp_path), threads=1).metrics
    assert metrics["train.k"] == 20
    assert metrics["train.collision_rate.pool"] == pytest.approx(0.05, abs=0.03)
    assert metrics["train.collision_rate.selection"] == 0
    assert metrics["train.k_eff"] == pytest.approx(20 * (1 - metrics["train.collision_rate.pool"]), abs=0.2)


def test_the_untrained_floor_is_shared_by_trials_that_differ_in_nothing_of_it(
    tmp_path: Path, whole: TrialFolder
) -> None:
    trial = undrawn(resolve(TrialConfig(**{**TINY, "epochs": 1}, temperature=0.1)))
    other = run_trial(trial, folder(tmp_path), threads=1)
    assert other.metrics["linear.floor.top1"] == whole.result().metrics["linear.floor.top1"]


def test_a_floor_that_the_cache_cannot_keep_is_not_measured(tmp_path: Path, tiny: TrialConfig) -> None:
    trial = resolve(tiny)
    trial.parts.data.load(tmp_path / "cache")
    (tmp_path / "cache" / "floors").touch()  # a read-only folder is none to root
    result = run_trial(trial, folder(tmp_path), threads=1, cache=tmp_path / "cache")
    assert "floors cannot be written to (File exists); set STUDY_CACHE to a folder that can" in result.reason


def test_batches_see_each_example_once_an_epoch_in_another_order(tiny: TrialConfig) -> None:
    trial: Trial = resolve(tiny)
    training = Training(trial, trial.parts.data.load(), torch.device("cpu"))
    first = training.order().flatten().tolist()
    training.epoch += 1
    second = training.order().flatten().tolist()
    assert sorted(first) == sorted(second) == list(range(256))
    assert first != second


class StochasticDepth(nn.Module):
    """An encoder whose layers draw from torch's global generator, as torchvision's and timm's do."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32 * 3, 16), nn.Dropout(0.5))
        self.feature_dim, self.modality = 16, "image"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layers(x)
        return h * torch.bernoulli(torch.full((len(h), 1), 0.8)) if self.training else h


@in_each_precision
def test_layers_that_draw_give_the_same_numbers_under_the_same_seed_resumed_or_not(
    tiny: TrialConfig, tmp_path: Path
) -> None:
    trial = undrawn(with_parts(resolve(tiny), encoder=functools.partial(StochasticDepth)))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    whole = run_trial(trial, folder(tmp_path, "whole"), threads=1)
    assert torch.equal(before, torch.get_rng_state()), "a notebook's own draws are left alone"
    torch.manual_seed(2)

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        run_trial(trial, folder(tmp_path, "parts"), threads=1, report=kill)
    torch.rand(5)
    resumed = run_trial(trial, folder(tmp_path, "parts"), threads=1)
    assert whole.status == "finished", whole
    assert numbers(resumed) == numbers(whole)


def test_a_trial_imports_neither_ray_nor_mlflow() -> None:
    check = "import sys, study.trial; print([m for m in ('ray', 'mlflow', 'torchvision') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_api_is_lazy() -> None:
    check = "import sys, study; print([m for m in ('torch', 'ray', 'mlflow', 'numpy', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_negatives_are_measured_on_the_way_without_a_change_to_the_training(tmp_path: Path) -> None:
    config = {**TINY, "evaluations": ["negatives"], "k": 16, "epochs": 4}
    plain = run_trial(undrawn(resolve(TrialConfig(**config))), folder(tmp_path, "plain"), threads=1)
    trial = resolve(TrialConfig(**config, negatives_every=2))
    watched = run_trial(trial, folder(tmp_path, "watched"), threads=1)
    assert numbers(watched) == numbers(plain)
    at = [
        line["epoch"] for line in folder(tmp_path, "watched").journal() if "negatives.spearman_wup" in line["metrics"]
    ]
    assert at == [2]  # and at the end
    tables = folder(tmp_path, "watched").tables()
    final = {name for name in tables if ".epoch_" not in name} - {"negatives.pairs", "negatives.untrained"}
    assert {name for name in tables if ".epoch_" in name} == {f"{name}.epoch_2" for name in final}
    assert {"negatives.histogram.meaning.png", "negatives.meaning.png"} <= {
        path.name for path in folder(tmp_path, "watched").artifacts.iterdir()
    }
    early, late = (folder(tmp_path, "watched").table(f"negatives.bands{at}") for at in (".epoch_2", ""))
    assert [row["band"] for row in early] == [row["band"] for row in late]
    assert early != late

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        run_trial(undrawn(trial), folder(tmp_path), threads=1, report=kill)
    run_trial(trial, folder(tmp_path), threads=1)
    resumed, whole = (f.journal() for f in (folder(tmp_path), folder(tmp_path, "watched")))
    assert [exact(line["metrics"]) for line in resumed] == [exact(line["metrics"]) for line in whole]


def test_the_selection_of_every_epoch_is_told_against_its_pool(tmp_path: Path) -> None:
    config = TrialConfig(**TINY, k=20, negatives="without_same_class")
    run_trial(resolve(config), folder(tmp_path), threads=1)
    for line in folder(tmp_path).journal():
        assert line["metrics"]["negatives.selected.same_class_share"] == 0
        pool = line["metrics"]["train.collision_rate.pool"]
        assert line["metrics"]["negatives.offered.same_class_share"] == pytest.approx(pool, abs=1e-6)
        assert line["metrics"]["negatives.selected.wup"] == line["metrics"]["negatives.selected.wup_other"]
    assert (folder(tmp_path).artifacts / "negatives.collisions.png").exists()


def test_what_layers_draw_is_no_other_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch, "manual_seed", seeded.append)
    for words in [*((epoch,) for epoch in range(40)), AFTER_TRAINING]:
        with layers_draw(torch.device("cpu"), 5, *words):
            pass
    others = {seed_of(5, stream, epoch) for stream in Stream if stream != Stream.LAYERS for epoch in range(40)}
    assert len(set(seeded)) == 41
    assert not others & set(seeded)

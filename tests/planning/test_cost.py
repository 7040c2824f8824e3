"""Trials that share a GPU, and the reason of a trial that ran out of memory."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from study import Study, TrialConfig
from study.data.cache import remembered
from study.planning import cost
from study.planning.cost import packing, probed
from study.planning.plan import make_plan
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.run import reason_of, run_trial
from study.trial.training import Training
from tests.conftest import TINY

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("mib", "gpu_mib", "said"),
    [
        (4_000, 24_000, "4 fit on a GPU of 24,000 MiB: --set gpus=0.25"),
        (2_400, 24_000, "7 fit on a GPU of 24,000 MiB: --set gpus=0.142"),  # 7 × 0.143 would be more than one
        (20_000, 24_000, "1 fit on a GPU of 24,000 MiB: --set gpus=1"),
        (23_000, 24_000, "a trial does not fit on a GPU of 24,000 MiB: lower batch_size"),
    ],
)
def test_packing_leaves_room_for_each_process_and_shares_add_up_to_at_most_one(
    mib: float, gpu_mib: float, said: str
) -> None:
    assert packing(mib, gpu_mib) == said


def test_a_trial_that_the_machine_has_no_memory_for_fails_with_what_to_lower(tmp_path: Path) -> None:
    config = TINY | {"encoder": {"name": "conv-small", "width": 1_000_000}}
    trial = Study("big", base=TrialConfig(**config)).trials()[0]
    result = run_trial(trial, Store.of("big", tmp_path).trial(trial.id))
    assert result.status == "failed"
    assert result.reason.startswith("out of memory at batch_size=64; lower batch_size, take a narrower encoder")
    assert "or retry it on a machine with more memory" in result.reason
    assert not result.out_of_memory  # that is said of a GPU's


@pytest.mark.parametrize(
    ("part", "remedy"),
    [
        ("", "out of memory at batch_size=64; lower batch_size, take a narrower encoder, or"),
        ("the backward pass", "in the backward pass at batch_size=64; lower batch_size, take a narrower encoder, or"),
        ("the similarities", "in the similarities at batch_size=64; lower k, or the method's queue_size, or"),
        ("evaluating knn", "in evaluating knn at batch_size=64; leave knn out of evaluations, lower data.test_size or"),
    ],
)
def test_where_a_gpus_memory_ran_out_is_told_with_what_to_set_for_it(part: str, remedy: str) -> None:
    trial = Study("big", base=TrialConfig(**TINY)).trials()[0]
    said = reason_of(torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB"), trial, part)
    assert remedy in said
    assert "or retry it on a GPU with more memory (OutOfMemoryError: CUDA out of memory. Tried" in said
    assert "\n" not in said
    assert reason_of(ValueError("bad"), trial, part) == "ValueError: bad"


def test_a_trial_in_float32_is_told_of_the_precision_too() -> None:
    trial = Study("big", base=TrialConfig(**TINY, precision="float32")).trials()[0]
    assert "narrower encoder, set precision=auto, or" in reason_of(torch.OutOfMemoryError("x"), trial, "making views")


@pytest.mark.parametrize("text", ["CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"])
def test_a_result_says_that_a_gpus_memory_ran_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    kind = torch.OutOfMemoryError if text.startswith("CUDA out") else RuntimeError
    trial = Study("big", base=TrialConfig(**TINY)).trials()[0]

    def full(training: Training) -> None:
        raise kind(text)

    monkeypatch.setattr(Training, "train_epoch", full)
    result = run_trial(trial, Store.of("big", tmp_path).trial(trial.id))
    assert result.out_of_memory is True
    assert result.environment["device"] == "cpu"


@pytest.mark.parametrize("quick", [True, False])
def test_a_probe_counts_all_epochs_and_the_evaluation(monkeypatch: pytest.MonkeyPatch, quick: bool) -> None:
    """Times over times, so that a slow machine is slow throughout; few epochs cost the evaluation most of all."""
    monkeypatch.setattr(cost, "PROBE_SECONDS", 60.0 if quick else 0.0)
    found = {}
    for epochs in (1, 1, 401):  # the first one finds nothing prepared
        study = Study("s", base=TrialConfig(**TINY | {"epochs": epochs}), seeds=2)
        found[epochs] = probed(study.trials(), study)
    assert found[1].source.startswith("probed: two epochs and" if quick else "probed: 3 steps")
    assert found[401].seconds > 10 * found[1].seconds
    assert found[1].mib > 50


def test_a_plan_counts_the_start_where_it_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    study, store = Study("s", base=TrialConfig(**TINY), seeds=9), Store.of("s", tmp_path)
    trials = study.trials()
    for trial in trials[:2]:
        store.trial(trial.id).write_config({"config": trial.config, "cell": trial.cell, "seed": trial.seed})
        metrics = {"memory.peak_mib": 1.0}
        store.trial(trial.id).write_result(
            TrialResult(status="finished", metrics=metrics, started=0, ended=9, seconds=7)
        )
    plan = make_plan(study, store, trials)
    rounds = -(-7 // plan.concurrent)
    assert (plan.start_seconds, plan.hours) == (None, pytest.approx(rounds * 7 / 3600))
    assert ": start not counted (`study plan --probe` measures it), 7 s a trial" in str(plan)
    assert f"  about {rounds * 7} s for what is left" in str(plan)
    remembered(cost.start_key(), lambda: 30.0)
    plan = make_plan(study, store, trials)
    assert (plan.start_seconds, plan.hours) == (30, pytest.approx((30 + rounds * 7) / 3600))
    assert ": 30 s to start, 7 s a trial" in str(plan)
    assert "about 1.5 h for" in str(replace(plan, hours=1.5))
    assert "about 2.0 min for" in str(replace(plan, hours=1 / 30))
    assert "left" not in str(replace(plan, done=9)), "of what is done nothing is left"
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert make_plan(study, store, trials).start_seconds is None, "it is this machine's"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_probe_tells_how_long_a_run_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "s.py").write_text(
        f"from study import *\nstudy = Study('s', base=TrialConfig(**{TINY | {'epochs': 10}!r}), seeds=4)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def study(*arguments: str) -> str:
        command = [sys.executable, "-m", "study.cli", *arguments, "--storage", str(tmp_path)]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    hours = json.loads(study("plan", "s.py", "--probe", "--json"))["hours"]
    began = time.perf_counter()
    study("run", "s.py")
    assert hours * 3600 == pytest.approx(time.perf_counter() - began, rel=0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_probe_on_a_gpu_says_how_many_trials_share_it() -> None:
    study = Study("gpu", base=TrialConfig(**TINY), gpus=1)
    estimate = probed(study.trials(), study)
    assert estimate.mib is not None
    assert 0 < estimate.mib < 5_000
    assert "fit on a GPU of" in estimate.source

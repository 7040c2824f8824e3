"""The study decides what its trials run on; where CUDA cannot be used, a line says why and what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from study import ConfigError, Study, TrialConfig
from study.cli import main
from study.machine import devices
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.run import run_trial
from tests.conftest import TINY, undrawn

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
several = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2, reason="needs Linux and two cores"
)


def recipe(tmp_path: Path) -> str:
    (tmp_path / "r.py").write_text(f"from study import *\nstudy = Study('r', base=TrialConfig(**{TINY!r}))\n")
    return str(tmp_path / "r.py")


# Which device


def test_without_gpus_a_trial_runs_on_the_cpu_even_where_a_gpu_is_visible(
    tmp_path: Path, tiny: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.device_of(0) == torch.device("cpu")
    result = run_trial(undrawn(resolve(tiny)), Store.of("s", tmp_path).trial("t"), threads=1)
    assert (result.status, result.environment["device"]) == ("finished", "cpu")


@pytest.mark.parametrize(("device", "said"), [("mps", "no float64"), ("xpu", "cuda:N, got 'xpu'"), ("cuda:", "cuda:N")])
def test_other_devices_are_refused_in_a_line(tmp_path: Path, tiny: TrialConfig, device: str, said: str) -> None:
    folder = Store.of("s", tmp_path).trial("t")
    with pytest.raises(ConfigError, match=said) as refused:
        run_trial(resolve(tiny), folder, device=device)
    assert len(refused.value.problems) == 1
    assert not folder.path.exists()


def test_a_share_of_a_gpu_is_refused_on_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match=r"gpus=0.5: Apple's GPU \(mps\) has no float64.*use the CPU: gpus=0"):
        devices.device_of(0.5)


@no_gpu
def test_a_trial_that_finds_no_cuda_fails_with_the_reason_and_never_runs_on_the_cpu(
    tmp_path: Path, tiny: TrialConfig
) -> None:
    result = run_trial(resolve(tiny), Store.of("s", tmp_path).trial("t"), device="cuda")
    assert result.status == "failed"
    assert result.reason == f"device=cuda: {devices.why_no_cuda()}"
    assert not result.out_of_memory


@no_gpu
@pytest.mark.parametrize("arguments", [["run"], ["trial"], ["plan", "--probe"]], ids=lambda a: a[0])
def test_gpus_without_cuda_are_refused_at_once_with_the_reason(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *flags = arguments
    assert main([verb, recipe(tmp_path), *flags, "--set", "gpus=0.5"]) == 2
    assert f"gpus=0.5: {devices.why_no_cuda()}" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


# Why there is no CUDA


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine on which all is well but that a tensor cannot be made; tests take away more."""

    def fails(*shape: int, device: str) -> None:
        raise RuntimeError("CUDA error: something else\nand more of it")

    monkeypatch.setattr(torch, "ones", fails)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_86", "compute_120"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    monkeypatch.setattr(devices, "_driver", lambda: "13.0")
    return monkeypatch


def test_what_is_not_known_of_cuda_is_the_first_line_of_its_error(full: pytest.MonkeyPatch) -> None:
    assert devices.why_no_cuda() == "CUDA error: something else"


def test_a_torch_without_cuda_is_named(full: pytest.MonkeyPatch) -> None:
    full.setattr(torch.backends.cuda, "is_built", lambda: False)
    assert f"torch {torch.__version__} is built without CUDA; install one with it" in str(devices.why_no_cuda())


def test_a_driver_that_is_too_old_is_named_with_both_versions(full: pytest.MonkeyPatch) -> None:
    full.setattr(devices, "_driver", lambda: "12.4")
    said = str(devices.why_no_cuda())
    assert "the NVIDIA driver takes CUDA up to 12.4" in said
    assert "is built with 13.2; update the driver" in said


def test_gpus_that_are_hidden_are_named_by_the_variable(full: pytest.MonkeyPatch) -> None:
    full.setattr(torch.cuda, "device_count", lambda: 0)
    full.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "no GPU is visible (CUDA_VISIBLE_DEVICES=''); unset it" in str(devices.why_no_cuda())


def test_a_gpu_that_torch_has_no_code_for_is_named_before_and_after_it_is_touched(full: pytest.MonkeyPatch) -> None:
    full.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
    full.setattr(torch.cuda, "is_available", lambda: True)
    for allocate in (True, False):
        said = str(devices.why_no_cuda(allocate=allocate))
        assert "is built for sm_75, sm_86, compute_120, not for compute capability 7.0 (Tesla V100)" in said


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUDA error: out of memory")], ids=repr
)
def test_a_gpu_that_is_full_can_be_used(full: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*shape: int, device: str) -> None:
        raise error

    full.setattr(torch, "ones", fails)
    assert devices.why_no_cuda() is None


@pytest.mark.parametrize(
    ("capability", "code", "runs"),
    [
        ((8, 6), "sm_86", True), ((8, 9), "sm_86", True), ((8, 0), "sm_86", False), ((9, 0), "sm_86", False),
        ((9, 0), "sm_90a", True), ((12, 1), "sm_120", True), ((12, 0), "compute_90", True),
        ((7, 5), "compute_90", False),
    ],
)  # fmt: skip
def test_code_runs_on_later_gpus_of_its_kind(capability: tuple[int, int], code: str, runs: bool) -> None:
    assert devices._runs_on(capability, code) is runs


# Modes


def test_a_cpu_has_no_modes_and_a_gpu_computes_float32_in_float32() -> None:
    """In a process of its own, whose modes these are from then on."""
    check = """
import torch
from study.machine.devices import set_modes
assert set_modes(torch.device("cpu")) == {}
assert torch.backends.cudnn.conv.fp32_precision == "tf32"  # torch's choice, untouched
found = set_modes(torch.device("cuda"))
backends = torch.backends
assert {backends.fp32_precision, backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision} == {"ieee"}
assert not backends.cudnn.benchmark and backends.cudnn.deterministic
assert not backends.cuda.matmul.allow_bf16_reduced_precision_reduction
assert not backends.cuda.matmul.allow_fp16_reduced_precision_reduction
assert not backends.cudnn.allow_tf32 and not backends.cuda.matmul.allow_tf32  # the old names may still be read
with backends.cudnn.flags(enabled=True):
    pass
print(sorted(found))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", check], capture_output=True, text=True)
    assert done.stdout == "['cudnn', 'float32', 'reductions']\n", done.stderr


@gpu
def test_a_result_names_the_gpu_its_driver_and_its_modes(tmp_path: Path, tiny: TrialConfig) -> None:
    result = run_trial(resolve(tiny), Store.of("s", tmp_path).trial("t"), device="cuda", threads=1)
    where = result.environment
    assert where["gpu"] == torch.cuda.get_device_name()
    assert where["cuda"] == torch.version.cuda
    assert where["driver_cuda"]
    assert where["float32"] == "ieee"


# Cores


@several
def test_cores_are_those_that_the_process_may_use() -> None:
    from study.machine.environment import cores
    from study.planning.cost import concurrency

    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(usual)})
    try:
        assert cores() == concurrency(Study("s", base=TrialConfig())) == 1
    finally:
        os.sched_setaffinity(0, usual)


def test_a_study_whose_trials_need_more_cores_than_there_are_is_refused_here_but_not_for_a_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("study.machine.environment.cores", lambda: 3)
    big = recipe(tmp_path), "--set", "cpus=4"
    for verb in ("plan", "run"):
        assert main([verb, *big]) == 2
        assert "cpus=4 a trial is more than the 3 cores that may be used here; lower cpus" in capsys.readouterr().err
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    assert main(["plan", *big]) == 0
    assert main(["run", *big]) == 2  # Ray on this machine
    assert "cpus=4 a trial is more than the 3 cores" in capsys.readouterr().err


@pytest.mark.parametrize("gpus", [1.5, 1e-9, -1])
def test_a_trial_is_given_a_share_of_one_gpu_or_whole_ones(gpus: float) -> None:
    with pytest.raises(ConfigError, match=rf"gpus must be 0 \(the CPU\), a whole number, .*gpus=0.25.*got {gpus}"):
        Study("s", base=TrialConfig(**TINY), gpus=gpus)


@pytest.mark.parametrize(("gpus", "at_once"), [(0, 8), (1, 2), (2, 1), (0.6, 2), (0.5, 4), (0.1, 8)])
def test_concurrency_counts_cores_and_whole_trials_on_each_gpu(
    monkeypatch: pytest.MonkeyPatch, gpus: float, at_once: int
) -> None:
    from study.planning import cost

    monkeypatch.setattr(cost, "cores", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert cost.concurrency(Study("s", base=TrialConfig(**TINY), gpus=gpus)) == at_once


# The bench


@no_gpu
def test_a_bench_on_a_gpu_that_cannot_be_used_is_refused_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--device", "cuda"]) == 2
    assert f"--device cuda: {devices.why_no_cuda()}" in capsys.readouterr().err


def test_a_bench_names_its_device_and_hands_it_to_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from study.bench import bench
    from study.bench import bounds as bench_bounds
    from study.bench import strategies as bench_negatives

    monkeypatch.setattr(bench, "training", lambda encoder, seconds, device: device)
    monkeypatch.setattr(bench, "precisions", lambda encoder, seconds, device: device)
    monkeypatch.setattr(bench_negatives, "bench_strategies", lambda *, rounds, device: device)
    monkeypatch.setattr(bench_bounds, "bench_bounds", lambda device: device)
    figures = bench.bench(device="cpu")
    assert figures["environment"]["device"] == "cpu"
    by_encoder = [*figures["training"].values(), *figures["precision"].values()]
    assert [*by_encoder, figures["negatives"], figures["bounds"]] == [torch.device("cpu")] * 6

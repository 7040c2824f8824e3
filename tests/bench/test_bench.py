"""Measurements of each strategy by the bench, and that its peak is honest."""

from pathlib import Path

import pytest
import torch

from models.negatives import STRATEGIES
from study.bench.bench import beside_ceiling, precisions
from study.bench.strategies import _peak_mib, bench_strategies

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the high-water mark is Linux's")


@pytest.mark.slow
def test_every_strategy_has_its_times_and_its_peak() -> None:
    figures = bench_strategies(b=4, k=300, d=8, rounds=1)
    assert set(figures["strategies"]) == set(STRATEGIES.names())
    assert figures["matrix_mib"] == pytest.approx(4 * 300 * 4 / 2**20)
    for found in figures["strategies"].values():
        assert {"selection_ms", "step_ms", "plain_ms", "ratio", "peak_mib"} == set(found)
        assert min(found["step_ms"], found["plain_ms"]) > 0
        assert found["selection_ms"] >= 0
        assert found["ratio"] == pytest.approx(found["step_ms"] / found["plain_ms"], rel=1e-6)


@linux
def test_the_peak_counts_all_that_a_step_takes_every_time() -> None:
    for _ in range(3):
        assert 60 < _peak_mib(lambda: torch.empty(64, 2**18).fill_(1), torch.device("cpu")) < 80  # 64 MiB


@linux
def test_what_goes_wrong_in_a_measured_step_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        _peak_mib(lambda: 1 / 0, torch.device("cpu"))


def test_each_format_of_the_device_is_timed_beside_float32_and_auto_is_the_first(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("study.bench.bench.DATA", {"name": "shapes", "train_size": 128, "test_size": 40})
    for forced, expected in (("1", ["bfloat16", "float32"]), ("0", ["float32"])):
        monkeypatch.setenv("STUDY_BFLOAT16", forced)
        found = precisions("conv-small", 0.1, torch.device("cpu"))
        assert list(found["views_per_s"]) == list(found["ratio_to_float32"]) == expected
        assert found["auto"] == expected[0]
        assert found["ratio_to_float32"]["float32"] == 1
        assert min(found["views_per_s"].values()) > 0


def test_a_trials_step_takes_little_more_of_a_processor_than_the_bare_encoders(monkeypatch) -> None:
    """Of processors' time, in turns: a busy neighbour lengthens both. 0.7 was measured: see docs/results/bench.md."""
    monkeypatch.setattr("study.bench.bench.DATA", {"name": "shapes", "train_size": 256, "test_size": 40})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = beside_ceiling("conv-small", 128, 2, torch.device("cpu"))
    finally:
        torch.set_num_threads(threads)
    assert found["rounds"] >= 3
    assert min(found["trial_views_per_s"], found["encoder_ceiling_views_per_s"], found["ratio"]) > 0
    assert found["ratio_of_cpu"] > 0.5

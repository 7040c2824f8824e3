"""The peak is that since the reset, where the system has a mark to reset, and the resident set elsewhere."""

import platform
import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch

from study.machine import memory
from study.machine.memory import PeakMemory

CPU = torch.device("cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's high-water mark is Linux's")
def test_a_peak_that_is_over_is_seen_until_the_next_reset():
    """In a process of its own: one that has kept freed memory gives it out again, and its resident set stays."""
    script = """
import numpy as np, torch
from study.machine.memory import PeakMemory
cpu = torch.device("cpu")
peak = PeakMemory(cpu)
before = peak.mib()
np.ones(200 * 2**17)
print(peak.mib() - before, PeakMemory(cpu).mib() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    held, after = map(float, done.stdout.split())
    assert 190 < held < 230
    assert after < 50


def test_it_starts_at_the_resident_set():
    assert PeakMemory(CPU).mib() == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.1)


@pytest.mark.parametrize("forbidden", ["_RESET", "_STATUS"])
def test_where_the_mark_cannot_be_reset_or_read_it_is_the_greatest_resident_set_met(forbidden, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, forbidden, tmp_path / "absent" / "file")
    peak = PeakMemory(CPU)
    held = np.ones(200 * 2**17)
    while_held = peak.mib()
    assert while_held == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.05)
    del held
    assert peak.mib() == while_held


def test_a_system_without_the_mark_falls_back_to_the_resident_set(monkeypatch, tmp_path):
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  2048 kB\n")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    assert PeakMemory(CPU).mib() == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.05)


def test_a_gpu_is_asked_for_its_own_peak(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**20)
    assert PeakMemory(torch.device("cuda", 1)).mib() == 3
    assert asked == [torch.device("cuda", 1)]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_what_is_freed_is_kept_for_the_next_step_until_it_is_given_back() -> None:
    script = """
import torch
from study.machine.memory import give_back, keep_freed
from study.machine.memory import PeakMemory
import psutil
def mib(): return psutil.Process().memory_info().rss / 2**20
keep_freed()
start = mib()
x = torch.ones(2**26); del x  # 256 MiB
kept = mib() - start
give_back()
print(kept, mib() - start)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    kept, after = map(float, done.stdout.split())
    assert kept > 240
    assert after < 60

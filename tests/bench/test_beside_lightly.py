"""The comparison with lightly: skipped with a line where it is missing, and its views are the trial's kind of views."""

import pytest
import torch

from study.bench import bench
from study.bench.beside_lightly import ABSENT, _Images, beside_lightly, installed
from study.config import TrialConfig
from study.planning.resolve import resolve
from study.trial.training import Training


def test_where_lightly_is_missing_a_line_says_so_and_nothing_is_timed(monkeypatch, capsys) -> None:
    monkeypatch.setattr("study.bench.beside_lightly.find_spec", lambda name: None)
    assert bench.bench(only="lightly", device="cpu")["lightly"] == ABSENT
    assert capsys.readouterr().err == f"{ABSENT}\n"


@pytest.mark.filterwarnings("ignore")
def test_a_trial_and_lightly_are_timed_on_the_same_batch(tmp_path) -> None:
    pytest.importorskip("lightly")
    data = {"name": "shapes", "train_size": 64, "test_size": 40}
    trial = resolve(TrialConfig(data=data, encoder={"name": "conv-small", "width": 2}, batch_size=16))
    work = Training(trial, trial.parts.data.load(tmp_path), torch.device("cpu"))
    first, second = _Images(work.data.train)[0]
    assert first.shape == second.shape == (3, 32, 32)
    assert not torch.equal(first, second)
    assert float(torch.cat([first, second]).min()) >= -2.01
    assert float(torch.cat([first, second]).max()) <= 2.01
    found = beside_lightly(work, 0.1)
    assert installed()
    assert found["rounds"] >= 3
    assert found["batch_size"] == 16
    assert min(found[f"{who}_views_per_s"] for who in ("trial", "lightly", "lightly_loss")) > 0
    assert min(found[f"{ratio}{of}"] for ratio in ("ratio", "ratio_of_loss") for of in ("", "_of_cpu")) > 0

"""A study that an earlier version began goes on: the same ids, what is finished is kept, what was interrupted resumes.

`begun_before/` was written by the version before the packages of `study/` were laid out in stages: one trial finished,
one killed after its second of three epochs, two not started. Its numbers are those of another machine. Its study.yaml
says what were the defaults then: heads without batch norm, no held-out examples, the penalties of the linear probe.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

from study.recipes import load
from study.storage.store import Store
from study.trial.run import run_trial
from tests.conftest import undrawn

FOLDER = Path(__file__).parent / "begun_before"
NAME = "begun-before"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    shutil.copytree(FOLDER, tmp_path / "runs", dirs_exist_ok=True)
    return Store.of(NAME, tmp_path / "runs")


def test_its_trials_have_the_ids_that_they_had(store: Store) -> None:
    trials = load(str(store.path / "study.yaml")).trials()
    begun = {folder.id: folder.status() for folder in store.trials()}
    assert sorted(begun.values()) == ["finished", "started"]
    assert set(begun) < {trial.id for trial in trials}
    assert len(trials) == 4
    assert all(store.trial(t.id).config()["cell"] == t.cell for t in trials if t.id in begun)


def test_what_was_interrupted_goes_on_from_its_checkpoint(store: Store, tmp_path: Path) -> None:
    trials = load(str(store.path / "study.yaml")).trials()
    trial = undrawn(*[t for t in trials if store.trial(t.id).status() == "started"])
    epochs: list[int] = []
    resumed = run_trial(trial, store.trial(trial.id), threads=1, report=lambda epoch, _: epochs.append(epoch))
    assert resumed.status == "finished", resumed
    assert epochs == [3], "two epochs were done"
    whole = run_trial(trial, Store.of("anew", tmp_path).trial(trial.id), threads=1)
    for name in ("train.loss", "contrastive.loss"):  # equal on the machine that began it, else to rounding
        assert resumed.metrics[name] == pytest.approx(whole.metrics[name], rel=0.02)


def test_what_is_finished_is_kept(store: Store) -> None:
    (folder,) = [folder for folder in store.trials() if folder.status() == "finished"]
    before = (folder.path / "result.json").read_text()
    (trial,) = [t for t in load(str(store.path / "study.yaml")).trials() if t.id == folder.id]
    torch.manual_seed(0)
    assert run_trial(trial, folder, threads=1).metrics == json.loads(before)["metrics"]
    assert (folder.path / "result.json").read_text() == before

"""Accuracy on the way: its size, the numbers of the definition, and a training that does not notice it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study import ConfigError, TrialConfig
from study.data import DataShape
from study.data.dataset import subset
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.probes.quick import Quick, sizes
from study.trial.run import run_trial
from study.trial.training import Training
from tests.conftest import TINY, undrawn
from tests.trial.conftest import Killed
from tests.trial.probes.test_transfer import votes_of_the_definition
from tests.trial.test_run import exact

WATCHED: dict[str, Any] = {
    **TINY,
    "data": {"name": "shapes", "train_size": 500, "test_size": 40},
    "epochs": 5,
    "evaluations": [],
    "accuracy_every": 2,
    "precision": "float32",
}
QUICK = "knn.quick.validation.top1"


def training_of(**config: Any) -> Training:
    trial = resolve(TrialConfig(**{**WATCHED, **config}))
    return Training(trial, trial.parts.data.load(), torch.device("cpu"))


def shape(train: int, validation: int) -> DataShape:
    return DataShape(train, 100, ("a", "b"), (32, 32), validation=validation)


@pytest.mark.parametrize(
    ("train", "validation", "every", "epochs", "expected"),
    [
        (45_000, 5000, 1, 100, (1792, 1792)),  # 2 % of 2 passes · 2 views · 175 · 256 examples = 3,584, in halves
        (45_000, 5000, 5, 100, (12_920, 5000)),  # all held-out examples ask; the rest of 17,920 answers
        (45_000, 500, 5, 100, (17_420, 500)),
        (45_000, 5000, 100, 100, (45_000, 5000)),  # no more than there are
        (45_000, 5000, 60, 100, (45_000, 5000)),
        (512, 500, 3, 4, (41, 40)),  # two measurements in 4 epochs: 81 examples each
    ],
)
def test_the_measurements_encode_at_most_2_percent_of_the_training(
    train: int, validation: int, every: int, epochs: int, expected: tuple[int, int]
) -> None:
    found = sizes(shape(train, validation), views=2, batch_size=256, epochs=epochs, every=every)
    trained = 2 * 2 * (train // 256) * 256 * epochs
    assert sum(found) * -(-epochs // every) <= 0.02 * trained or found == (train, validation)
    assert tuple(found) == expected


def test_the_number_is_that_of_the_definition() -> None:
    training = training_of()
    training.train_epoch()
    training.train_epoch()
    measured = Quick(training)
    number = sizes(training.data.shape, views=2, batch_size=64, epochs=5, every=2)
    assert measured.neighbours == 1  # as many as a class has in the bank
    bank, queries = subset(training.data.train, number.bank), subset(training.data.validation, number.queries)
    encoder = training.learner.encoder.eval()

    def h(split: Any) -> np.ndarray:
        pixels = torch.from_numpy(split.take(slice(None))).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            return encoder((pixels - 0.5) / 0.25).double().numpy()

    predicted = votes_of_the_definition(h(queries), h(bank), bank.labels, neighbours=1)
    found = measured(training)
    assert found[QUICK] == pytest.approx(100 * np.mean(predicted == queries.labels))
    assert found["time.train_s"] == training.seconds


def test_training_is_the_same_to_the_bit_with_and_without_it(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    trials = {every: undrawn(resolve(TrialConfig(**{**WATCHED, "accuracy_every": every}))) for every in (0, 2)}
    results = {every: run_trial(trial, store.trial(str(every)), threads=1) for every, trial in trials.items()}
    assert all(result.status == "finished" for result in results.values())
    journals = {every: [exact(line["metrics"]) for line in store.trial(str(every)).journal()] for every in trials}
    measured = [QUICK in line for line in journals[2]]
    assert measured == [False, True, False, True, True]
    bare = [{name: value for name, value in line.items() if not name.startswith("knn.quick")} for line in journals[2]]
    assert bare == journals[0]
    assert exact(results[2].metrics)[QUICK] == journals[2][-1][QUICK]


def test_networks_modes_and_generators_are_as_they_were() -> None:
    training = training_of(method={"name": "moco", "queue_size": 128})
    training.train_epoch()
    training.train_epoch()
    learner = training.learner.train()
    learner.head.eval()
    state = {name: x.clone() for name, x in learner.state_dict().items()}
    modes = [part.training for part in learner.modules()]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert QUICK in Quick(training)(training)
    assert torch.equal(torch.get_rng_state(), before)
    assert [part.training for part in learner.modules()] == modes
    assert all(torch.equal(state[name], x) for name, x in learner.state_dict().items())


def test_a_resumed_trial_has_the_same_values(tmp_path: Path) -> None:
    trial, store = undrawn(resolve(TrialConfig(**WATCHED))), Store.of("s", tmp_path)

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        run_trial(trial, store.trial("parts"), threads=1, report=kill)
    run_trial(trial, store.trial("parts"), threads=1)
    run_trial(trial, store.trial("whole"), threads=1)
    parts, whole = ([exact(line["metrics"]) for line in store.trial(n).journal()] for n in ("parts", "whole"))
    assert parts == whole
    seconds = [line["metrics"].get("time.train_s") for line in store.trial("parts").journal()]
    assert seconds[1] < seconds[3] < seconds[4]


def test_off_is_as_before_and_on_is_another_trial() -> None:
    off = resolve(TrialConfig(**{**WATCHED, "accuracy_every": 0}))
    assert "accuracy_every" not in off.identity
    on = resolve(TrialConfig(**WATCHED))
    assert on.identity == {**off.identity, "accuracy_every": 2}
    assert on.id != off.id
    assert QUICK in on.reports - off.reports


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"epochs": 3, "accuracy_every": 1, "data": {"name": "shapes", "train_size": 128, "test_size": 40}},
            "accuracy_every: at 2% of the training's cost, every 1 epochs, 5 held-out and 5 training examples can be "
            "measured, of 20 classes; leave it out, the training is too short for it",
        ),
        ({"epochs": 20, "accuracy_every": 1}, "of 20 classes; set it to 2 or more"),
        (
            {"data": {"name": "shapes", "train_size": 500, "validation_size": 0}},
            "accuracy_every: it is measured on held-out examples, and there are none",
        ),
        ({"accuracy_every": -1}, "accuracy_every: input should be greater than or equal to 0, such as 0, got -1"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_what_can(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(TrialConfig(**{**WATCHED, **config}))
    assert message in str(caught.value)

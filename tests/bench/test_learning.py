"""Accuracy per second: the clock, the schedule's horizon, the curve, and what is refused."""

import json
import time

import pytest
import torch

from study.bench.learning import Stopwatch, accuracy, bench_learning, epochs_within
from study.cli import main
from study.config import ConfigError, TrialConfig
from study.machine.environment import cores
from study.planning.resolve import resolve
from study.trial.training import Training

CPU = torch.device("cpu")
DATA = {"name": "shapes", "train_size": 256, "test_size": 40, "validation_size": 60}
CELL = TrialConfig(data=DATA, encoder={"name": "conv-small", "width": 2}, batch_size=64)


def test_the_clock_stands_still_while_something_is_measured() -> None:
    watch = Stopwatch(CPU)
    with watch.running():
        time.sleep(0.05)
    time.sleep(0.2)
    assert 0.05 <= watch.seconds("wall") < 0.2


def test_cpu_seconds_are_those_of_work_by_cores_and_waiting_takes_none() -> None:
    watch = Stopwatch(CPU)
    with watch.running():
        time.sleep(0.2)
    assert watch.seconds("cpu") < 0.1
    with watch.running():
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
    assert 0.3 <= cores() * watch.seconds("cpu") < 0.5


@pytest.mark.parametrize(("seconds", "expected"), [(2.0, 50), (4.0, 25), (13.0, 8), (100.0, 1), (500.0, 1)])
def test_the_schedule_ends_with_the_last_time(seconds: float, expected: int) -> None:
    assert epochs_within(100.0, 1, seconds) == expected


def test_a_curve_has_its_floor_and_a_point_for_each_time_from_one_training(tmp_path) -> None:
    found = bench_learning(CELL, device=CPU, times=(0.3, 0.1), seeds=2, cache=tmp_path)
    assert [curve["seed"] for curve in found["curves"]] == [0, 1]
    for curve in found["curves"]:
        early, late = curve["points"]
        assert (early["at"], late["at"]) == (0.1, 0.3)
        assert early["wall_s"] >= 0.1
        assert early["epochs"] <= late["epochs"]
        assert early["views"] == 2 * 256 * early["epochs"]
        assert 0 < curve["floor"] < 100
    assert found["accuracy"]["0.3"]["mean"] == pytest.approx(
        sum(curve["points"][1]["accuracy"] for curve in found["curves"]) / 2
    )
    assert found["floor"]["n"] == 2


def test_measuring_the_accuracy_changes_no_number_of_the_training(tmp_path) -> None:
    trial = resolve(CELL)
    losses = []
    for measured in (False, True):
        training = Training(trial, trial.parts.data.load(tmp_path), CPU)
        training.train_epoch()
        if measured:
            accuracy(training)
        losses.append(training.train_epoch()["train.loss"])
    assert losses[0] == losses[1]


def test_data_without_held_out_examples_are_refused_before_any_training(tmp_path) -> None:
    bare = TrialConfig(data=DATA | {"validation_size": 0}, encoder=CELL.encoder, batch_size=64)
    with pytest.raises(ConfigError, match="validation_size"):
        bench_learning(bare, device=CPU, times=(0.1,), cache=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "learning", "--at", "0"], "--at takes seconds above 0"),
        (["--only", "learning", "--seeds", "0"], "--seeds must be at least 1"),
        (["--only", "learning", "--set", "epochs=3"], "name the study"),
        (["--only", "training", "--at", "5"], "those of --only learning"),
    ],
)
def test_options_that_measure_nothing_are_refused(arguments: list[str], message: str, capsys) -> None:
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_command_trains_the_base_of_a_study_and_prints_json(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path))
    sizes = ["--set", "data.train_size=256", "--set", "encoder.width=2", "--set", "batch_size=64"]
    assert main(["bench", "quickstart", "--only", "learning", "--at", "0.1", *sizes]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["learning"]["cell"]["batch_size"] == 64
    assert list(found["learning"]["accuracy"]) == ["0.1"]
    assert {"environment", "threads"} <= set(found)

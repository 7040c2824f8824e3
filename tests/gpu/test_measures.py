"""The measurements of `make test-gpu`, at sizes for a CPU; and its page."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from study.storage.store import Store
from study.storage.trial_result import TrialResult
from tests.conftest import TINY
from tests.gpu import measure
from tests.gpu.page import MARKS, TITLES, write

PAGE = Path(__file__).parents[2] / "docs/results/gpu.md"
SMALL: dict[str, Any] = {**TINY, "epochs": 2, "evaluations": ["linear"]}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[None]:
    monkeypatch.setenv("STUDY_CACHE", str(cache))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_trials_row_says_what_finished_how_well_and_how_fast(tmp_path: Path, each_precision: str) -> None:
    trial = measure.config(**SMALL, precision=each_precision)
    (row,) = measure.one_trial(trial, "tiny", tmp_path, "cpu")
    assert (row["precision"], row["trials (n)"], row["finished"]) == (each_precision, 1, 1)
    assert float(row["accuracy of the best, %"]) > 0
    assert float(row["seconds of a trial, median"]) > 0


def test_a_trial_that_did_not_finish_is_counted(tmp_path: Path) -> None:
    optimizer = {"name": "sgd", "learning_rate": 1e30, "warmup_epochs": 0}
    (row,) = measure.one_trial(measure.config(**SMALL, optimizer=optimizer), "tiny", tmp_path, "cpu")
    assert (row["trials (n)"], row["finished"], row["accuracy of the best, %"]) == (1, 0, "")


def test_cifar10_small_is_the_recipes_trial_in_another_precision() -> None:
    trial, what = measure.cifar10_small("float32")
    assert (trial.batch_size, trial.epochs, trial.precision) == (256, 40, "float32")
    assert what.startswith("a trial of cifar10_small")


def test_steps_are_timed_beside_the_bare_encoder(each_precision: str) -> None:
    row = measure.speed({"name": "conv-small", "width": 4}, "cpu", side=16, batch=8, seconds=0)
    assert (row["encoder"], row["precision"], row["rounds (n)"]) == ("conv-small", each_precision, 3)
    assert float(row["ratio"]) > 0


def test_a_resumed_trial_is_held_against_one_that_ran_through(tmp_path: Path, each_precision: str) -> None:
    row = measure.resumed(measure.config(**SMALL), tmp_path, "cpu")
    assert (row["precision"], row["different"], row["which"]) == (each_precision, 0, "")
    assert row["numbers (n)"] > 10


@pytest.mark.parametrize("name", measure.BLOCKED)
def test_steps_two_to_five_are_watched(name: str) -> None:
    modes: list[str] = []
    trial = measure.config(encoder={"name": "conv-small", "width": 4}, **measure.BLOCKED[name])
    assert measure.unblocked(trial, "cpu", modes.append) == 4
    assert [mode for mode, _ in itertools.groupby(modes)] == ["default", *["error", "default"] * 4]


def journal(*ends: float, rate: float) -> list[dict[str, Any]]:
    return [{"time": end, "metrics": {"train.views_per_s": rate}} for end in ends]


def test_views_in_sum_are_of_the_time_in_which_all_trained(tmp_path: Path) -> None:
    first, second = journal(1, 2, 3, 4, rate=10), journal(2, 3.5, 5, rate=30)
    first[1]["metrics"]["train.views_per_s"] = 10
    first[0]["metrics"]["train.views_per_s"] = 99  # of the first epoch, which warms up
    assert measure.in_sum([first, second]) == 40
    with pytest.raises(ValueError, match="more epochs"):
        measure.in_sum([journal(1, 2, rate=1), journal(3, 4, rate=1)])
    alone, together = Store.of("alone", tmp_path), Store.of("together", tmp_path)
    for store, lines in ((alone, [first]), (together, [first, second])):
        for number, journal_of in enumerate(lines):
            folder = store.trial(str(number))
            folder.write_config({})
            for epoch, line in enumerate(journal_of, start=1):
                folder.append({"epoch": epoch, **line})
            folder.write_result(TrialResult(status="finished", started=0, ended=1))
    row = measure.packed(alone, together)
    assert (row["trials at once (n)"], row["finished"], row["ratio"]) == (2, 2, "4.00")


def test_the_page_has_a_table_a_kind_with_hardware_and_n_or_says_that_nothing_was_measured() -> None:
    text = PAGE.read_text()
    assert all(mark in text for mark in MARKS)
    figures = text.split(MARKS[0])[1].split(MARKS[1])[0]
    if "Not measured" in figures:
        assert figures.strip() == "Not measured: no GPU has been at hand yet."
    else:
        assert all(word in figures for word in ("NVIDIA", "Measured on", "(n)", *TITLES.values()))


def test_a_measurement_that_failed_is_said_in_its_place(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    page.write_text(PAGE.read_text())
    rows = {kind: [{"what": kind, "n": 1}] for kind in TITLES if kind != "speed"}
    write(page, rows, measure.hardware("cpu"))
    write(page, rows, "NVIDIA of tomorrow")
    text = page.read_text()
    assert "Not measured" not in text
    assert text.count("NVIDIA of tomorrow. Measured on 20") == 1
    assert text.count("It failed.") == 1
    assert text.split(MARKS[0])[0] == PAGE.read_text().split(MARKS[0])[0]
    assert "| what | n |\n| --- | --- |\n| studies | 1 |" in text

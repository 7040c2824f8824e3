"""Which metrics MLflow gets as such, under which names; the rest is in one table, and nothing is lost."""

import csv
import re
from pathlib import Path

import pytest

from study.tracking import layout
from study.tracking.layout import SUMMARY, Layout

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def measured() -> list[str]:
    """Every metric of trials of all methods that compare pairs, with all evaluations."""
    with (ROOT / "docs/results/methods_small.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] != "supervised"]
    return [name for name in rows[0] if re.match(r"[a-z_]+\.", name) and any(row[name] for row in rows)]


def test_the_first_dot_of_a_name_becomes_the_slash_that_groups_charts() -> None:
    assert Layout().name("linear.features.top1") == "linear/features.top1"
    assert Layout().name("train.loss") == "train/loss"
    assert Layout(grouped=False).name("train.loss") == "train.loss"


def test_trials_of_all_methods_have_at_most_forty_and_all_that_claims_are_about(measured: list[str]) -> None:
    assert len(measured) > 180
    chosen = Layout().chosen(measured)
    assert len(chosen) == SUMMARY - 1
    claimed = {
        match
        for file in (ROOT / "study/claims/published").glob("*.py")
        for match in re.findall(r'"((?:bounds|geometry|linear|negatives|train)\.[\w.]+)"', file.read_text())
    }
    claimed.remove("negatives.lo")  # a path in a config
    assert len(claimed) > 8
    assert claimed <= set(chosen)
    assert {"train.loss", "contrastive.loss", "linear.floor.top1", "knn.features.top1", "time.train_s"} <= set(chosen)


def test_what_the_docs_list_is_what_is_chosen(measured: list[str]) -> None:
    """docs/metrics.md lists the metrics of MLflow between two markers."""
    text = (ROOT / "docs/metrics.md").read_text().partition("## In MLflow")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE))
    names = {f"{group}.{name}" for group, line in listed for name in re.findall(r"`([\w.]+)`", line)}
    assert names == {*Layout().chosen(measured), "train.accuracy", "knn.quick.validation.top1"}


def test_the_studys_own_metric_is_always_among_them(measured: list[str]) -> None:
    own = "negatives.spearman_lch_pairs"
    assert own not in Layout().chosen(measured)
    chosen = Layout((own,)).chosen(measured)
    assert chosen == [own, *Layout().chosen(measured)]


def test_of_two_representations_the_second_comes_last(measured: list[str]) -> None:
    both = [name.replace("geometry.", "geometry.features.") for name in measured if name.startswith("geometry.")]
    chosen = Layout().chosen([*both, *measured])
    assert len(chosen) == SUMMARY
    assert chosen[: SUMMARY - 1] == Layout().chosen(measured)


def test_a_users_own_metrics_are_among_them_and_bounded() -> None:
    assert Layout().chosen(["mine.score", "mine.score_se"]) == ["mine.score"]
    assert Layout().chosen(["knn.quick.validation.top1", "knn.features.validation.top1"]) == [
        "knn.quick.validation.top1"
    ]
    assert len(Layout().chosen(f"mine.{number}" for number in range(100))) == SUMMARY


def test_metrics_and_table_together_are_all_that_was_measured(measured: list[str]) -> None:
    steps = [name for name in measured if name.startswith(("train.", "negatives.selected.", "negatives.offered."))]
    journal = [{"epoch": epoch, "metrics": {name: epoch + n / 128 for n, name in enumerate(steps)}} for epoch in (1, 2)]
    result = {name: float(n) for n, name in enumerate(measured) if name not in steps} | journal[-1]["metrics"]
    sent = {
        (name, line["epoch"]): value for line in journal for name, value in Layout().of_epoch(line["metrics"]).items()
    }
    for step, values in Layout().final(result, journal).items():
        assert not {(name, step) for name in values} & set(sent), "nothing twice"
        sent |= {(name, step): value for name, value in values.items()}
    rows = {(Layout().name(name), epoch): value for name, epoch, value in Layout().rest(result, journal)["data"]}
    assert not {name for name, _ in rows} & {name for name, _ in sent}
    of_epochs = {(Layout().name(n), line["epoch"]): v for line in journal for n, v in line["metrics"].items()}
    assert {**sent, **rows}.items() >= of_epochs.items()
    finals = {name: value for (name, step), value in {**sent, **rows}.items() if (name, step) not in of_epochs}
    assert finals == {Layout().name(name): result[name] for name in measured if name not in steps}
    assert {name for name, _ in sent} == {Layout().name(name) for name in Layout().chosen(measured)}


def test_a_number_is_shown_without_what_a_division_left() -> None:
    assert Layout().of_epoch({"a.top1": 100 * 0.301}) == {"a/top1": 30.1}
    assert Layout().final({"a.b": 1 / 3, "a.c": None, "a.d": float("inf")}, []) == {
        0: {"a/b": 0.333333333333, "a/c": None, "a/d": float("inf")}
    }


def test_a_number_that_is_not_finite_is_empty_in_the_table() -> None:
    assert Layout().rest({"time.linear_s": float("nan")}, [])["data"] == [["time.linear_s", 0, None]]


def test_an_experiment_of_an_earlier_version_gets_all_of_it_by_its_own_names(measured: list[str]) -> None:
    before = layout.Layout(grouped=False)
    assert before.chosen(measured) == measured
    assert before.final({"a.b_se": 1.0}, []) == {0: {"a.b_se": 1.0}}

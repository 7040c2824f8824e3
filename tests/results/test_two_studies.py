"""Two studies side by side: which cells are paired, how, and what is said of the rest."""

import json

import pandas as pd
import pytest

from study.claims import compare_findings, findings
from study.cli import main
from study.results import Results, compare_studies
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from tests.claims.studies import TOP1, grid, study_of


def stored(folder, name, cells, *, base=None, seeds=3, torch="2.7", better=0.0, prefix="t"):
    """A study's results in a store, a trial a cell and seed; TOP1 is 50, with the cell's place and the seed added."""
    store = Store.of(name, folder)
    for i, cell in enumerate(cells):
        for seed in range(seeds):
            config = {
                "data": {"name": "cifar10", "root": str(folder)}, "epochs": 10, "k": 16, "seed": seed,
                "negatives": {"name": "all"}, "evaluations": [{"name": "linear"}], **(base or {}), **cell,
            }  # fmt: skip
            trial = store.trial(f"{prefix}{i}{seed}")
            trial.write_config({"config": config, "cell": cell, "seed": seed})
            metrics = {TOP1: 50 + i + 3.0 * seed + better + 0.1 * (seed == i)}
            environment = {"torch": torch, "cpu": "one"}
            result = TrialResult(status="finished", metrics=metrics, started=0, ended=1, environment=environment)
            trial.write_result(result)
    return Results.load(store)


KS = [{"k": 16}, {"k": 64}]


def test_the_same_trials_are_paired_and_versions_are_named(tmp_path):
    first = stored(tmp_path / "a", "one", KS)
    second = stored(tmp_path / "b", "one", KS, torch="2.8", better=0.5)
    found = compare_studies(first, second)
    assert found.differing == {"torch": ("2.7", "2.8")}  # where data lie is none of it
    assert found.frame["paired"].all()
    assert found.frame["difference"].tolist() == pytest.approx([0.5, 0.5])
    assert found.frame["verdict"].tolist() == ["higher", "higher"]
    assert "both ran 6 trials of one config and seed, 0 of them to the same number" in str(found)


def test_what_is_only_measured_differently_is_still_the_same_trial(tmp_path):
    first = stored(tmp_path, "one", KS)
    second = stored(tmp_path, "two", KS, base={"evaluations": [{"name": "linear"}, {"name": "knn"}]}, prefix="u")
    found = compare_studies(first, second)
    assert found.frame["paired"].all()
    assert found.differing == {"evaluations.knn": ("not there", "knn")}


def test_a_seed_under_another_setting_is_not_paired_and_the_setting_is_named(tmp_path):
    first = stored(tmp_path, "one", KS)
    second = stored(tmp_path, "two", KS, base={"epochs": 20}, prefix="u")
    found = compare_studies(first, second)
    assert not found.frame["paired"].any()
    assert found.differing == {"epochs": ("10", "20")}
    assert "2 of 2 cells are compared unpaired (Welch)" in str(found)


def test_a_value_that_is_fixed_in_one_study_is_a_cell_of_the_other(tmp_path):
    first = stored(tmp_path, "one", KS)
    hard = {"name": "difficulty", "hi": 0.05}
    second = stored(tmp_path, "two", [{"negatives": {"name": "all"}}, {"negatives": hard}], prefix="u")
    found = compare_studies(first, second)
    assert found.frame[["k", "negatives"]].to_numpy().tolist() == [["16", "all"]]
    assert found.only == (("k=64, negatives=all",), ("k=16, negatives=difficulty(hi=0.05)",))
    assert "in A only: 1 cell (k=64, negatives=all)" in str(found)


def test_no_common_cell_is_refused_with_the_nearest(tmp_path):
    first = stored(tmp_path, "one", [{"k": 16, "temperature": 0.1}, {"k": 64, "temperature": 0.5}])
    second = stored(tmp_path, "two", [{"k": 64, "temperature": 0.2}, {"k": 256, "temperature": 0.9}])
    message = r"no cell is in both; the nearest differ in temperature: 0\.5 in A, 0\.2 in B: run a cell"
    with pytest.raises(ValueError, match=message):
        compare_studies(first, second)


def test_a_table_that_does_not_tell_what_parts_cells_is_refused():
    first = study_of(grid(k=(16, 64), temperature=(0.1,)), [1, 2], noise=1.0)
    first = Results(first.frame.rename(columns={"temperature": "other"}))
    second = Results(study_of([{"other": 0.1}], [1], noise=1.0).frame)
    with pytest.raises(ValueError, match="A has it with k=16, 64, and B does not tell k; give a study in place"):
        compare_studies(first, second)


def test_a_study_is_held_against_a_colleagues_table(tmp_path):
    first = stored(tmp_path / "a", "one", KS)
    stored(tmp_path / "b", "one", KS).save(tmp_path)
    found = compare_studies(first, Results.read(tmp_path / "results.csv"))
    assert found.frame["difference"].tolist() == [0, 0]
    assert "B: a table tells only what varies, and of no versions or hardware" in found.notes
    assert "6 of them to the same number" in str(found)


def test_findings_agree_disagree_or_are_decided_by_one():
    cells = grid(objective=("nt_xent", "debiased", "hard"))
    first = findings(study_of(cells, [50, 53, 50], seeds=4, noise=0.2))
    second = findings(study_of(cells, [50, 53.5, 46], seeds=4, noise=0.2, repetition=1))
    third = findings(study_of(cells, [50, 45, 51], seeds=4, noise=0.2, repetition=2))
    unclear = findings(study_of(cells, [50, 53, 50], seeds=3, noise=20))

    def words(a, b):
        return {one.first.name: one.words for one in compare_findings(a, b)}["chuang2020_gain"]

    assert words(first, second) == "agree"
    assert words(first, third) == "disagree"
    assert words(first, unclear) == "only one decides"
    assert words(unclear, unclear) == "neither decides"


@pytest.fixture
def tables(tmp_path):
    cells = grid(objective=("nt_xent", "debiased"))
    for name, gain in (("a", 3), ("b", 4)):
        study_of(cells, [50, 50 + gain], seeds=4, noise=0.2).save(tmp_path / name)
    return [str(tmp_path / name / "results.csv") for name in "ab"]


def test_the_command_prints_cells_and_findings(tables, capsys, tmp_path):
    picture = tmp_path / "differences.svg"
    assert main(["compare", *tables, "--out", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "A: a (8 finished trials, a table)" in out
    assert "AGREE             The debiased objective gains accuracy over InfoNCE." in out
    assert picture.read_text().startswith("<?xml")


def test_the_command_as_json(tables, capsys):
    assert main(["compare", *tables, "--json", "--margin", "2"]) == 0
    content = json.loads(capsys.readouterr().out)
    cells = pd.DataFrame(content["cells"]).set_index("objective")
    assert cells["difference"].to_dict() == pytest.approx({"nt_xent": 0, "debiased": 1}, abs=1e-9)
    assert content["findings"][0]["agreement"] == "agree"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "linear.features.top"], "A has no metric 'linear.features.top'; did you mean"),
        (["--margin", "-1"], "--margin must be above 0, got -1; such as --margin 0.5"),
        (["--out", "f.gif"], "--out must end in .svg, .png, .pdf"),
    ],
)
def test_wrong_options_are_refused(tables, capsys, options, message):
    assert main(["compare", *tables, *options]) == 2
    assert message in capsys.readouterr().err

"""The verb `findings`."""

import json

import pytest

from study.claims import CLAIMS
from study.cli import main
from tests.claims.studies import grid, study_of


@pytest.fixture
def table(tmp_path):
    study_of(grid(objective=("nt_xent", "debiased")), [50, 53], seeds=4, noise=0.2).save(tmp_path)
    return str(tmp_path / "results.csv")


def test_a_table_is_held_against_the_claims(table, capsys):
    assert main(["findings", table]) == 0
    out = capsys.readouterr().out
    assert out.startswith("SUPPORTED    The debiased objective gains accuracy over InfoNCE. (Chuang et al. 2020")


def test_json_has_every_claim(table, capsys):
    assert main(["findings", table, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    (found,) = content["findings"]
    assert (found["name"], found["verdict"], found["seeds"]) == ("chuang2020_gain", "supported", 4)
    assert found["region"] == [0, None]
    assert len(content["not_in_this_study"]) == len(CLAIMS) - 1


def test_claims_are_listed_with_their_statements(capsys):
    assert main(["list", "claims", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["claims"]
    assert list(listed) == list(CLAIMS)
    assert listed["nozawa2021_accuracy"]["description"] == "Accuracy does not fall as K grows."


def test_overrides_of_a_table_are_refused(table, capsys):
    assert main(["findings", table, "--set", "k=16"]) == 2
    assert "--set and --storage tell of a study" in capsys.readouterr().err


def test_a_study_that_has_not_started_has_nothing_to_find(tmp_path, capsys):
    assert main(["findings", "quickstart", "--storage", str(tmp_path)]) == 2
    assert "no trial of quickstart is in" in capsys.readouterr().err

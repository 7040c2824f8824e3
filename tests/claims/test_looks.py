"""Findings of a study that is looked at after each seed: they hold whenever one stops, and what is decided stays."""

import numpy as np
import pandas as pd
import pytest

from study.analysis.anytime import critical, p_values
from study.claims import CLAIMS, findings
from study.results import Results
from tests.claims.studies import TOP1, grid, study_of
from tests.claims.test_known_effects import BETTER, SEVERAL

OWN = 3


def looked_at(results, own=OWN):
    """The same results, as of a study that added the seeds from `own` on."""
    frame = results.frame.copy()
    frame.insert(list(frame).index("class_counts"), "added", frame["seed"] >= own)
    return Results(frame)


def several(effect, seeds, repetition=0, **options):
    means = [50 + effect * ((cell["objective"] == "debiased") - (cell["objective"] == "hard")) for cell in SEVERAL]
    return looked_at(study_of(SEVERAL, means, seeds=seeds, **{"noise": 0.3, "repetition": repetition, **options}))


def by_name(results):
    return {one.name: one for one in findings(results)}


def without(results, **cell):
    """The results without the trials of this cell and seed."""
    gone = np.logical_and.reduce([results.frame[path] == value for path, value in cell.items()])
    return Results(results.frame[~gone].reset_index(drop=True))


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setattr(CLAIMS, "_entries", {BETTER: CLAIMS[BETTER]})


def test_of_two_cells_p_and_interval_are_those_of_the_paired_differences(alone):
    results = looked_at(study_of(grid(objective=("nt_xent", "debiased")), [50, 50.3], seeds=6, noise=0.4), own=6)
    found = by_name(results)[BETTER]
    d = results.frame.pivot_table(index="seed", columns="objective", values=TOP1)
    d = (d["debiased"] - d["nt_xent"]).to_numpy()
    error = d.std(ddof=1) / np.sqrt(6)
    assert found.anytime
    assert found.p_value == pytest.approx(float(p_values(abs(d.mean()) / error, 5, 6)))
    assert found.high - found.low == pytest.approx(2 * float(critical(0.05, 5, 6)) * error)
    assert "6 seeds, anytime-valid" in str(found)
    assert str(findings(results)).endswith("they hold however often the study was looked at.")
    assert "anytime" not in str(findings(Results(results.frame.drop(columns="added"))))


def test_the_noise_is_that_of_the_claims_own_differences_by_seed(alone):
    """So that a cell with more noise than the others makes no verdict of nothing, and no other cell matters."""
    results = several(0.5, 6)
    found = by_name(results)[BETTER]
    own = results.frame.query("negatives == 'all' and objective in ('nt_xent', 'debiased')")
    by_seed = own.pivot_table(index="seed", columns="objective", values=TOP1)  # the mean of two contexts
    d = (by_seed["debiased"] - by_seed["nt_xent"]).to_numpy()

    def interval(n):
        half = float(critical(0.05, n - 1, n)) * d[:n].std(ddof=1) / np.sqrt(n)
        return d[:n].mean() + np.array([-half, half])

    looks = np.array([interval(n) for n in (3, 4, 5, 6)])
    assert (found.low, found.high) == pytest.approx((looks[:, 0].max(), looks[:, 1].min()))


def test_a_verdict_stays_whatever_comes_after(alone):
    early, late = (study_of(SEVERAL, [50 + (c["objective"] == "debiased") * g for c in SEVERAL], seeds=12, noise=0.3)
                   for g in (3.0, -3.0))  # fmt: skip
    turned = early.frame.where(early.frame["seed"] < 4, late.frame)
    turned["seed"] = turned["seed"].astype(int)
    found = by_name(looked_at(Results(turned)))[BETTER]
    assert found.verdict == "supported"
    assert found.low > 0
    assert found.low <= found.effect <= found.high


def test_a_seed_that_one_of_the_claims_cells_lacks_waits_for_it(alone):
    five = several(0.5, 5)
    four = Results(five.frame[five.frame["seed"] < 4])
    partly = without(five, seed=4, objective="debiased", k=64)
    assert by_name(partly)[BETTER].seeds == 4
    assert by_name(partly)[BETTER].interval == by_name(four)[BETTER].interval


def test_seeds_of_cells_that_the_claim_is_not_about_change_nothing(alone):
    five = several(0.5, 5)
    others = (five.frame["objective"] == "hard") | (five.frame["negatives"] != "all")
    fewer = Results(five.frame[~(others & five.frame["added"])].reset_index(drop=True))
    assert by_name(fewer)[BETTER].interval == by_name(five)[BETTER].interval


def test_a_seed_under_which_a_cell_failed_is_passed_over(alone):
    frame = several(0.5, 6).frame
    failed = (frame["seed"] == 4) & (frame["objective"] == "debiased") & (frame["k"] == 64)
    found = by_name(Results(frame.assign(status=frame["status"].mask(failed, "failed"))))[BETTER]
    assert found.seeds == 5
    assert len(found.left_out) == 1


def test_every_claim_that_may_be_told_is_adjusted_for():
    results = several(0.0, 4)
    found = by_name(results)
    p = {name: one.p_value for name, one in found.items()}
    assert len(p) > 3
    assert min(one.p_adjusted for one in found.values()) == pytest.approx(min(1, len(p) * min(p.values())))


def test_an_effect_below_the_smallest_of_interest_is_not_looked_for_any_longer(alone):
    found = by_name(several(0.0, 20, noise=0.1))[BETTER]
    assert found.verdict == "undecided"
    assert not found.open
    assert found.missing == "nothing: the effect is nearer than 0.5 %, the smallest of interest"


def test_what_is_missing_is_what_decides_if_the_effect_stays(alone):
    found = by_name(several(0.5, 4, noise=0.5))[BETTER]
    assert found.open
    needed = 4 + found.more_seeds
    assert by_name(several(0.5, needed + 8, noise=0.5))[BETTER].verdict == "supported"
    assert found.missing.startswith(f"about {found.more_seeds} more seed")


def test_noise_alone_is_given_no_verdict_by_who_looks_after_each_seed(alone):
    found = [by_name(several(0.0, 12, repetition)) for repetition in range(40)]
    assert sum(one[BETTER].verdict != "undecided" for one in found) <= 5  # more in 1 % of such tests, at 5 %


def test_a_table_that_is_saved_is_looked_at_as_before(tmp_path, alone):
    results = several(0.5, 5)
    results.save(tmp_path)
    assert by_name(Results.read(tmp_path / "results.csv"))[BETTER] == by_name(results)[BETTER]
    assert isinstance(results.frame, pd.DataFrame)

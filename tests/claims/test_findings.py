"""Verdicts, effects and what is missing, against scipy's tests and by what a reader is told."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.stats

from study.claims import CLAIMS, Claim, Direction, findings
from study.claims.comparisons import Against, Comparison, Level
from study.claims.estimate import Estimate, Sample
from study.claims.missing import duration, seeds_missing
from study.results import Results
from tests.claims.studies import TOP1, grid, study_of

NAME = "huynh2020_gain"
PAIR = grid(negatives=("all", "false_negative_cancellation"))


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No other claim to adjust for."""
    monkeypatch.setattr(CLAIMS, "_entries", {NAME: CLAIMS[NAME]})


def the_finding(results):
    (found,) = findings(results)
    return found


def changed(monkeypatch, **fields):
    """The claim with other fields."""
    monkeypatch.setitem(CLAIMS._entries, NAME, lambda: replace(original(), **fields))


original = CLAIMS[NAME]


def differences(results):
    by_seed = results.frame.pivot_table(index="seed", columns="negatives", values=TOP1)
    return (by_seed["false_negative_cancellation"] - by_seed["all"]).to_numpy()


def test_of_two_cells_the_test_is_the_paired_t_test():
    results = study_of(PAIR, [50, 51], seeds=4, noise=0.5)
    found, d = the_finding(results), differences(results)
    reference = scipy.stats.ttest_1samp(d, 0)
    assert found.effect == pytest.approx(d.mean())
    assert found.p_value == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval()))
    assert found.seeds == 4
    assert len(found.trials) == 8


def test_the_same_results_are_judged_once_until_other_claims_are_registered(monkeypatch):
    results = study_of(PAIR, [50, 51], seeds=4, noise=0.5)
    found = findings(results)
    assert findings(results) is found
    monkeypatch.setitem(CLAIMS._entries, "another", CLAIMS[NAME])
    assert [one.name for one in findings(results)] == [NAME, "another"]


def test_contexts_are_one_effect_with_their_parts():
    results = study_of(grid(k=(16, 64), negatives=("all", "false_negative_cancellation")), [50, 53, 60, 61], noise=1e-4)
    found = the_finding(results)
    assert found.effect == pytest.approx(2, abs=1e-3)
    assert [(part.where, round(part.effect, 2)) for part in found.parts] == [("k=16", 3), ("k=64", 1)]
    assert found.verdict == "supported"


@pytest.mark.parametrize(("gain", "verdict"), [(2.0, "supported"), (-2.0, "contradicted"), (0.0, "undecided")])
def test_the_verdict_is_where_the_interval_lies(gain, verdict):
    found = the_finding(study_of(PAIR, [50, 50 + gain], seeds=5, noise=0.2))
    assert found.verdict == verdict
    assert (found.low > 0, found.high < 0) == (verdict == "supported", verdict == "contradicted")


def test_an_equivalence_is_two_one_sided_tests(monkeypatch):
    changed(monkeypatch, direction="equivalent", margin=1.0)
    for gain in (0.0, 0.6, 3.0):
        results = study_of(PAIR, [50, 50 + gain], seeds=6, noise=0.4)
        found, d = the_finding(results), differences(results)
        below = scipy.stats.ttest_1samp(d, 1, alternative="less").pvalue
        above = scipy.stats.ttest_1samp(d, -1, alternative="greater").pvalue
        within = max(below, above)
        beyond = 1 - within  # of the margin that is crossed
        assert found.p_value == pytest.approx(2 * min(within, beyond))
        expected = "supported" if within <= 0.025 else "contradicted" if beyond <= 0.025 else "undecided"
        assert found.verdict == expected, gain


def test_not_falling_is_being_above_a_tolerance(monkeypatch):
    changed(monkeypatch, reference=-1.0, margin=1.0)
    found = the_finding(study_of(PAIR, [50, 49.9], seeds=5, noise=0.1))
    assert found.high > -1 < found.low
    assert found.verdict == "supported"


def test_a_level_is_tested_over_seeds(monkeypatch):
    changed(monkeypatch, comparison=Level(), metric="rho", direction="greater", margin=0.1)
    results = study_of(grid(k=(16, 64)), [0.3, 0.5], seeds=4, noise=0.05, shared=0.1, metric="rho")
    by_seed = results.frame.groupby("seed")["rho"].mean()
    found, reference = the_finding(results), scipy.stats.ttest_1samp(by_seed, 0)
    assert found.p_value == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval()))


def test_p_is_adjusted_over_the_claims_of_the_study_and_the_interval_with_it(monkeypatch):
    @dataclass(frozen=True, kw_only=True)
    class Ring(Claim):
        """Rings gain."""

        source: str = "here"
        comparison: Comparison = Against({"negatives": ("ring",)}, {"negatives": ("all",)})
        metric: str = TOP1
        direction: Direction = "greater"
        margin: float = 1.0

    monkeypatch.setattr(CLAIMS, "_entries", {NAME: original, "ring": Ring})
    cells = grid(negatives=("all", "false_negative_cancellation", "ring"))
    for repetition in range(5):
        found = findings(study_of(cells, [50, 50.5, 51.5], seeds=4, noise=0.4, repetition=repetition))
        p = np.array([one.p_value for one in found])
        assert [one.p_adjusted for one in found] == pytest.approx(scipy_holm(p))
        for one in found:
            assert (one.low > 0 or one.high < 0) == (one.p_adjusted <= 0.05) == (one.verdict != "undecided")


def scipy_holm(p):
    """Holm's, of two."""
    first = min(1, 2 * p.min())
    return np.where(p == p.min(), first, max(first, p.max()))


def test_one_seed_is_undecided_and_says_what_to_add():
    found = the_finding(study_of(PAIR, [50, 60], seeds=1))
    assert (found.verdict, found.more_seeds, found.interval) == ("undecided", None, "")
    assert found.missing == "add seeds: cells have 1 in common, a verdict needs 2"
    assert found.outcome == "undecided"


def test_cells_without_a_seed_in_common_are_undecided():
    frame = study_of(PAIR, [50, 60], seeds=4).frame
    kept = (frame["negatives"] == "all") == (frame["seed"] < 2)
    found = the_finding(Results(frame[kept].reset_index(drop=True)))
    assert found.missing == "add seeds: cells have 0 in common, a verdict needs 2"


def test_failed_trials_and_values_that_are_none_are_named():
    frame = study_of(PAIR, [50, 60], seeds=4, noise=0.1).frame
    frame.loc[0, "status"], frame.loc[5, TOP1] = "failed", math.nan
    found = the_finding(Results(frame))
    assert found.left_out == ("failed: c0s0", f"without a finite {TOP1}: c1s1")
    assert found.seeds == 2
    assert set(found.trials) == {"c0s1", "c0s2", "c0s3", "c1s0", "c1s2", "c1s3"}
    assert "left out: failed: c0s0" in str(found)


def test_a_context_with_too_few_seeds_is_named_and_left_out():
    frame = study_of(
        grid(k=(16, 64), negatives=("all", "false_negative_cancellation")), [50, 52, 50, 58], noise=0.1
    ).frame
    found = the_finding(Results(frame[(frame["k"] == 16) | (frame["seed"] == 0)].reset_index(drop=True)))
    assert found.effect == pytest.approx(2, abs=0.3)
    assert found.left_out == ("fewer than 2 seeds in common: k=64",)


def test_claims_that_the_cells_cannot_speak_to_say_which_they_need():
    found = findings(study_of(grid(k=(16, 64)), [50, 60]))
    assert len(found) == 0
    assert found.others == {
        NAME: "needs cells with negatives false_negative_cancellation, and with negatives all at the same other values"
    }
    assert "speaks to none of the 1 claims" in str(found)


def test_a_metric_that_was_not_measured_is_said():
    assert findings(study_of(PAIR, [1, 2], metric="rho")).others == {NAME: f"needs the metric {TOP1}"}


def test_a_study_of_nothing_has_no_findings():
    frame = study_of(PAIR, [50, 60]).frame
    assert findings(Results(frame[:0])) == ()
    assert findings(Results(frame.assign(status="failed")))[0].missing.startswith("add seeds")


def test_undecided_says_how_many_seeds_and_minutes_are_missing():
    found = the_finding(study_of(PAIR, [50, 50.2], seeds=3, noise=0.5))  # a trial has 60 seconds
    assert found.verdict == "undecided"
    assert found.more_seeds > 0
    minutes = found.more_seeds * 2
    assert found.missing == f"about {found.more_seeds} more seeds of 2 cells, {minutes} minutes"


def test_so_many_seeds_have_80_percent_power():
    """Against the power of the t-test by scipy's noncentral t."""
    claim, now = original(), 4  # an effect of 0.5
    more = seeds_missing(claim, Estimate(np.array([0.0]), np.array([0.3]), now - 1, now), 0, 0.05)

    def power(n):
        error = 0.3 * math.sqrt(now / n)
        return scipy.stats.nct.sf(scipy.stats.t.ppf(0.975, n - 1), n - 1, 0.5 / error)

    assert power(now + more) >= 0.8 > power(now + more - 1)


def test_seeds_that_would_have_found_the_smallest_effect_of_interest_are_enough():
    found = the_finding(study_of(PAIR, [50, 50], seeds=8, noise=0.1, repetition=1))
    assert (found.verdict, found.more_seeds) == ("undecided", 0)
    expected = "nothing: these seeds find an effect of 0.5 %, the smallest of interest, in 80 % of studies"
    assert found.missing == expected


def test_a_loud_cell_lends_its_noise_to_no_other_claim():
    """The residual of the pair alone, where a third cell has far more noise."""
    cells = [*PAIR, *grid(negatives=("ring", "semantic", "mixing", "ball"))]
    frame = study_of(cells, [50, 52, 0, 0, 0, 0], seeds=6, noise=0.5).frame
    loud = frame["negatives"] == "ring"
    frame.loc[loud, TOP1] *= 50
    found, d = the_finding(Results(frame)), differences(Results(frame))
    assert found.p_value == pytest.approx(scipy.stats.ttest_1samp(d, 0).pvalue)


def test_of_several_conditions_all_must_hold():
    def judged(effects):
        return Estimate(np.array(effects), np.array([1.0, 1.0]), 20, 5).judged((0, math.inf))

    p = 2 * scipy.stats.t.sf([2.0, 4.0], 20)
    assert judged([2.0, 4.0])[:3] == (True, 0, pytest.approx(p[0]))
    assert judged([-4.0, 9.0])[:3] == (False, 0, pytest.approx(2 * p[1]))
    assert judged([0.1, -4.0])[:3] == (False, 1, pytest.approx(2 * p[1]))


def test_without_noise_there_is_no_verdict():
    """Accuracies of few examples agree by chance, and those of an easy task at their bound."""
    sample = Sample(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 4.0, 5.0]), 2)
    assert sample.paired(np.array([[-1.0, 1.0]])) is None
    assert sample.level(np.array([[-1.0, 1.0]])) is None
    found = the_finding(study_of(PAIR, [100, 100], seeds=2, shared=0.0))
    assert (found.verdict, found.p_value) == ("undecided", pytest.approx(math.nan, nan_ok=True))
    assert found.missing.startswith("noise, beside cell and seed nothing is left")


def test_the_tag_is_the_verdict_with_the_effect():
    found = the_finding(study_of(PAIR, [50, 53], seeds=5, noise=0.3))
    assert found.outcome == f"supported: {found.interval}"
    number = f"{found.effect:+.2f} [{found.low:.2f}, {found.high:.2f}] %"
    assert found.interval == number


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 seconds"), (660, "11 minutes"), (12600, "3.5 hours")])
def test_durations_are_said_in_a_readers_unit(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"direction": "more"}, "greater, less or equivalent, got 'more'"),
        ({"margin": 0.0}, "must be above 0, got 0.0"),
        ({"seeds": 1}, "needs 2 seeds or more"),
    ],
)
def test_a_claim_that_cannot_be_tested_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(original(), **fields)

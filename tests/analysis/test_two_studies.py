"""Cells of two studies: by trial where both ran the same, else after Welch."""

import numpy as np
import pytest
import scipy.stats
from scipy.integrate import quad

from study.analysis.two_studies import Modulus, Noise, Trials, differences_of_studies, pooled_noise

NONE = np.empty((0, 2), dtype=int)


def trials(*cells):
    """A cell a list, its seeds from 0."""
    codes = np.repeat(np.arange(len(cells)), [len(cell) for cell in cells])
    seeds = np.concatenate([np.arange(len(cell)) for cell in cells])
    return Trials(np.concatenate(cells).astype(float), codes, seeds)


def test_noise_is_pooled_and_what_seeds_share_takes_its_degrees_of_freedom():
    # within cells 2 + 8 on 4 degrees; the seeds explain 9 of it on 2, and leave 1 on 2
    noise = pooled_noise(trials([1, 2, 3], [2, 4, 6]))
    assert noise == pytest.approx(Noise(2.5, 10**2 / (9**2 / 2 + 1**2 / 2)))


def test_one_cell_is_compared_as_welch_has_it():
    one, other = [50.0, 52.0, 51.0], [55.0, 53.0, 58.0, 54.0]
    (found,) = differences_of_studies(trials(one), trials(other), np.array([[0, 0]]), NONE).to_dict("records")
    expected = scipy.stats.ttest_ind(other, one, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert (found["difference"], found["low"], found["high"]) == pytest.approx((4, low, high))
    assert found["p_value"] == found["p_adjusted"] == pytest.approx(expected.pvalue)
    assert (found["seeds"], found["paired"]) == (3, False)


def test_one_cell_of_the_same_trials_is_compared_by_their_differences():
    one, other = [50.0, 60.0, 70.0], [51.0, 61.5, 71.2]
    twins = np.array([[0, 0], [1, 1], [2, 2]])
    (found,) = differences_of_studies(trials(one), trials(other), np.array([[0, 0]]), twins).to_dict("records")
    expected = scipy.stats.ttest_rel(other, one)
    low, high = expected.confidence_interval(0.95)
    assert (found["low"], found["high"], found["p_value"]) == pytest.approx((low, high, expected.pvalue))
    assert (found["seeds"], found["paired"], found["verdict"]) == (3, True, "higher")


def test_the_same_numbers_are_no_difference():
    of = trials([1, 2], [3, 5])
    twins, pairs = np.tile(np.arange(4)[:, None], 2), np.array([[0, 0], [1, 1]])
    found = differences_of_studies(of, of, pairs, twins, margin=0.1)
    assert found[["difference", "low", "high"]].to_numpy().tolist() == [[0, 0, 0]] * 2
    assert found["verdict"].tolist() == ["equal within 0.1"] * 2


def test_a_cell_of_one_seed_says_what_is_missing():
    found = differences_of_studies(trials([1, 2], [3, 4]), trials([1], [3, 4]), np.array([[0, 0], [1, 1]]), NONE)
    assert np.isfinite(found["low"]).tolist() == [False, True]
    assert found["verdict"][0] == "one seed; add seeds"


@pytest.mark.parametrize(("count", "df"), [(3, 10.0), (8, 2.5), (30, 45.0)])
def test_the_largest_of_several_t_is_as_an_integral_has_it(count, df):
    def above(s, c):
        density = 2 * df * s * scipy.stats.chi2.pdf(df * s**2, df)
        return density * (1 - scipy.stats.norm.cdf(-c * s) * 2) ** count

    modulus = Modulus(count, df)
    critical = modulus.critical()
    assert 1 - quad(above, 0, 12, args=(critical,), limit=200)[0] / 2 == pytest.approx(0.525, abs=1e-4)
    assert float(modulus.p_value(np.array(critical))) == pytest.approx(0.05, abs=1e-6)


def test_one_t_is_students():
    assert Modulus(1, 7).critical() == pytest.approx(scipy.stats.t.ppf(0.975, 7))

"""Correlation over pairs of classes: scipy and a loop over classes as second implementations."""

import numpy as np
import pytest
from scipy import stats

from study.analysis.class_pairs import association, difference

UPPER = np.triu_indices(8, k=1)


def symmetric(seed, classes=8):
    of = np.random.default_rng(seed).normal(size=(classes, classes))
    return of + of.T


def without(matrix, i):
    return np.delete(np.delete(matrix, i, axis=0), i, axis=1)


def ranked(matrix):
    """Ranks of the pairs in their places."""
    ranks = np.zeros_like(matrix)
    ranks[UPPER] = stats.rankdata(matrix[UPPER])
    return ranks + ranks.T


def correlation(x, y):
    upper = np.triu_indices(len(x), k=1)
    return np.corrcoef(x[upper], y[upper])[0, 1]


def test_rho_is_spearmans_over_pairs():
    x, y = symmetric(0), np.round(symmetric(1))  # with ties
    assert association(x, y).rho == pytest.approx(stats.spearmanr(x[UPPER], y[UPPER]).statistic)


def test_the_interval_is_a_jackknife_over_classes():
    x, y = ranked(symmetric(0)), ranked(symmetric(0) + symmetric(1))
    z = np.arctanh([correlation(without(x, i), without(y, i)) for i in range(8)])
    half = stats.t.ppf(0.975, 7) * np.sqrt(7 / 8 * ((z - z.mean()) ** 2).sum())
    found, centre = association(x, y), np.arctanh(correlation(x, y))
    assert (found.low, found.high) == pytest.approx((np.tanh(centre - half), np.tanh(centre + half)))


def test_a_difference_has_the_jackknife_of_itself():
    by = ranked(symmetric(2))
    x, y = ranked(by + symmetric(0)), ranked(by + symmetric(1))
    of = [correlation(without(x, i), without(by, i)) - correlation(without(y, i), without(by, i)) for i in range(8)]
    half = stats.t.ppf(0.975, 7) * np.sqrt(7 / 8 * ((np.array(of) - np.mean(of)) ** 2).sum())
    found = difference(x, y, by)
    assert found.rho == pytest.approx(association(x, by).rho - association(y, by).rho)
    assert (found.low, found.high) == pytest.approx((found.rho - half, found.rho + half))


def test_the_diagonal_is_no_pair_and_a_class_without_numbers_is_left_out():
    x, y = symmetric(0), symmetric(1)
    holed = x.copy()
    holed[3] = holed[:, 3] = np.nan
    assert association(holed, y) == pytest.approx(association(without(x, 3), without(y, 3)))
    np.fill_diagonal(x, np.nan)
    assert association(x, y).classes == 8


def test_too_few_classes_have_no_interval_and_a_constant_no_correlation():
    few = association(symmetric(0, 4), symmetric(1, 4))
    assert np.isfinite(few.rho)
    assert np.isnan(few.low)
    assert np.isnan(association(np.ones((8, 8)), symmetric(1)).rho)
    assert association(symmetric(0), symmetric(0)).rho == pytest.approx(1)

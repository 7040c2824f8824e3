"""Comparisons of cells in blocks, against other routes to the same numbers."""

import itertools

import numpy as np
import pytest
import scipy.stats
from scipy.optimize import brentq

from study.analysis.paired import (
    Family,
    block_design,
    detectable_by,
    detectable_ratio,
    differences,
    differences_from_best,
    tukey,
    unequal_noise,
)

CELLS, SEEDS = 4, 3


def crossed(cells=CELLS, seeds=SEEDS):
    return np.repeat(np.arange(cells), seeds), np.tile(np.arange(seeds), cells)


def outcomes(repetition=0, cells=CELLS, seeds=SEEDS):
    draw = np.random.default_rng(repetition)
    return (10 * draw.normal(size=seeds) + draw.normal(size=(cells, seeds))).ravel()


def compare(design, y, pairs, **options):
    return differences(design, y, np.array(pairs), generator=np.random.default_rng(0), **options)


def test_two_cells_are_compared_by_the_paired_t_test():
    y = outcomes(cells=2, seeds=4)
    found = compare(block_design(*crossed(2, 4)), y, [[0, 1]]).iloc[0]
    reference = scipy.stats.ttest_rel(y[:4], y[4:])
    low, high = reference.confidence_interval(0.95)
    assert found[["low", "high", "p_value", "p_adjusted"]].tolist() == pytest.approx(
        [low, high, *[reference.pvalue] * 2]
    )
    assert found["difference"] == pytest.approx((y[:4] - y[4:]).mean())


def test_residual_is_that_of_the_two_way_analysis_of_variance():
    design, y = block_design(*crossed()), outcomes().reshape(CELLS, SEEDS)
    left = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    assert design.df == (CELLS - 1) * (SEEDS - 1)
    assert design.sigma(y.ravel()) == pytest.approx(np.sqrt((left**2).sum() / design.df))
    half = scipy.stats.t.ppf(0.975, design.df) * design.sigma(y.ravel()) / np.sqrt(SEEDS)
    assert design.half_widths(y.ravel()) == pytest.approx([half] * CELLS)


def test_what_all_cells_share_under_a_seed_changes_no_comparison():
    design, y = block_design(*crossed()), outcomes()
    moved = y + np.array([100.0, -50.0, 3.0])[crossed()[1]]
    numbers = ["difference", "low", "high", "p_adjusted"]
    first, second = (compare(design, of, [[1, 0], [2, 0], [3, 0]])[numbers].to_numpy() for of in (y, moved))
    assert first == pytest.approx(second)


def test_missing_trials_are_adjusted_for_by_least_squares():
    cells, seeds = (index[[0, 1, 2, 3, 4, 6, 7, 8, 9, 11]] for index in crossed())
    y = 5.0 * cells + 100.0 * seeds  # means of other seeds would be far off
    design = block_design(cells, seeds)
    assert [(design.weights[i] - design.weights[0]) @ y for i in (1, 2, 3)] == pytest.approx([5, 10, 15])
    noisy = y + np.random.default_rng(0).normal(size=len(y))
    model = np.column_stack([cells == 1, cells == 2, cells == 3, seeds == 1, seeds == 2, np.ones(len(y))]).astype(float)
    coefficients = np.linalg.lstsq(model, noisy, rcond=None)[0]
    found = compare(design, noisy, [[1, 0], [2, 0], [3, 0]])
    assert found["difference"].tolist() == pytest.approx(coefficients[:3])
    assert found["seeds"].tolist() == [2, 3, 2]


def test_critical_value_against_one_baseline_is_dunnetts():
    """Of the one-way layout that scipy has, by its degrees of freedom."""
    samples = np.random.default_rng(0).normal(size=(6, 3))
    low, high = scipy.stats.dunnett(*samples[1:], control=samples[0], rng=0).confidence_interval(0.95)
    error = np.sqrt(samples.var(axis=1, ddof=1).mean() * 2 / 3)
    design = block_design(*crossed(6, 3))
    family = Family(design.weights[1:] - design.weights[0], 12, np.random.default_rng(0))
    assert family.critical() == pytest.approx(((high - low) / 2 / error).mean(), abs=0.05)


def test_family_of_all_pairs_has_tukeys_critical_value():
    design = block_design(*crossed(5, 3))
    pairs = np.array(list(itertools.combinations(range(5), 2)))
    family = Family(design.weights[pairs[:, 0]] - design.weights[pairs[:, 1]], 8, np.random.default_rng(0))
    assert family.critical() == pytest.approx(4.886 / np.sqrt(2), abs=0.05)  # q(.95; 5, 8) of printed tables
    assert tukey(5, 8) == pytest.approx(4.886 / np.sqrt(2), abs=1e-3)


def test_an_interval_without_zero_and_an_adjusted_p_below_5_percent_are_the_same():
    design = block_design(*crossed())
    for repetition in range(20):
        y = outcomes(repetition) + 2.5 * crossed()[0]
        for table in (compare(design, y, [[1, 0], [2, 0], [3, 0]]), differences_from_best(design, y)[1].dropna()):
            apart = (table["low"] > 0) | (table["high"] < 0)
            assert apart.tolist() == (table["p_adjusted"] < 0.05).tolist()
            assert apart.tolist() == table["verdict"].isin(["higher", "lower"]).tolist()
            assert (table["p_adjusted"] >= table["p_value"]).all()


def test_a_family_of_many_needs_more_than_one_alone():
    design, y = block_design(*crossed()), outcomes()
    alone, many = compare(design, y, [[1, 0]]).iloc[0], compare(design, y, [[1, 0], [2, 0], [3, 0]]).iloc[0]
    assert many["difference"] == pytest.approx(alone["difference"])
    assert many["p_adjusted"] > alone["p_adjusted"]
    assert many["high"] > alone["high"]
    assert many["detectable"] > alone["detectable"]


@pytest.mark.parametrize(("critical", "df"), [(2.2, 10), (12.7, 1), (4.0, 3)])
def test_detectable_difference_is_found_in_80_percent(critical, df):
    expected = brentq(lambda ncp: scipy.stats.nct.sf(critical, df, ncp) - 0.8, 0, 10 * critical)
    assert detectable_ratio(critical, df) == pytest.approx(expected, rel=1e-4)


def test_equal_is_said_only_within_a_margin_that_the_whole_interval_is_in():
    design, y = block_design(*crossed()), outcomes()
    half = compare(design, y, [[1, 0]]).eval("(high - low) / 2")[0]
    wide, narrow = (compare(design, y, [[1, 0]], margin=margin)["verdict"][0] for margin in (10 * half, half / 10))
    assert (wide, narrow) == (f"equal within {10 * half:g}", "not told apart")


def test_the_best_is_the_extreme_asked_for_and_its_own_row_has_no_difference():
    design, y = block_design(*crossed()), crossed()[0] + 0.01 * outcomes()
    for upwards, expected in ((True, 3), (False, 0)):
        best, table = differences_from_best(design, y, upwards=upwards)
        assert best == expected
        assert table["difference"].isna().tolist() == [cell == best for cell in range(CELLS)]
        assert set(table["verdict"].drop(best)) == {"lower" if upwards else "higher"}


def test_one_seed_in_common_is_no_comparison():
    design = block_design(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 1]))
    found = compare(design, np.array([1.0, 2.0, 3.0, 4.5, 9.0]), [[1, 0], [2, 0]])
    assert found["difference"].isna().tolist() == [False, True]
    assert found["verdict"][1] == "seeds in common: 1; add seeds"


def test_without_noise_no_difference_is_told():
    design = block_design(*crossed(3, 2))
    found = compare(design, np.array([1.0, 2, 1, 2, 4, 5]), [[1, 0], [2, 0]])
    assert found["verdict"].tolist() == ["no noise was measured"] * 2
    assert found[["low", "high", "p_adjusted"]].isna().all(axis=None)
    assert np.isnan(design.sigma(np.full(6, 100.0)))
    assert np.isnan(design.half_widths(np.full(6, 100.0))).all()


def test_two_seeds_of_accuracies_in_whole_percents_that_agree_by_chance_are_no_certainty():
    """Of a hundred test images: two differences are equal in an eighth of the studies, where t would be infinite."""
    design, draw = block_design(*crossed(2, 2)), np.random.default_rng(0)
    studies = np.round(50 + draw.normal(scale=1.5, size=(1_000, 4)))
    silent = np.isnan(design.sigma(studies))
    told = [compare(design, y, [[1, 0]])["verdict"][0] in ("higher", "lower") for y in studies]
    assert 0.1 < silent.mean() < 0.17
    assert np.mean(told) < 0.05 + 1.64 * np.sqrt(0.05 * 0.95 / 1_000)


def test_more_seeds_and_more_cells_find_smaller_differences():
    """Two cells under two seeds: t(.975; 1) = 12.7; of half the cells, more are averaged."""
    few, more, many = detectable_by(2, 2), detectable_by(2, 4), detectable_by(8, 2)
    assert few[0] == few[1] == pytest.approx(detectable_ratio(12.7062, 1), rel=1e-3)
    assert more[0] < few[0]
    assert many[1] < many[0] < few[0]


def test_a_cell_with_more_noise_than_the_others_is_noticed():
    design, cells = block_design(*crossed(8, 3)), crossed(8, 3)[0]
    draw = np.random.default_rng(0)
    noise = draw.normal(size=(40, 24))
    quiet, loud = (
        [unequal_noise(design, cells, y, generator=draw) for y in noise * np.where(cells == 2, factor, 1)]
        for factor in (1, 10)
    )
    assert np.mean(np.array(quiet) <= 0.2) <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / 40)
    assert np.mean(np.array(loud) <= 0.01) > 0.8

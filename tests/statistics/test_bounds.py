"""Fits of bounds, which of them is right, how they rank encoders, and which are violated."""

import numpy as np
import pandas as pd
import pytest

from study.analysis.compare import compare_bounds, rank_correlation
from study.analysis.fit import fit_bound
from study.analysis.variance import LEVEL, holm
from study.bounds import BOUNDS
from study.bounds.estimate import BLOCKS, mean_and_error
from study.results.fits import violation_p_values
from tests.analysis.test_fit import KS, TRUTH, losses
from tests.statistics.measured import STUDIES, Measured


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("bound", BOUNDS.names())
def test_intervals_of_fitted_unknowns_and_of_the_curve(measured: Measured, bound: str, seeds: int) -> None:
    draw = np.random.default_rng(seeds)
    curve = BOUNDS[bound]().curve(np.array(KS), 10, 0.5)
    truth = curve.sup * TRUTH["L_sup"] + curve.sub * TRUTH["L_sub"] + curve.gap * TRUTH["d"] + curve.constant
    unknowns, points = [], []
    for _ in range(STUDIES):
        frame = losses(bound, draw, seeds=seeds, noise=0.003, shared=0.01)
        fit = fit_bound(frame, bound, priors=10, generator=draw, fixed={"d": "gap"}, resamples=200)[0]
        unknowns.append([p.low <= TRUTH[p.name] <= p.high for p in fit.parameters])
        of_k = fit.curve(KS)
        points.append((of_k["low"] <= truth) & (truth <= of_k["high"]))
    where = f"{bound}, {seeds} seeds, {len(KS)} K, noise shared by a seed"
    measured.coverage("fitted unknown, bootstrap over seeds", where, unknowns)
    measured.coverage("fitted curve at a K", where, points)


@pytest.mark.parametrize("truth", BOUNDS.names())
def test_the_right_bound_has_the_lowest_aicc(measured: Measured, truth: str) -> None:
    draw = np.random.default_rng(0)
    options = {"priors": 10, "fixed": {"d": "gap"}, "resamples": 10, "generator": draw}
    right = [compare_bounds(losses(truth, draw, seeds=3), **options)["bound"][0] == truth for _ in range(STUDIES)]
    measured.power("the bound that made the losses has the lowest AICc", f"{truth}, 3 seeds, {len(KS)} K", right)


@pytest.mark.parametrize("noise", [0.3, 1.0])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_interval_of_the_rank_correlation(measured: Measured, seeds: int, noise: float) -> None:
    """Over five K of which accuracies have the order 1, 3, 2, 5, 4 and bounds 1 to 5: ρ = 0.8."""
    draw, ks = np.random.default_rng(seeds), np.repeat([8, 16, 32, 64, 128], seeds)
    held = []
    for _ in range(STUDIES):
        accuracy = np.repeat([1.0, 3, 2, 5, 4], seeds) + noise * draw.normal(size=len(ks))
        bound = pd.Series(10.0**ks * (1 + 0.01 * draw.normal(size=len(ks))))
        frame = pd.DataFrame({"k": ks, "accuracy": accuracy})
        found = rank_correlation(bound, frame, "accuracy", generator=draw, resamples=200)
        held.append(found.low - 1e-9 <= 0.8 <= found.high + 1e-9)
    measured.coverage("rank correlation over K", f"{seeds} seeds, steps of {1 / noise:.1f} σ", held)


def violations(slack: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """[studies, bounds]: violated, from blocks of draws with mean `slack` and a standard error of about 1."""
    found = []
    for _ in range(STUDIES):
        blocks = slack + np.sqrt(BLOCKS) * generator.normal(size=(BLOCKS, len(slack)))
        mean, error = np.array([mean_and_error(of_bound) for of_bound in blocks.T]).T
        found.append(holm(violation_p_values(mean, error)) <= LEVEL)
    return np.array(found)


def test_lower_bounds_that_hold_with_equality_are_not_violated(measured: Measured) -> None:
    draw = np.random.default_rng(0)
    where = "64 bounds that hold with equality"
    measured.size("any lower bound said to be violated (Holm)", where, violations(np.zeros(64), draw).any(axis=1))
    one = np.zeros(64)
    one[0] = -5
    where = "one of 64 bounds violated by 5 standard errors"
    measured.power("the violated bound is found", where, violations(one, draw)[:, 0])

"""The mixture of t that may be looked at after every seed, against its integral and against Ville's inequality."""

import numpy as np
import pytest
from scipy import integrate, stats

from study.analysis.anytime import PRIOR, critical, p_values


@pytest.mark.parametrize(("df", "seeds"), [(2, 3), (18, 3), (7, 8), (40, 12.5)])
@pytest.mark.parametrize("t", [0.5, 2.0, 4.0])
def test_p_is_the_null_over_the_mixture_of_noncentral_t(t: float, df: float, seeds: float) -> None:
    def weighted(effect: float) -> float:
        return stats.nct.pdf(t, df, effect * np.sqrt(seeds)) * stats.norm.pdf(effect, scale=PRIOR)

    mixture = integrate.quad(weighted, -12, 12, limit=400, points=[0])[0]
    assert p_values(t, df, seeds) == pytest.approx(min(1, stats.t.pdf(t, df) / mixture), rel=1e-4)


def test_the_critical_t_has_that_p_or_is_beyond_all() -> None:
    for df, seeds, level in ((18, 3, 0.05), (7, 8, 0.005), (100, 20, 0.001)):
        assert p_values(critical(level, df, seeds), df, seeds) == pytest.approx(level)
    assert critical(0.05, 1, 2) == np.inf
    assert p_values(np.inf, 1, 2) == pytest.approx(1 / np.sqrt(1 + 2 * PRIOR**2))


def test_with_noise_that_is_known_it_is_the_normal_mixture_of_robbins() -> None:
    n, level = 10, 0.05
    r = 1 + PRIOR**2 * n
    assert critical(level, 1e9, n) == pytest.approx(np.sqrt(np.log(r / level**2) * r / (r - 1)), rel=1e-4)


def test_noise_that_is_looked_at_after_every_seed_is_found_in_five_percent_at_most() -> None:
    draw = np.random.default_rng(0)
    noise = draw.normal(size=(4_000, 40))
    ever, fixed = np.zeros(4_000, dtype=bool), np.zeros(4_000, dtype=bool)
    for n in range(2, 41):
        t = np.abs(stats.ttest_1samp(noise[:, :n], 0, axis=1).statistic)
        ever |= p_values(t, n - 1, n) <= 0.05
        fixed |= 2 * stats.t.sf(t, n - 1) <= 0.05
    assert 0.01 < ever.mean() <= 0.05
    assert fixed.mean() > 0.2  # as Student's t is, by who does so

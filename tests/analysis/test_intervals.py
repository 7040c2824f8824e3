"""Student's t interval: by the book, by simulation, and of one replicate."""

import numpy as np
import pandas as pd
import pytest

from study.analysis.intervals import half_width


def test_the_half_width_is_that_of_the_tables_of_student() -> None:
    # t(.975; 2) = 4.3027 and t(.975; 9) = 2.2622, from the printed table
    assert half_width(1.0, 3) == pytest.approx(4.3027, abs=5e-5)
    assert half_width(np.array([1.0, 2.0]), [3, 10]) == pytest.approx([4.3027, 4.5243], abs=1e-4)


def test_one_replicate_and_none_have_no_interval() -> None:
    assert np.isnan(half_width(np.array([0.0, 1.0, np.nan]), [1, 0, 1])).all()
    assert half_width(pd.Series([np.nan, 1.0], index=["a", "b"]), [1, 2]).index.tolist() == ["a", "b"]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_ninety_five_of_a_hundred_intervals_hold_the_mean(n: int) -> None:
    draws = np.random.default_rng(n).normal(7.0, 2.0, (1000, n))
    half = half_width(draws.std(axis=1, ddof=1) / np.sqrt(n), n)
    held = (np.abs(draws.mean(axis=1) - 7.0) <= half).mean()
    assert 0.93 <= held <= 0.97  # 95 % and three standard errors of a share of 1,000

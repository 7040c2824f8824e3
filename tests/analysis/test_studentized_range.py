"""The studentized range, against SciPy's."""

import numpy as np
import pytest
from scipy.stats import studentized_range

from study.analysis.studentized_range import quantile, survival


@pytest.mark.parametrize(("means", "df"), [(2, 1), (3, 2), (5, 8), (12, 22), (50, 931)])
def test_it_is_scipys(means: int, df: int) -> None:
    q = np.array([0.5, 3.0, 5.0, 9.0])
    assert survival(q, means, df) == pytest.approx(studentized_range.sf(q, means, df), abs=1e-10)
    assert quantile(0.05, means, df) == pytest.approx(studentized_range.ppf(0.95, means, df), rel=1e-7)


def test_of_two_means_it_is_students_t() -> None:
    """q = √2 |t|: P(|t| > 2.571) = 5 % at 5 degrees of freedom."""
    assert float(survival(np.sqrt(2) * 2.5705818, 2, 5)) == pytest.approx(0.05, abs=1e-8)


def test_no_range_is_beyond_what_has_no_end_and_every_one_beyond_nothing() -> None:
    assert survival([0.0, np.inf], 4, 6) == pytest.approx([1, 0], abs=1e-10)

"""Ranks of values, beside SciPy's."""

import numpy as np
import pytest
from scipy.stats import rankdata

from study.semantics.ranking import ranks


@pytest.mark.parametrize(
    "values", [[], [3.0], [2.0, 2.0, 2.0], [0.1, -1.0, np.inf, 0.1, 0.0, -0.0], [1.0, np.nan, 0.0]]
)
def test_ranks_are_scipys(values: list[float]) -> None:
    np.testing.assert_array_equal(ranks(np.array(values)), rankdata(values))


def test_ranks_of_many_values_with_ties_are_scipys() -> None:
    values = np.random.default_rng(0).integers(0, 50, 1000) / 7
    np.testing.assert_array_equal(ranks(values), rankdata(values))

"""Similarity of pairs of classes, and the table that holds it."""

import numpy as np
import pytest

from study.semantics.pairs import class_similarity, matrices_of, pair_rows


def test_a_pair_of_classes_is_as_similar_as_two_examples_of_them_on_average():
    draw = np.random.default_rng(0)
    rows, labels = draw.normal(size=(40, 5)), draw.integers(0, 3, 40)
    found = class_similarity(rows, labels, 4)
    expected = np.mean([a @ b for a in rows[labels == 0] for b in rows[labels == 2]])
    assert found[0, 2] == found[2, 0] == pytest.approx(expected)
    assert np.isnan(found[3]).all()  # no example


def test_the_table_gives_the_matrices_back():
    matrix = np.array([[1, 0.25, np.nan], [0.25, 1, -0.125], [np.nan, -0.125, 1]])
    (row,) = rows = pair_rows({"features": matrix})
    assert row == {"of": "features", "classes": 3, "values": "[0.25,null,-0.125]"}
    back = matrices_of(rows)["features"]
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_array_equal(back[off], matrix[off])

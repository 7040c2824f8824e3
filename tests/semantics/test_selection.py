from pathlib import Path

import numpy as np
import pytest

from study.semantics import selection_statistics


def test_selection_is_compared_with_its_pool() -> None:
    anchors, keys = np.eye(3)[[0, 1]], np.eye(3)[[0, 0, 1, 2]]
    kept = np.array([[1, 0, 1, 0], [0, 0, 0, 1]])
    similarity = np.array([[1, 0.5, 0.25], [0.5, 1, 0.125], [0.25, 0.125, 1]])
    found = selection_statistics(anchors.T @ kept @ keys, anchors.T @ np.ones((2, 4)) @ keys, {"wup": similarity})
    assert found == {
        "negatives.selected.same_class_share": pytest.approx(1 / 3),
        "negatives.selected.wup": pytest.approx((1 + 0.5 + 0.125) / 3),
        "negatives.selected.wup_other": pytest.approx((0.5 + 0.125) / 2),
        "negatives.offered.same_class_share": pytest.approx(3 / 8),
        "negatives.offered.wup": pytest.approx((1 + 1 + 0.5 + 0.25 + 0.5 + 0.5 + 1 + 0.125) / 8),
        "negatives.offered.wup_other": pytest.approx((0.5 + 0.25 + 0.5 + 0.5 + 0.125) / 5),
    }


def test_an_empty_selection_has_no_mean() -> None:
    found = selection_statistics(np.zeros((2, 2)), np.ones((2, 2)), {})
    assert found == {"negatives.offered.same_class_share": 0.5}


def test_every_scalar_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    for name in selection_statistics(np.ones((2, 2)), np.ones((2, 2)), {"<measure>": np.eye(2)}):
        assert f"`{name}`" in text, name

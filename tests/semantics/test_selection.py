from pathlib import Path

import numpy as np
import pytest

from study.semantics import pair_mass, selection_statistics


def test_selection_is_compared_with_its_pool() -> None:
    anchors, keys = np.array([0, 1]), np.array([0, 0, 1, 2])
    kept = np.array([[True, False, True, False], [False, False, False, True]])
    similarity = np.array([[1, 0.5, 0.25], [0.5, 1, 0.125], [0.25, 0.125, 1]])
    found = selection_statistics(
        pair_mass(kept, anchors, keys, 3), pair_mass(np.ones((2, 4)), anchors, keys, 3), {"wup": similarity}
    )
    assert found == {
        "negatives.selected.collision_rate": pytest.approx(1 / 3),
        "negatives.selected.wup": pytest.approx((1 + 0.5 + 0.125) / 3),
        "negatives.selected.wup_other": pytest.approx((0.5 + 0.125) / 2),
        "negatives.offered.collision_rate": pytest.approx(3 / 8),
        "negatives.offered.wup": pytest.approx((1 + 1 + 0.5 + 0.25 + 0.5 + 0.5 + 1 + 0.125) / 8),
        "negatives.offered.wup_other": pytest.approx((0.5 + 0.25 + 0.5 + 0.5 + 0.125) / 5),
    }


def test_masses_of_steps_add_up() -> None:
    generator = np.random.default_rng(0)
    anchors, keys, weights = generator.integers(0, 4, 30), generator.integers(0, 4, 50), generator.random((30, 50))
    onehot = np.eye(4)
    np.testing.assert_allclose(
        pair_mass(weights[:10], anchors[:10], keys, 4) + pair_mass(weights[10:], anchors[10:], keys, 4),
        onehot[anchors].T @ weights @ onehot[keys],
    )


def test_an_empty_selection_has_no_mean() -> None:
    found = selection_statistics(np.zeros((2, 2)), np.ones((2, 2)), {})
    assert np.isnan(found["negatives.selected.collision_rate"])
    assert found["negatives.offered.collision_rate"] == 0.5


def test_every_scalar_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    for name in selection_statistics(np.ones((2, 2)), np.ones((2, 2)), {"<measure>": np.eye(2)}):
        assert f"`{name}`" in text, name

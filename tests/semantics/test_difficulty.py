"""Histograms of difficulty: counted by hand, and as plain loops have them."""

import json

import numpy as np
import pytest

from study.semantics import ClassSemantics, negative_statistics
from study.semantics.difficulty import BINS, bins

NAMES = tuple("abc")
SIMILARITY = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]])


def histograms(embeddings, labels, semantics, own=None):
    own = np.arange(len(embeddings)) if own is None else own
    found = negative_statistics(
        embeddings[own], embeddings, own=own, semantics=semantics,
        query_labels=None if labels is None else labels[own], pool_labels=labels,
    )  # fmt: skip
    return {row["pairs"]: row | {"counts": json.loads(row["counts"])} for row in found.tables["histogram"]}


def test_bins_are_equal_from_minus_one_to_one():
    assert bins(np.array([-1, -0.99, -0.97, 0, 0.999, 1, 1 + 1e-7])).tolist() == [0, 0, 1, 50, 99, 99, 99]


def test_pairs_are_counted_by_the_meaning_of_their_classes():
    angles = np.deg2rad([0, 55, 100, 195])
    embeddings, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.array([0, 0, 1, 2])
    found = histograms(embeddings, labels, ClassSemantics(NAMES, (), {"wup": SIMILARITY}))

    def filled(kind):
        return {i: n for i, n in enumerate(found[kind]["counts"]) if n}

    assert filled("same class") == {78: 2}  # .574, in both directions
    assert filled("near classes") == {41: 2, 85: 2}  # a and b: −.174 and .707
    assert filled("far classes") == {1: 2, 11: 2, 45: 2}  # −.966, −.766 and −.087
    assert found["near classes"]["threshold"] == pytest.approx(0.4)  # mean of .9, .1, .2
    assert found["near classes"]["measure"] == "wup"
    assert found["same class"]["number"] == 2


def test_pairs_of_queries_are_hard_for_both_or_for_one():
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(90, 4)) * generator.uniform(0.2, 1, size=(90, 1)) + 0.5
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    own = np.arange(0, 90, 2)
    found = histograms(embeddings, None, None, own)
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -2)
    hardest = [set(np.argsort(-row)[:4]) for row in similarity]  # 5 % of 89, rounded
    both, one = np.zeros(BINS, dtype=int), np.zeros(BINS, dtype=int)
    for i in own:
        for j in own[own > i]:
            hard = (j in hardest[i]) + (i in hardest[j])
            if hard:
                (both if hard == 2 else one)[bins(similarity[i, j])] += 1
    assert both.sum() > 10
    assert one.sum() > 10
    assert found["hard for both"]["counts"] == both.tolist()
    assert found["hard for one"]["counts"] == one.tolist()
    assert set(found) == {"hard for both", "hard for one"}


def test_classes_without_meaning_are_same_or_other():
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(30, 3))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    found = histograms(embeddings, np.arange(30) % 3, ClassSemantics(NAMES))
    assert {name: row["number"] for name, row in found.items() if "hard" not in name} == {
        "same class": 30 * 9,
        "other classes": 30 * 20,
    }


def test_classes_that_are_all_equally_similar_are_none_of_them_near():
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(30, 3))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    alike = ClassSemantics(NAMES, (), {"wup": np.where(np.eye(3) > 0, 1, 0.5)})
    assert "near classes" not in histograms(embeddings, np.arange(30) % 3, alike)

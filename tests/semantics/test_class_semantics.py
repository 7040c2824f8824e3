import numpy as np
import pytest

from study.semantics import MEASURES, UnresolvedClasses, class_semantics, similarity_matrix


def test_every_measure_is_there_by_default_with_wup_first() -> None:
    semantics = class_semantics(["cat", "dog", "ship"], dataset="cifar10")
    assert set(semantics.similarities) == set(MEASURES)
    assert next(iter(semantics.similarities)) == "wup"
    for measure, matrix in semantics.similarities.items():
        np.testing.assert_array_equal(matrix, similarity_matrix(semantics.synsets, measure))


def test_classes_named_by_wnid_are_shown_by_synset() -> None:
    assert class_semantics(["n02012849", "n03126707", "cat.n.01"], measures=()).names == (
        "crane.n.05", "crane.n.04", "cat.n.01")  # fmt: skip


def test_classes_without_synsets_are_refused_before_anything_is_computed() -> None:
    with pytest.raises(UnresolvedClasses, match="crane"):
        class_semantics(["crane"])

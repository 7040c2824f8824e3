"""Oracles: the definitions written out pair by pair over all hypernym paths, NLTK, and a few values by hand."""

import json
import math
import random
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from study.semantics.classes import CLASS_MAPS
from study.semantics.similarity import MEASURES, Ancestry, similarity_matrix
from study.semantics.wordnet import Hierarchy, embedded, embedded_lexicon

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "shapes20.json"
IMAGENET = list(CLASS_MAPS["imagenet"])
TWO_WAYS_UP = ["square.n.01", "fig.n.04", "pineapple.n.02", "dog.n.01", "cat.n.01", "chain_mail.n.01", "person.n.01"]
"""Synsets with several hypernym paths, and two that lie above others."""


@cache
def paths_up(hierarchy: Hierarchy, row: int) -> list[tuple[int, ...]]:
    """Every hypernym path from the row to the root."""
    if not hierarchy.parents[row]:
        return [(row,)]
    return [(row, *path) for parent in hierarchy.parents[row] for path in paths_up(hierarchy, parent)]


def by_definition(hierarchy: Hierarchy, i: int, j: int, measure: str) -> float:
    """A measure of one pair, from its hypernym paths."""

    def longest(row: int) -> int:
        return max(map(len, paths_up(hierarchy, row))) - 1

    def shortest(row: int) -> int:
        return min(map(len, paths_up(hierarchy, row))) - 1

    def ancestors(row: int) -> set[int]:
        return {a for path in paths_up(hierarchy, row) for a in path}

    def edges(a: int, b: int) -> int:
        return min(
            p.index(c) + q.index(c) for p in paths_up(hierarchy, a) for q in paths_up(hierarchy, b) for c in {*p} & {*q}
        )

    def information(row: int) -> float:
        return 1 - math.log(hierarchy.hyponyms[row] + 1) / math.log(82115)

    common = ancestors(i) & ancestors(j)
    depth = max(map(longest, common))
    if measure == "lca_depth":
        return depth
    if measure == "path":
        return 1 / (1 + edges(i, j))
    if measure == "lch":
        return -math.log((1 + edges(i, j)) / 40)
    if measure == "wup":
        return 2 * (depth + 1) / (longest(i) + 1 + longest(j) + 1)
    if measure == "lin":
        total = information(i) + information(j)
        return 2 * max(map(information, common)) / total if total else 1.0
    lowest = [c for c in common if shortest(c) == max(map(shortest, common))]
    lca = i if i in lowest else min(lowest, key=lambda c: hierarchy.names[c])
    nodes = longest(lca) + 1
    return 2 * nodes / (2 * nodes + edges(i, lca) + edges(j, lca))


@pytest.mark.parametrize("measure", MEASURES)
def test_matrix_equals_the_definition_pair_by_pair(measure: str) -> None:
    hierarchy = embedded()
    some = random.Random(0).sample(range(len(hierarchy.names)), 25)
    rows = [hierarchy.row_of[name] for name in ["entity.n.01", *TWO_WAYS_UP]] + some
    expected = [[by_definition(hierarchy, i, j, measure) for j in rows] for i in rows]
    np.testing.assert_allclose(MEASURES[measure](Ancestry(hierarchy, rows)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_measures_hold_where_ways_up_are_shortcuts(measure: str) -> None:
    # 6 → 5 → 4 → 1 → 0 and 6 → 0: the shortest way from 6 to 5's other descendant 7 leads over 5, to 3 over the root.
    parents = ((), (0,), (0,), (2,), (1, 2), (4,), (5, 0), (5,))
    hierarchy = Hierarchy(tuple(f"s{i}.n.01" for i in range(8)), tuple(range(8)), parents, (7, 4, 6, 0, 3, 2, 0, 0))
    rows = [3, 6, 7, 4, 0, 6]
    expected = [[by_definition(hierarchy, i, j, measure) for j in rows] for i in rows]
    np.testing.assert_allclose(MEASURES[measure](Ancestry(hierarchy, rows)), expected, rtol=1e-12)


def test_known_values() -> None:
    dog_cat = ["dog.n.01", "cat.n.01"]  # both four edges from the root's carnivore: canine|dog, feline|cat
    assert similarity_matrix(dog_cat, "path")[0, 1] == pytest.approx(0.2)  # NLTK's documentation
    assert similarity_matrix(dog_cat, "wup_nltk")[0, 1] == pytest.approx(0.8571428571428571)  # NLTK's documentation
    assert similarity_matrix(dog_cat, "lch")[0, 1] == pytest.approx(2.0281482472922856 + math.log(20 / 19))  # NLTK: 19
    assert similarity_matrix(dog_cat, "wup").tolist() == [[1, pytest.approx(24 / 28)], [pytest.approx(24 / 28), 1]]


@pytest.mark.parametrize("measure", ["path", "wup", "lin"])
def test_a_class_is_nearest_to_itself(measure: str) -> None:
    matrix = similarity_matrix(IMAGENET, measure)
    assert (np.diag(matrix) == 1).all()
    assert (matrix >= 0).all()
    assert (matrix <= 1).all()
    np.testing.assert_array_equal(matrix, matrix.T)


def test_wnids_and_names_give_the_same_matrix() -> None:
    np.testing.assert_array_equal(
        similarity_matrix(["n02084071", "n02121620"]), similarity_matrix(["dog.n.01", "cat.n.01"])
    )


def test_unknown_measures_are_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'wup'"):
        similarity_matrix(["dog.n.01"], "wupp")


@pytest.mark.parametrize("measure", MEASURES)
def test_a_thousand_classes_take_half_a_second_with_load(measure: str) -> None:
    embedded.cache_clear()
    started = time.process_time()
    assert similarity_matrix(IMAGENET, measure).shape == (1000, 1000)
    assert time.process_time() - started < 0.5


def test_shapes_agree_with_the_shared_matrices() -> None:
    if not SHARED.exists():
        pytest.skip("needs shapes20.json of the shared development data beside the repository")
    stored = json.loads(SHARED.read_text())
    synsets = [entry["synset"] for entry in stored["classes"]]
    for measure in ("path", "lca_depth"):
        np.testing.assert_allclose(similarity_matrix(synsets, measure), stored[measure], atol=1e-4)
    # What is stored as wup is NLTK's; it differs from wup for the one shape with two ways up.
    np.testing.assert_allclose(similarity_matrix(synsets, "wup_nltk"), stored["wup"], atol=1e-4)
    others = np.array([synset != "square.n.01" for synset in synsets])
    block = np.ix_(others, others)
    np.testing.assert_allclose(similarity_matrix(synsets, "wup")[block], np.array(stored["wup"])[block], atol=1e-4)


@pytest.fixture(scope="module")
def nltk_synsets(dict_folder, tmp_path_factory) -> Iterator[list]:
    """The ImageNet classes as synsets of NLTK, which reads the nouns of the same WordNet."""
    nltk = pytest.importorskip("nltk", reason="nltk is the second implementation (extra: dev)")
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    folder = tmp_path_factory.mktemp("wordnet")
    (folder / "data.noun").write_bytes((dict_folder / "data.noun").read_bytes())
    words = embedded_lexicon().senses  # NLTK takes long to read the index of all words
    with (dict_folder / "index.noun").open(encoding="utf-8") as lines:
        (folder / "index.noun").write_text("".join(line for line in lines if line.split(" ", 1)[0] in words))
    for part in ("adj", "adv", "verb"):
        (folder / f"data.{part}").touch()
        (folder / f"index.{part}").touch()
    for part in ("noun", "adj", "adv", "verb"):
        (folder / f"{part}.exc").touch()
    (folder / "lexnames").write_text("".join(f"{i:02d}\tpart{i}\t1\n" for i in range(45)))

    class Nouns(WordNetCorpusReader):
        def map_wn(self, version: str = "wordnet") -> None:
            """Only needed for other languages."""

    nltk.data.path.append(str(folder))
    with pytest.warns(UserWarning, match="multilingual functions are not available"):
        reader = Nouns(str(folder), None)
    yield [reader.synset(CLASS_MAPS["imagenet"][wnid][0]) for wnid in IMAGENET]
    nltk.data.path.remove(str(folder))


PAIRS = random.Random(0).choices(range(1000), k=4000)


@pytest.mark.parametrize(("measure", "method"), [("path", "path_similarity"), ("wup_nltk", "wup_similarity")])
def test_two_thousand_pairs_equal_nltk(nltk_synsets: list, measure: str, method: str) -> None:
    i, j = PAIRS[::2], PAIRS[1::2]
    theirs = [getattr(nltk_synsets[a], method)(nltk_synsets[b]) for a, b in zip(i, j, strict=True)]
    np.testing.assert_allclose(similarity_matrix(IMAGENET, measure)[i, j], theirs, rtol=0, atol=1e-9)


def test_self_similarity_equals_nltk_also_where_it_is_below_one(nltk_synsets: list) -> None:
    theirs = np.array([synset.wup_similarity(synset) for synset in nltk_synsets])
    assert (theirs < 1).sum() == 107
    np.testing.assert_allclose(np.diag(similarity_matrix(IMAGENET, "wup_nltk")), theirs, rtol=0, atol=1e-9)


def test_a_pair_costs_a_hundredth_of_what_it_costs_nltk(nltk_synsets: list, record_property) -> None:
    started = time.process_time()
    similarity_matrix(IMAGENET, "wup_nltk")
    ours = (time.process_time() - started) / 1000**2
    pairs = list(zip(PAIRS[:600:2], PAIRS[1:600:2], strict=True))
    started = time.process_time()
    for a, b in pairs:
        nltk_synsets[a].wup_similarity(nltk_synsets[b])
    ratio = (time.process_time() - started) / len(pairs) / ours
    record_property("times faster than NLTK, per pair", round(ratio))
    print(f"wup_nltk: {ours * 1e9:.0f} ns a pair, {ratio:.0f} times faster than NLTK")
    assert ratio > 100

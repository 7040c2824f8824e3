"""Constructed embeddings whose answers are known, and scipy and plain loops as second implementations."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from study.semantics import ClassSemantics, class_semantics, negative_statistics
from study.semantics.classes import CLASS_MAPS
from study.semantics.ranking import BANDS, band_sizes, ranked_blocks

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def planted(similarity: np.ndarray, per_class: int, noise: float, generator: np.random.Generator):
    """Unit rows whose class means have the given Gram matrix, and their labels."""
    values, vectors = np.linalg.eigh(similarity)
    means = vectors * np.sqrt(np.maximum(values, 0))  # means @ means.T = similarity
    labels = np.repeat(np.arange(len(similarity)), per_class)
    return unit(means[labels] + noise * generator.normal(size=(len(labels), len(similarity)))), labels


def random_gram(classes: int, generator: np.random.Generator) -> np.ndarray:
    rows = unit(generator.normal(size=(classes, classes)))
    return rows @ rows.T


def measure(embeddings, labels, similarity, queries=None):
    names = tuple(f"class{c}" for c in range(len(similarity)))
    own = np.arange(len(labels)) if queries is None else queries
    return negative_statistics(
        embeddings[own], embeddings, own=own, query_labels=labels[own], pool_labels=labels,
        semantics=ClassSemantics(names, names, {"planted": similarity}),
    )  # fmt: skip


def test_planted_semantics_correlate_perfectly() -> None:
    gram = random_gram(8, np.random.default_rng(0))
    embeddings, labels = planted(gram, 1, 0.0, np.random.default_rng(1))
    found = measure(embeddings, labels, gram).scalars
    assert found["negatives.spearman_planted"] == pytest.approx(1, abs=1e-12)
    assert found["negatives.spearman_planted_pairs"] == pytest.approx(1, abs=1e-12)


def test_semantics_planted_in_reverse_anticorrelate_perfectly() -> None:
    gram = random_gram(8, np.random.default_rng(0))
    embeddings, labels = planted(gram, 1, 0.0, np.random.default_rng(1))
    found = measure(embeddings, labels, 1 - gram).scalars
    assert found["negatives.spearman_planted"] == pytest.approx(-1, abs=1e-12)
    assert found["negatives.spearman_planted_pairs"] == pytest.approx(-1, abs=1e-12)


def test_unrelated_semantics_do_not_correlate() -> None:
    generator = np.random.default_rng(0)
    embeddings = unit(generator.normal(size=(2000, 64)))
    labels = generator.integers(0, 10, 2000)
    found = measure(embeddings, labels, random_gram(10, generator), np.arange(0, 2000, 4)).scalars
    assert abs(found["negatives.spearman_planted"]) < 0.01
    assert found["negatives.hard_5pct.planted"] == pytest.approx(found["negatives.pool.planted"], abs=0.02)


@pytest.mark.parametrize("in_pool", [True, False])
def test_spearman_equals_scipy_query_by_query(in_pool: bool) -> None:
    generator = np.random.default_rng(0)
    similarity = class_semantics(list(CLASS_MAPS["cifar10"]), dataset="cifar10", measures=("wup",)).similarities["wup"]
    embeddings, labels = planted(random_gram(10, generator), 7, 0.3, generator)
    embeddings, labels = embeddings[:60], labels[:60]  # unequal classes
    own = np.arange(0, 60, 5)
    queries, pool = (own, np.arange(60)) if in_pool else (own, np.setdiff1d(np.arange(60), own))
    found = negative_statistics(
        embeddings[queries], embeddings[pool], own=own if in_pool else None, query_labels=labels[queries],
        pool_labels=labels[pool], semantics=ClassSemantics(tuple("abcdefghij"), (), {"wup": similarity}),
    )  # fmt: skip
    whole, other = [], []
    for query in queries:
        negatives = pool[pool != query]
        difficulty, meaning = embeddings[negatives] @ embeddings[query], similarity[labels[query], labels[negatives]]
        whole.append(stats.spearmanr(difficulty, meaning).statistic)
        apart = labels[negatives] != labels[query]
        other.append(stats.spearmanr(difficulty[apart], meaning[apart]).statistic)
    assert found.scalars["negatives.spearman_wup"] == pytest.approx(np.mean(whole), abs=1e-12)
    assert found.scalars["negatives.spearman_wup_other"] == pytest.approx(np.mean(other), abs=1e-12)


def test_equally_hard_negatives_share_their_rank_as_scipy_has_it() -> None:
    generator = np.random.default_rng(0)
    similarity = class_semantics(list(CLASS_MAPS["cifar10"]), dataset="cifar10", measures=("lin",)).similarities["lin"]
    embeddings = unit(generator.integers(-1, 2, size=(200, 3)) + np.array([0, 0, 0.5]))  # of 27 kinds
    labels = generator.integers(0, 10, 200)
    own = np.arange(0, 200, 7)
    found = measure(embeddings, labels, similarity, own).scalars
    for name, apart in (("planted", False), ("planted_other", True)):
        expected = []
        for query in own:
            negatives = np.delete(np.arange(200), query)
            negatives = negatives[labels[negatives] != labels[query]] if apart else negatives
            difficulty = np.round(embeddings[negatives] @ embeddings[query], 12)
            expected.append(stats.spearmanr(difficulty, similarity[labels[query], labels[negatives]]).statistic)
        assert found[f"negatives.spearman_{name}"] == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classes_that_are_points_correlate_perfectly_with_their_own_geometry(dtype: type) -> None:
    """Images of a class are equally hard, up to the rounding of the product, and equally near in meaning."""
    gram = random_gram(6, np.random.default_rng(0))
    embeddings, labels = planted(gram, 40, 0.0, np.random.default_rng(1))
    for sign in (1, -1):
        found = measure(embeddings.astype(dtype), labels, sign * gram).scalars
        for name in ("planted", "planted_other"):
            assert found[f"negatives.spearman_{name}"] == pytest.approx(sign, abs=1e-12)


def test_collapsed_embeddings_have_no_correlation() -> None:
    embeddings = unit(np.ones((60, 16), dtype=np.float32))
    found = measure(embeddings, np.arange(60) % 5, random_gram(5, np.random.default_rng(0))).scalars
    assert not {"negatives.spearman_planted", "negatives.spearman_planted_other"} & set(found)
    assert "negatives.pool.planted" in found


def test_pairs_equal_scipy_and_are_named_by_kind() -> None:
    generator = np.random.default_rng(3)
    gram = random_gram(6, generator)
    embeddings, labels = planted(gram, 20, 0.05, generator)
    similarity = gram.copy()
    similarity[0, 1] = similarity[1, 0] = gram.max() + 1  # said to be near, but ...
    embeddings[labels == 1] = -embeddings[labels == 0]  # ... as far apart as can be
    found = measure(embeddings, labels, similarity)
    upper = np.triu_indices(6, k=1)
    rho = stats.spearmanr(found.difficulty[upper], similarity[upper]).statistic
    assert found.scalars["negatives.spearman_planted_pairs"] == pytest.approx(rho, abs=1e-12)
    worst = found.tables["anticorrelated_pairs"][0]
    assert (worst["class"], worst["other"], worst["kind"]) == ("class0", "class1", "near but easy")
    rows = found.tables["correlated_pairs"] + found.tables["anticorrelated_pairs"]
    assert sum(row["contribution"] for row in rows) / len(upper[0]) == pytest.approx(rho, abs=1e-12)


@pytest.mark.parametrize("in_pool", [True, False])
def test_class_difficulty_is_the_mean_similarity_of_pairs(in_pool: bool) -> None:
    embeddings, labels = planted(random_gram(4, np.random.default_rng(0)), 6, 0.5, np.random.default_rng(1))
    own = np.arange(0, 20, 2)  # the last class has no query
    found = negative_statistics(
        embeddings[own], embeddings, own=own if in_pool else None, query_labels=labels[own], pool_labels=labels,
        semantics=ClassSemantics(tuple("abcd")),
    )  # fmt: skip
    s = embeddings[own] @ embeddings.T
    counted = (own[:, None] != np.arange(24)) | (not in_pool)
    for a in range(4):
        for b in range(4):
            cell = np.ix_(labels[own] == a, labels == b)
            expected = s[cell][counted[cell]].mean() if cell[0].size else np.nan
            assert found.difficulty[a, b] == pytest.approx(expected, nan_ok=True)


def test_the_band_table_equals_a_loop_over_queries() -> None:
    generator = np.random.default_rng(0)
    semantics = class_semantics(list(CLASS_MAPS["cifar10"]), dataset="cifar10", measures=("wup", "lca_depth"))
    embeddings, labels = planted(semantics.similarities["wup"], 150, 0.4, generator)
    own = np.arange(0, 1500, 50)
    found = negative_statistics(
        embeddings[own], embeddings, own=own, query_labels=labels[own], pool_labels=labels, semantics=semantics
    ).tables["bands"]
    assert [row["band"] for row in found] == [*(band.label for band in BANDS), "all"]
    for row in found:
        lo, hi = (round(edge * 1499) for edge in (row["lo"], row["hi"]))
        same, depth, wup_other = [], [], []
        for query in own:
            order = np.argsort(-(embeddings @ embeddings[query]))
            ranked = labels[order[order != query][lo:hi]]
            same.append((ranked == labels[query]).mean())
            depth.append(semantics.similarities["lca_depth"][labels[query], ranked].mean())
            wup_other.extend(semantics.similarities["wup"][labels[query], ranked[ranked != labels[query]]])
        assert row["count"] == hi - lo
        assert row["same_class_share"] == pytest.approx(np.mean(same))
        assert row["same_class_share_se"] == pytest.approx(np.std(same, ddof=1) / np.sqrt(len(own)))
        assert row["lca_depth"] == pytest.approx(np.mean(depth))
        assert row["lca_depth_se"] == pytest.approx(np.std(depth, ddof=1) / np.sqrt(len(own)))
        assert row["wup_other"] == pytest.approx(np.mean(wup_other) if wup_other else np.nan, nan_ok=True)


def test_hard_negatives_of_planted_wordnet_geometry_are_nearer_in_meaning() -> None:
    semantics = class_semantics(list(CLASS_MAPS["cifar10"]), dataset="cifar10")
    embeddings, labels = planted(semantics.similarities["wup"], 100, 0.2, np.random.default_rng(0))
    own = np.arange(0, 1000, 10)
    found = negative_statistics(
        embeddings[own], embeddings, own=own, query_labels=labels[own], pool_labels=labels, semantics=semantics
    ).scalars
    for name in semantics.similarities:
        hard, pool, easy = (found[f"negatives.{part}.{name}"] for part in ("hard_5pct", "pool", "easy_5pct"))
        assert hard > pool > easy
        assert found[f"negatives.spearman_{name}_other"] > 0.4


@pytest.mark.parametrize("negatives", [1, 5, 20, 499, 9_999, 65_536])
def test_bands_hold_every_negative_once_and_the_hardest_at_least_one(negatives: int) -> None:
    sizes = band_sizes(negatives)
    assert sizes.sum() == negatives
    assert sizes[0] >= 1
    assert (sizes >= 0).all()


def test_blocks_of_any_size_give_the_same_ranks() -> None:
    embeddings = unit(np.random.default_rng(0).normal(size=(50, 8)))
    own = np.arange(50)
    whole = np.concatenate([block.order for block in ranked_blocks(embeddings, embeddings, own)])
    single = np.concatenate([block.order for block in ranked_blocks(embeddings, embeddings, own, memory=1)])
    np.testing.assert_array_equal(whole, single)
    assert all(query not in row for query, row in zip(own, whole, strict=True))


def test_memory_does_not_grow_with_the_queries() -> None:
    generator = np.random.default_rng(0)
    pool = unit(generator.normal(size=(65_536, 4)).astype(np.float32))
    labels = generator.integers(0, 10, len(pool))
    semantics = ClassSemantics(tuple("abcdefghij"), (), {"wup": np.eye(10)})
    peaks = []
    for count in (45, 90):
        tracemalloc.start()
        own = np.arange(count)
        negative_statistics(pool[own], pool, own=own, query_labels=labels[own], pool_labels=labels, semantics=semantics)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 400e6


def test_without_labels_only_consistency_is_measured_and_it_says_so() -> None:
    embeddings = unit(np.random.default_rng(0).normal(size=(200, 8)))
    found = negative_statistics(embeddings, embeddings, own=np.arange(200))
    assert set(found.tables) == {"consistency", "consistency_histogram", "consistent_negatives", "histogram"}
    assert "negatives.hard_5pct.overdispersion" in found.scalars
    assert "no labels" in found.notes[0]


def test_without_synsets_the_same_class_share_remains_and_it_says_so() -> None:
    embeddings, labels = planted(np.eye(4), 50, 0.2, np.random.default_rng(0))
    found = negative_statistics(
        embeddings, embeddings, own=np.arange(200), query_labels=labels, pool_labels=labels,
        semantics=ClassSemantics(tuple("abcd")),
    )  # fmt: skip
    assert found.scalars["negatives.hard_5pct.same_class_share"] > 0.9
    assert not any("spearman" in name for name in found.scalars)
    assert "no synsets" in found.notes[0]


def test_embeddings_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        negative_statistics(np.full((2, 2), np.nan), np.ones((3, 2)))


def test_every_scalar_is_documented() -> None:
    semantics = class_semantics(list(CLASS_MAPS["cifar10"]), dataset="cifar10", measures=("wup",))
    embeddings, labels = planted(semantics.similarities["wup"], 30, 0.9, np.random.default_rng(0))
    found = negative_statistics(
        embeddings, embeddings, own=np.arange(300), query_labels=labels, pool_labels=labels, semantics=semantics
    )
    text = DOCS.read_text(encoding="utf-8")
    for name in found.scalars:
        assert f"`{name.replace('wup', '<measure>')}`" in text, name

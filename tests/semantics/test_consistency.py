import numpy as np
import pytest
from scipy import stats

from study.semantics import negative_statistics
from study.semantics.consistency import against_null


def random_ranks(queries: int, pool: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Queries and a pool whose similarities are independent: a new random order for every query."""
    return np.eye(queries), generator.normal(size=(pool, queries))


def test_the_null_is_calibrated() -> None:
    beyond, dispersion = [], []
    for seed in range(200):
        queries, pool = random_ranks(100, 400, np.random.default_rng(seed))
        found = negative_statistics(queries, pool).scalars
        for band in ("hard_5pct", "easy_5pct"):
            beyond.append(found[f"negatives.{band}.beyond_99"])
            dispersion.append(found[f"negatives.{band}.overdispersion"])
    assert np.mean(beyond) <= 0.015
    assert np.mean(dispersion) == pytest.approx(1, abs=0.02)


def test_the_null_is_calibrated_where_the_pool_holds_the_queries() -> None:
    trials = np.where(np.arange(500) < 200, 199, 200)
    hits = np.random.default_rng(0).binomial(trials, 0.05, size=(200, 500))
    tested = [against_null(row, trials, 0.05) for row in hits]
    assert np.mean([test["beyond_99"] for test in tested]) <= 0.015
    assert np.mean([test["overdispersion"] for test in tested]) == pytest.approx(1, abs=0.02)


def test_a_negative_that_is_always_hard_is_found() -> None:
    queries, pool = random_ranks(100, 1000, np.random.default_rng(0))
    pool[123] = 10  # nearer to every query than anything else
    pool[321] = -10
    found = negative_statistics(queries, pool)
    first = {row["band"]: row for row in reversed(found.tables["consistent_negatives"])}
    assert (first["hard_5pct"]["pool_row"], first["hard_5pct"]["hits"]) == (123, 100)
    assert (first["easy_5pct"]["pool_row"], first["easy_5pct"]["hits"]) == (321, 100)
    assert first["hard_5pct"]["z"] == pytest.approx((100 - 5) / np.sqrt(100 * 0.05 * 0.95))
    hardest = found.tables["consistency"][0]
    assert hardest["band"] == "0–0.1 %"
    assert hardest["above_99"] == 0.001


def test_hubs_show_as_over_dispersion() -> None:
    queries, pool = random_ranks(100, 1000, np.random.default_rng(0))
    pool += np.random.default_rng(1).normal(size=(1000, 1))  # a popularity of each negative
    found = negative_statistics(queries, pool).scalars
    assert found["negatives.hard_5pct.overdispersion"] > 5
    assert found["negatives.hard_5pct.beyond_99"] > 0.1


def test_interval_and_dispersion_equal_scipy() -> None:
    generator = np.random.default_rng(0)
    trials = generator.integers(50, 60, 300)
    hits = generator.binomial(trials, 0.1)
    lo, hi = stats.binom.interval(0.99, trials, 0.07)
    tested = against_null(hits, trials, 0.07)
    assert tested["above_99"] == (hits > hi).mean()
    assert tested["below_99"] == (hits < lo).mean()
    variance = stats.binom.var(trials, 0.07).sum()
    assert tested["overdispersion"] == pytest.approx(((hits - 0.07 * trials) ** 2).sum() / variance)


def test_the_histogram_accounts_for_every_negative() -> None:
    queries, pool = random_ranks(50, 300, np.random.default_rng(0))
    rows = [
        row for row in negative_statistics(queries, pool).tables["consistency_histogram"] if row["band"] == "hard_5pct"
    ]
    assert sum(row["observed"] for row in rows) == 300
    expected = stats.binom.pmf([row["hits"] for row in rows], 50, 15 / 300) * 300
    np.testing.assert_allclose([row["expected"] for row in rows], expected, rtol=1e-9)

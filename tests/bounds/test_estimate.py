"""The estimator against the original study's numbers, a plain loop, exact probabilities, and the theory itself."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from study.bounds import BOUNDS, BoundTerms
from study.bounds.draws import MEASURED, Draw, draw_terms, given_batch
from study.bounds.estimate import class_means_of, collision_upper_bound, estimate_bounds
from study.bounds.priors import with_replacement, without_replacement
from study.bounds.probabilities import collision_free_coverage

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def clusters(*, views=4, count=600, width=16, classes=5, spread=1.0, jitter=0.7, skew=0.0, seed=0):
    """Unit views [A, N, D] of samples scattered around class centres, and their labels, every class at least twice."""
    rng = np.random.default_rng(seed)
    priors = np.exp(-skew * np.arange(classes))
    labels = rng.choice(classes, size=count, p=priors / priors.sum())
    labels[: 2 * classes] = np.repeat(np.arange(classes), 2)
    samples = rng.normal(size=(classes, width))[labels] + spread * rng.normal(size=(count, width))
    return unit(samples + jitter * rng.normal(size=(views, count, width))), labels


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the shared golden values are not beside this checkout")
def test_given_batches_reproduce_the_original_study():
    golden = json.loads((GOLDEN / "golden_bound.json").read_text())
    for name, case in golden.items():
        config, expected = case["config"], case["eval_bound"]
        with np.load(GOLDEN / "golden_bound_inputs.npz") as arrays:
            data = {key.removeprefix(f"{name}/"): arrays[key] for key in arrays.files if key.startswith(f"{name}/")}
        first, second, size = unit(data["X1"]), unit(data["X2"]), config["batch_size"]
        batches = [o[size * b : size * (b + 1)] for o in data["order"] for b in range(config["iters_per_epoch"])]
        draws = [given_batch(first[i], second[i], data["fax"][i], data["y"][i]) for i in batches]
        rows = [draw_terms(d, data["mean_weights"], config["temperature"], [size - 1])[0] for d in draws]
        means = {key: np.mean([row[key] for row in rows]) for key in MEASURED}
        assert class_means_of(data["train_fax"][None], data["train_y"]) == pytest.approx(
            data["mean_weights"], rel=1e-12
        )
        for ours, theirs in [
            ("contrastive_loss", "SimCLR_loss"),
            ("covered", "upsilon"),
            ("sup", "sup_loss"),
            ("sub", "partial_sup_loss"),
            ("free_sup", "curl_sup_loss"),
            ("gap", "assumption_value"),
        ]:
            assert means[ours] == pytest.approx(expected[theirs], rel=1e-9), theirs
        assert means["free_sup"] + means["free_sub"] == pytest.approx(expected["curl_partial_sup_loss"], rel=1e-9)
        assert 1 - means["free"] == pytest.approx(expected["curl_tau"], rel=1e-9)
        assert means["log_collisions"] == pytest.approx(expected["conflict_term"], rel=2e-7)  # float32 logarithms
        priors = np.bincount(data["y"]) / len(data["y"])
        terms = BoundTerms(
            k=size - 1,
            temperature=config["temperature"],
            priors=priors,
            coverage=means["covered"],
            no_collision=means["free"],
            log_free_coverage=collision_free_coverage(size - 1, priors, log=True),
            **means,
        )
        derived = case["derived_from_notebook"]
        nozawa, arora = BOUNDS["nozawa2021"](), BOUNDS["arora2019"]()
        over_free = replace(terms, log_free_coverage=np.log(means["free"]))  # the study's divisor, P(Col = 0)
        for value, key in [
            (nozawa.contrastive_lower(terms), "nb_bound = bound + assumption_value"),
            (arora.contrastive_lower(terms), "nb_curl_bound = curl_bound + assumption_value"),
            (arora.supervised_upper(over_free), "nb_curl_supervised_upper_bound"),
            (nozawa.supervised_upper(terms), next(k for k in derived if k.startswith("corrected_supervised"))),
        ]:
            assert value == pytest.approx(derived[key], rel=5e-7), key
        assert arora.supervised_upper(terms) > derived["nb_curl_supervised_upper_bound"]


def plain_terms(draw: Draw, means: np.ndarray, temperature: float, k: int) -> dict[str, float]:
    """`draw_terms` as a loop over anchors and groups, straight from the definitions."""
    rows = []
    for z, positive, view_mean, y, own in zip(
        draw.anchors, draw.positives, draw.others[0], draw.labels, draw.own, strict=True
    ):
        for start in range(1, len(draw.keys) - k + 1, k):
            chosen = [0 if own > 0 and j == own else j for j in range(start, start + k)]
            similarities = np.r_[z @ positive, draw.keys[chosen] @ z] / temperature
            collisions = int(np.sum(draw.key_labels[chosen] == y))
            present = sorted({int(y), *draw.key_labels[chosen].tolist()})
            logits = means @ z / temperature
            loss = np.log(np.exp(logits[present]).sum()) - logits[y]
            covered, free = len(present) == len(means), collisions == 0
            rows.append(
                {
                    "contrastive_loss": np.log(np.exp(similarities).sum()) - similarities[0],
                    "supervised_loss": np.log(np.exp(logits).sum()) - logits[y],
                    "sup": loss * covered,
                    "sub": loss * (not covered),
                    "free_sup": loss * (covered and free),
                    "free_sub": loss * ((not covered) and free),
                    "log_collisions": np.log(collisions + 1),
                    "gap": min(0.0, z @ (means[y] - view_mean)) / temperature,
                    "covered": covered,
                    "free": free,
                }
            )
    return {name: float(np.mean([row[name] for row in rows])) for name in MEASURED}


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8, 20])
def test_terms_are_those_of_a_plain_loop(k):
    views, labels = clusters(count=40, classes=4, skew=0.5)
    rng = np.random.default_rng(k)
    block, drawn = rng.permutation(40)[:15], rng.permutation(40)[:21]
    place = np.zeros(40, dtype=int)
    place[drawn] = np.arange(21)
    means = class_means_of(views, labels)
    draw = Draw(
        views[0][block], views[1][block], views[2:3, block], labels[block], views[3][drawn], labels[drawn], place[block]
    )
    assert (draw.own > 0).sum() > 3
    assert draw_terms(draw, means, 0.3, [k])[0] == pytest.approx(plain_terms(draw, means, 0.3, k), rel=1e-10)


@pytest.mark.parametrize(("spread", "share"), [(0.3, 0.15), (0.2, 0.25), (0.1, 0.5)])
def test_the_gap_of_few_views_is_that_of_all_views(spread, share):
    """Each sample has 32 equally likely views, so that f̄ and d are known; the estimate draws 4 of them."""
    worlds, labels = clusters(views=32, count=12_000, spread=spread)
    means = class_means_of(worlds, labels)
    true = np.minimum(np.einsum("and,nd->an", worlds, means[labels] - worlds.mean(axis=0)), 0).mean() / 0.5
    drawn = np.random.default_rng(1).integers(32, size=(4, len(labels)))  # independent: a view may come twice
    views = worlds[drawn, np.arange(len(labels))]
    nobody = np.zeros(len(labels), dtype=np.int64)
    corrected = draw_terms(
        Draw(views[0], views[1], views[1:], labels, views[0, :2], labels[:2], nobody), means, 0.5, [1]
    )[0]["gap"]
    plain = np.minimum(np.einsum("nd,nd->n", views[0], means[labels] - views[1:].mean(axis=0)), 0).mean() / 0.5
    assert plain < true - 0.012
    assert abs(corrected - true) < share * abs(plain - true)


def test_the_gap_of_two_views_has_no_correction():
    views, labels = clusters(views=2, count=50)
    means, nobody = class_means_of(views, labels), np.zeros(50, dtype=np.int64)
    found = draw_terms(Draw(views[0], views[1], views[1:], labels, views[0, :2], labels[:2], nobody), means, 0.5, [1])
    expected = np.minimum(np.einsum("nd,nd->n", views[0], means[labels] - views[1]), 0).mean() / 0.5
    assert found[0]["gap"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("replacement", [False, True])
def test_frequencies_agree_with_the_exact_probabilities(replacement):
    views, labels = clusters(count=800, classes=6, skew=0.6)
    estimate = estimate_bounds(
        views, labels, [3, 9, 30, 100], temperature=0.5, generator=np.random.default_rng(3), replacement=replacement
    )
    for row, terms, exact in zip(estimate.table(), estimate.terms, estimate.expected_log_collisions, strict=True):
        assert abs(row["covered"] - terms.coverage) < 4 * row["covered_se"] + 1e-3
        assert abs(row["free"] - terms.no_collision) < 4 * row["free_se"] + 1e-3
        scheme = with_replacement(terms.priors) if replacement else without_replacement(np.bincount(labels))
        assert terms.draws.name == scheme.name
        assert terms.log_free_coverage == collision_free_coverage(int(row["k"]), scheme, log=True)
        assert abs(row["log_collisions"] - exact) < 4 * row["log_collisions_se"]


def test_without_replacement_no_anchor_meets_itself():
    """With K = N − 1 every anchor meets exactly all others: the loss has no randomness but that of the views."""
    views, labels = clusters(views=2, count=60, jitter=0.0)
    estimate = estimate_bounds(views, labels, [59], temperature=0.5, generator=np.random.default_rng(0))
    logits = views[0] @ views[0].T / 0.5
    exact = np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits))
    assert estimate.table()[0]["contrastive_loss"] == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("shape", [{}, {"skew": 0.5}, {"spread": 3.0}, {"jitter": 3.0}, {"classes": 20, "spread": 0.2}])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_no_bound_is_violated_beyond_two_standard_errors(replacement, shape, temperature):
    views, labels = clusters(**shape)
    ks = [1, 4, 16, 64, 256, 599]
    estimate = estimate_bounds(
        views, labels, ks, temperature=temperature, generator=np.random.default_rng(5), replacement=replacement
    )
    assert len(estimate.bounds()) == len(ks) * len(BOUNDS)
    for row in estimate.bounds():
        assert not row["violated"], row
        assert (row["supervised_upper"] == np.inf) == bool(row["reason"])


def test_where_every_draw_collides_the_bounds_that_need_collision_free_draws_are_infinite_with_a_reason():
    """Without replacement: 30 samples of each of 2 classes, so that the 45 negatives of an anchor hold its class."""
    views, labels = clusters(count=60, classes=2)
    labels = np.arange(60) % 2
    rows = estimate_bounds(views, labels, [45], temperature=0.5, generator=np.random.default_rng(0)).bounds()
    found = {row["bound"]: (row["supervised_upper"], row["reason"]) for row in rows}
    for name in ("arora2019", "ash2021"):
        assert found[name] == (np.inf, "1 − τ or υ is 0 for these classes, or so small that it is beyond 1e308")
    for name in ("nozawa2021", "bao2021"):
        assert np.isfinite(found[name][0])
        assert not found[name][1]


def test_one_draw_serves_every_k_and_every_bound():
    views, labels = clusters()
    together = estimate_bounds(views, labels, [8, 64], temperature=0.5, generator=np.random.default_rng(1))
    alone = estimate_bounds(views, labels, [64], temperature=0.5, generator=np.random.default_rng(1))
    np.testing.assert_array_equal(together.terms[1].contrastive_loss, alone.terms[0].contrastive_loss)
    np.testing.assert_array_equal(together.terms[0].gap, together.terms[1].gap)


def test_standard_errors_are_the_spread_of_repeated_estimates():
    views, labels = clusters(count=200)
    rows = [
        estimate_bounds(views, labels, [16], temperature=0.5, generator=np.random.default_rng(seed)).table()[0]
        for seed in range(40)
    ]
    for name in ("contrastive_loss", "sup"):
        spread = np.std([row[name] for row in rows], ddof=1)
        claimed = np.mean([row[f"{name}_se"] for row in rows])
        assert spread < 1.3 * claimed, name  # anchors are stratified over blocks, so the claim may be too large
        assert spread > 0.3 * claimed, name


def test_every_reading_of_a_bound_has_its_standard_error():
    views, labels = clusters(count=400)
    estimate = estimate_bounds(views, labels, [3, 64], temperature=0.5, generator=np.random.default_rng(0))
    loss = {row["k"]: row for row in estimate.table()}
    for row in estimate.bounds():
        for reading in ("contrastive_lower", "slack", "supervised_upper", "supervised_upper_closed"):
            assert row[f"{reading}_se"] >= 0
            assert row[f"{reading}_se"] > 0 or row[reading] == np.inf
        closed = BOUNDS[row["bound"]]().supervised_upper_closed
        expected = closed(loss[row["k"]]["contrastive_loss"], row["k"], without_replacement(np.bincount(labels)), 0.5)
        assert row["supervised_upper_closed"] == pytest.approx(expected, rel=1e-9)
        if row["bound"] == "bao2021":  # slope 1
            assert row["supervised_upper_closed_se"] == pytest.approx(loss[row["k"]]["contrastive_loss_se"])


def test_training_class_means_replace_those_of_the_test_split():
    views, labels = clusters()
    means = class_means_of(views, labels)
    options = {"temperature": 0.5, "ks": [8]}
    default = estimate_bounds(views, labels, **options, generator=np.random.default_rng(0)).table()
    given = estimate_bounds(views, labels, **options, generator=np.random.default_rng(0), class_means=means).table()
    worse = estimate_bounds(views, labels, **options, generator=np.random.default_rng(0), class_means=-means).table()
    assert default == given
    assert worse[0]["supervised_loss"] > given[0]["supervised_loss"] + 1


def test_collision_upper_bound_is_the_mean_over_pairs_of_a_class():
    views, labels = clusters(count=30)
    by_hand = [
        np.mean([abs(a @ views[1][j] - a @ views[1][i]) for j in np.flatnonzero(labels == labels[i]) if j != i])
        for i, a in enumerate(views[0])
    ]
    value, error = collision_upper_bound(views[0], views[1], labels)
    assert value == pytest.approx(np.mean(by_hand), rel=1e-12)
    assert error == pytest.approx(np.std(by_hand, ddof=1) / np.sqrt(30), rel=1e-12)


def test_float32_embeddings_lose_nothing_that_matters_even_at_low_temperature():
    views, labels = clusters()
    for temperature in (0.5, 0.01):
        options = {"temperature": temperature, "ks": [64]}
        fine = estimate_bounds(views, labels, **options, generator=np.random.default_rng(0)).table()[0]
        single = estimate_bounds(
            views.astype(np.float32), labels, **options, generator=np.random.default_rng(0)
        ).table()[0]
        assert single["contrastive_loss"] == pytest.approx(fine["contrastive_loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ks": [600]}, "at most 599 without replacement, not 600"),
        ({"ks": []}, "at least one K"),
        ({"ks": [0]}, "at least one K"),
        ({"labels": np.r_[np.zeros(300, int), np.full(300, 2)]}, r"classes \[1\] are absent from the test split"),
        ({"labels": np.zeros(5, int)}, "not of shape"),
        ({"embeddings": np.ones((2, 600, 4))}, "unit rows"),
        ({"embeddings": np.ones((1, 600, 1))}, "A ≥ 2 views"),
        ({"temperature": 0.001}, "at least 0.005"),
        ({"class_means": np.ones((3, 16))}, "class_means must be"),
    ],
)
def test_bad_input_is_refused_with_the_rule(change, rule):
    views, labels = clusters()
    good = {"embeddings": views, "labels": labels, "ks": [8], "temperature": 0.5}
    with pytest.raises(ValueError, match=rule):
        estimate_bounds(**(good | change), generator=np.random.default_rng(0))


@pytest.mark.slow
def test_eight_values_of_k_on_10_000_samples_and_10_views_take_under_20_seconds_and_5_percent_of_encoding_for_each():
    from study.bench.bounds import bench_bounds

    figures = bench_bounds()
    assert (figures["test_samples"], figures["views"], len(figures["ks"])) == (10_000, 10, 8)
    assert figures["estimate_all_k_s"] < 20
    assert figures["ratio_to_encoding_for_each_k"] < 0.05

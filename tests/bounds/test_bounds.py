"""Each bound: the published tables from their own terms, its two readings against each other, where it is missing."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from study.bounds import BOUNDS, BoundTerms
from study.bounds.bound import why_infinite
from study.bounds.priors import without_replacement
from study.bounds.probabilities import (
    collision_free_coverage,
    collision_probability,
    coverage_probability,
    expected_log_collisions,
)

# Nozawa & Sato 2021 (2102.06866), ResNet-18, 500 epochs, t = .5, mean of 3 seeds. Per K+1:
# L_cont, d, E ln(Col+1), Arora's bound, its sup, its sub, Nozawa & Sato's bound, its sup and its sub (both halved).
CIFAR10 = {
    32: (2.02, -1.16, 1.32, 0.23, 0.05, 0.01, 0.39, 0.63, 0.26),
    64: (2.64, -1.17, 1.93, 0.76, 0.0, 0.0, 0.70, 0.90, 0.01),
    128: (3.29, -1.18, 2.58, 1.41, 0.0, 0.0, 1.02, 0.91, 0.0),
    256: (3.96, -1.18, 3.26, 2.08, 0.0, 0.0, 1.35, 0.90, 0.0),
    512: (4.64, -1.19, 3.94, 2.75, 0.0, 0.0, 1.69, 0.90, 0.0),
}
CIFAR100 = {
    128: (3.32, -0.99, 0.69, 0.72, 0.0, 1.02, 1.18, 0.0, 1.82),
    256: (3.98, -0.98, 1.15, 0.47, 0.0, 0.30, 1.53, 0.0, 1.93),
    384: (4.38, -0.97, 1.48, 0.58, 0.01, 0.07, 1.72, 0.30, 1.66),
    512: (4.66, -0.97, 1.73, 0.79, 0.01, 0.01, 1.86, 1.21, 0.75),
    640: (4.88, -0.96, 1.93, 0.98, 0.01, 0.0, 1.96, 1.76, 0.20),
    768: (5.06, -0.95, 2.10, 1.15, 0.0, 0.0, 2.05, 1.92, 0.04),
    896: (5.21, -0.96, 2.24, 1.29, 0.0, 0.0, 2.12, 1.95, 0.01),
    1024: (5.34, -0.95, 2.37, 1.43, 0.0, 0.0, 2.19, 1.95, 0.0),
}
ROWS = [(10, n, row) for n, row in CIFAR10.items()] + [(100, n, row) for n, row in CIFAR100.items()]
NAMES = BOUNDS.names()


def published_terms(classes, n, row) -> BoundTerms:
    loss, gap, collisions, _, free_sup, free_sub, _, half_sup, half_sub = row
    return BoundTerms(
        k=n - 1,
        temperature=0.5,
        priors=np.full(classes, 1 / classes),
        coverage=coverage_probability(n, classes),
        no_collision=collision_probability(n - 1, classes, complement=True),
        log_free_coverage=collision_free_coverage(n - 1, classes, log=True),
        contrastive_loss=loss,
        supervised_loss=1.8,
        sup=2 * half_sup,
        sub=2 * half_sub,
        free_sup=free_sup,
        free_sub=free_sub,
        log_collisions=collisions,
        gap=gap,
    )


@pytest.mark.parametrize(("classes", "n", "row"), ROWS)
def test_published_bounds_are_the_combination_of_their_published_terms(classes, n, row):
    terms = published_terms(classes, n, row)
    rounding = 0.5e-2  # of each printed number; Nozawa & Sato's collision term is halved
    assert BOUNDS["arora2019"]().contrastive_lower(terms) == pytest.approx(row[3], abs=2.01 * rounding)
    assert BOUNDS["nozawa2021"]().contrastive_lower(terms) == pytest.approx(row[6], abs=2.01 * rounding)


@pytest.mark.parametrize(("classes", "n", "row"), ROWS)
def test_published_collision_terms_are_the_exact_ones(classes, n, row):
    """Batches of n from the 10,000 test samples; the printed digits are rounded means over a finite number of them."""
    exact = expected_log_collisions(n - 1, without_replacement([10_000 // classes] * classes))
    assert exact == pytest.approx(row[2], abs=0.01)


@pytest.mark.parametrize(("classes", "n", "row"), ROWS)
def test_published_losses_violate_neither_lower_bound(classes, n, row):
    terms = published_terms(classes, n, row)
    for name in ("arora2019", "nozawa2021"):
        assert BOUNDS[name]().contrastive_lower(terms) < terms.contrastive_loss


def test_arora_grows_without_limit_where_nozawa_sato_does_not():
    losses, ks = [row[0] for row in CIFAR10.values()], np.array(list(CIFAR10)) - 1
    arora = BOUNDS["arora2019"]().supervised_upper_closed(losses, ks, 10, 0.5)
    nozawa = BOUNDS["nozawa2021"]().supervised_upper_closed(losses, ks, 10, 0.5)
    assert np.all(np.diff(np.log10(arora)) > 0.5)
    assert arora[-1] > 1e20
    assert nozawa.max() < 6
    assert nozawa[-1] == pytest.approx(2 * 4.64 - 3.94, abs=0.01)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("priors", [10, np.array([0.4, 0.3, 0.2, 0.1])])
def test_the_two_closed_readings_are_each_others_inverse(name, priors):
    bound, ks = BOUNDS[name](), np.array([12, 31, 63])
    lower = bound.contrastive_lower_closed(1.7, ks, priors, 0.3)
    np.testing.assert_allclose(bound.supervised_upper_closed(lower, ks, priors, 0.3), 1.7, rtol=1e-8)


def collapsed_terms(k, priors, logits) -> BoundTerms:
    """Exact terms of an encoder that maps a class to a point, from every sequence of K+1 draws; logits z_y·µ_c/t."""
    classes = len(priors)
    draws = np.array(list(itertools.product(range(classes), repeat=k + 1)))
    chance, anchor = np.prod(priors[draws], axis=1), draws[:, 0]
    own = logits[anchor, anchor]
    collisions = np.sum(draws[:, 1:] == anchor[:, None], axis=1)
    present = (draws[:, :, None] == np.arange(classes)).any(axis=1)
    loss = np.log(np.sum(present * np.exp(logits[anchor] - own[:, None]), axis=1))
    covered, free = present.all(axis=1), collisions == 0
    return BoundTerms(
        k=k,
        temperature=1.0,
        priors=priors,
        coverage=coverage_probability(k + 1, priors),
        no_collision=collision_probability(k, priors, complement=True),
        log_free_coverage=collision_free_coverage(k, priors, log=True),
        contrastive_loss=chance @ np.log(np.exp(logits[anchor[:, None], draws] - own[:, None]).sum(axis=1)),
        supervised_loss=priors @ (np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)),
        sup=chance @ (loss * covered),
        sub=chance @ (loss * ~covered),
        free_sup=chance @ (loss * (covered & free)),
        free_sub=chance @ (loss * (~covered & free)),
        log_collisions=chance @ np.log1p(collisions),
        gap=0.0,
        covered=chance @ covered,
        free=chance @ (covered & free),
    )


def test_arora_bounds_the_loss_of_a_class_collapsed_simplex():
    """Ten classes at the vertices of a simplex, K = 9, t = .5: every term is a sum over Col."""
    other = math.exp(-2 - 2 / 9)  # e^{(z·µ_c − z·µ_y)/t}
    chance = [math.comb(9, m) * 0.1**m * 0.9 ** (9 - m) for m in range(10)]
    complete = math.factorial(10) / 10**10  # P(all present), which leaves no room for a collision
    loss = math.log1p(9 * other)
    # ℓ_present of collision-free draws: of 9 draws of 9 classes, those that meet j (surjections onto j)
    meet = [
        math.comb(9, j) * sum((-1) ** i * math.comb(j, i) * (j - i) ** 9 for i in range(j + 1)) / 10**9
        for j in range(10)
    ]
    terms = replace(
        published_terms(10, 10, CIFAR10[32]),
        contrastive_loss=sum(p * math.log1p(m + (9 - m) * other) for m, p in enumerate(chance)),
        free_sup=complete * loss,
        free_sub=sum(p * math.log1p(j * other) for j, p in enumerate(meet[:9])),
        log_collisions=sum(p * math.log1p(m) for m, p in enumerate(chance)),
        gap=0.0,
    )
    assert meet[9] == pytest.approx(complete, rel=1e-12)
    assert loss == pytest.approx(0.681, abs=5e-4)
    upper = BOUNDS["arora2019"]().supervised_upper(terms)
    assert upper == pytest.approx(715, abs=0.5)
    assert upper * complete / terms.no_collision == pytest.approx(0.670, abs=5e-4)  # over P(Col = 0): below the loss


@pytest.mark.parametrize("seed", range(60))
def test_arora_is_never_below_the_loss_of_the_draws_that_it_speaks_of(seed):
    """Against every sequence of draws; the loss is L_sup where the priors are equal."""
    rng = np.random.default_rng(seed)
    classes, k, equal = int(rng.integers(2, 5)), int(rng.integers(1, 6)), seed % 2 == 0
    priors = np.full(classes, 1 / classes) if equal else rng.dirichlet(np.full(classes, 2.0))
    points = rng.normal(size=(classes, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    terms = collapsed_terms(k, priors, points @ points.T / rng.uniform(0.1, 1))
    bound = BOUNDS["arora2019"]()
    upper = bound.supervised_upper(terms)
    if k + 1 < classes:
        assert upper == math.inf
        assert bound.nonexistent(k, classes)
        return
    assert math.exp(terms.log_free_coverage) == pytest.approx(terms.free, rel=1e-9)
    of_the_draws = terms.free_sup / terms.free
    assert upper >= of_the_draws - 1e-9
    tight = replace(terms, contrastive_loss=bound.contrastive_lower(terms))
    assert bound.supervised_upper(tight) == pytest.approx(of_the_draws, rel=1e-8)
    if equal:
        assert of_the_draws == pytest.approx(terms.supervised_loss, rel=1e-9)


def test_with_unequal_priors_arora_speaks_of_the_rare_anchors():
    """Two common classes that the encoder confuses and a rare one that it does not."""
    logits = 4 * np.array([[1.0, 0.9, -1.0], [0.9, 1.0, -1.0], [-1.0, -1.0, 1.0]])
    priors = np.array([0.45, 0.45, 0.1])
    terms = collapsed_terms(6, priors, logits)
    tight = replace(terms, contrastive_loss=BOUNDS["arora2019"]().contrastive_lower(terms))
    others = [coverage_probability(6, np.delete(priors, c) / (1 - priors[c])) for c in range(3)]
    weights = priors * (1 - priors) ** 6 * others
    losses = np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)
    upper = BOUNDS["arora2019"]().supervised_upper(tight)
    assert upper == pytest.approx(weights @ losses / weights.sum(), rel=1e-9)
    assert upper < 0.5 * terms.supervised_loss


@pytest.mark.parametrize(("classes", "k", "factor"), [(10, 16, 6.2214), (100, 127, 3.11359e21)])
def test_arora_divides_by_the_draws_without_a_collision_that_hold_all_classes(classes, k, factor):
    terms = published_terms(classes, k + 1, CIFAR10[32])
    numerator = terms.contrastive_loss - terms.free_sub - terms.log_collisions - terms.gap
    upper = BOUNDS["arora2019"]().supervised_upper(terms)
    assert upper / (numerator / terms.no_collision) == pytest.approx(factor, rel=1e-5)


def test_arora_is_finite_where_its_probability_underflows_and_its_quotient_does_not():
    terms = published_terms(10, 64, CIFAR10[64])
    lower = BOUNDS["arora2019"]().contrastive_lower(replace(terms, free_sup=0.0, gap=0.0))
    near = replace(terms, gap=0.0, contrastive_loss=lower + 2.0**-40, log_free_coverage=-730.0)
    upper = BOUNDS["arora2019"]().supervised_upper(near)
    assert math.exp(-730) * 1e10 < 1e-306
    assert math.log(upper) == pytest.approx(730 - 40 * math.log(2), rel=1e-4)
    beyond = BOUNDS["arora2019"]().supervised_upper(replace(near, log_free_coverage=-800.0))
    assert beyond == math.inf
    assert "beyond 1e308" in why_infinite(BOUNDS["arora2019"](), 63, 10, beyond)


@pytest.mark.parametrize("name", ["arora2019", "nozawa2021", "ash2021", "bao2021"])
def test_at_its_lower_bound_the_data_form_gives_the_supervised_loss_back(name):
    bound, terms = BOUNDS[name](), replace(published_terms(10, 64, CIFAR10[64]), free_sup=0.002)
    tight = replace(terms, contrastive_loss=bound.contrastive_lower(terms))
    expected = {
        "nozawa2021": terms.sup / terms.coverage,
        "arora2019": terms.free_sup / collision_free_coverage(63, 10),
    }.get(name, terms.supervised_loss)
    assert bound.supervised_upper(tight) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_curve_at_its_own_parameters_is_the_data_form(name):
    """Terms made from L_sup, L_sub, d and exact probabilities lie on the curve that is fitted."""
    bound, k, sup, sub, gap = BOUNDS[name](), 31, 1.9, 1.4, -0.7
    free = collision_probability(k, 10, complement=True)
    arora = BOUNDS["arora2019"]().curve([k], 10, 0.5)
    coverage = coverage_probability(k + 1, 10)
    terms = replace(
        published_terms(10, k + 1, CIFAR10[32]),
        supervised_loss=sup,
        sup=coverage * sup,
        sub=(1 - coverage) * sub,
        free_sup=arora.sup[0] * sup,
        free_sub=(free - arora.sup[0]) * sub,
        log_collisions=expected_log_collisions(k, 10),
        gap=gap,
    )
    curve = bound.curve([k], 10, 0.5)
    value = curve.sup * sup + curve.sub * sub + curve.gap * gap + curve.constant
    assert value[0] == pytest.approx(bound.contrastive_lower(terms), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "k", "classes", "reason"),
    [
        ("arora2019", 8, 10, "cannot contain all 10 classes"),
        ("nozawa2021", 8, 10, "cannot contain all 10 classes"),
        ("arora2019", 4, 1, "every negative collides"),
        ("ash2021", 4, 1, "every negative collides"),
        ("ash2021", 0, 10, "without negatives"),
        ("bao2021", 0, 10, "diverges"),
    ],
)
def test_a_bound_that_does_not_exist_is_infinite_and_says_why(name, k, classes, reason):
    bound = BOUNDS[name]()
    terms = replace(
        published_terms(10, 32, CIFAR10[32]),
        k=k,
        priors=np.full(classes, 1 / classes),
        coverage=coverage_probability(k + 1, classes),
        no_collision=collision_probability(k, classes, complement=True),
        log_free_coverage=collision_free_coverage(k, classes, log=True),
    )
    assert bound.supervised_upper(terms) == math.inf
    assert bound.supervised_upper_closed(3.0, k, classes, 0.5) == math.inf
    assert reason in bound.nonexistent(k, classes)


@pytest.mark.parametrize("name", NAMES)
def test_a_bound_that_exists_gives_no_reason_and_states_its_assumptions(name):
    bound = BOUNDS[name]()
    assert bound.nonexistent(31, 10) == ""
    assert np.isfinite(bound.supervised_upper_closed(3.0, 31, 10, 0.5))
    assert len(bound.assumptions) > 50


def test_ash_follows_the_published_coefficient():
    harmonic = sum(1 / i for i in range(1, 10))
    for k in (4, 80):
        coefficient = 2 * max(1, 2 * 9 * harmonic / k) / (1 - collision_probability(k, 10))
        expected = coefficient * (3.0 - expected_log_collisions(k, 10))
        assert BOUNDS["ash2021"]().supervised_upper_closed(3.0, k, 10, 0.5) == pytest.approx(expected, rel=1e-9)


def test_bao_follows_the_published_intercepts():
    priors, k, t = np.array([0.5, 0.3, 0.2]), 7, 0.5
    bound = BOUNDS["bao2021"]()
    upper = 3.0 + math.log(0.5 * 9 * math.cosh(2.0) ** 2 / 7)
    lower = 3.0 - float(priors @ np.log(priors)) + math.log(7) - 2 * math.log(8) - 2 * math.log(math.cosh(2.0))
    assert bound.supervised_upper_closed(3.0, k, priors, t) == pytest.approx(upper, rel=1e-12)
    assert bound.supervised_lower_closed(3.0, k, priors, t) == pytest.approx(lower, rel=1e-12)
    assert np.isfinite(bound.supervised_upper_closed(3.0, k, priors, 0.001))  # cosh itself overflows

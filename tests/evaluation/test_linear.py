"""The linear probe against SciPy's optimizer, and how its penalty is chosen."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch import Tensor

from study.evaluation import linear
from study.evaluation.classifier import labelled
from study.evaluation.linear import Linear, fit_probe, logistic_regression, stratified_split
from study.machine.memory import PeakMemory
from tests.second_device import second_device


def correlated(n: int, width: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Standardised columns that share most of their variance, and labels that they predict in part."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 3)) @ draw.normal(size=(3, width)) + 0.3 * draw.normal(size=(n, width))
    x = (x - x.mean(0)) / x.std(0)
    labels = (x @ draw.normal(size=(width, classes)) + 3 * draw.normal(size=(n, classes))).argmax(1)
    return torch.tensor(x), torch.tensor(labels)


def scipy_optimum(x: np.ndarray, labels: np.ndarray, classes: int, penalty: float) -> tuple[float, np.ndarray]:
    n, width = x.shape

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = flat[: width * classes].reshape(classes, width), flat[width * classes :]
        logits = x @ w.T + b
        log_q = logits - logsumexp(logits, axis=1, keepdims=True)
        residual = (np.exp(log_q) - np.eye(classes)[labels]) / n
        gradient = np.concatenate([(residual.T @ x + penalty * w).ravel(), residual.sum(0)])
        return -log_q[np.arange(n), labels].mean() + penalty / 2 * (w**2).sum(), gradient

    options = {"gtol": 1e-10, "ftol": 1e-16, "maxiter": 10_000, "maxfun": 20_000}
    best = minimize(objective, np.zeros((width + 1) * classes), jac=True, method="L-BFGS-B", options=options)
    return float(best.fun), best.x[: width * classes].reshape(classes, width)


@pytest.mark.parametrize("penalty", [1e-1, 1e-3, 1e-5])
def test_regression_reaches_the_optimum_that_scipy_finds(penalty):
    x, labels = correlated(200, 12, 4)
    start = (x.new_zeros(4, 12), x.new_zeros(4))
    weight, bias = logistic_regression(x, labels, penalty, start=start, tolerance=1e-9)
    least, expected = scipy_optimum(x.numpy(), labels.numpy(), 4, penalty)
    loss = torch.nn.functional.cross_entropy(x @ weight.T + bias, labels) + penalty / 2 * weight.square().sum()
    assert loss.item() == pytest.approx(least, rel=1e-8)
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_float32_at_the_probes_tolerance_classifies_as_the_optimum_does():
    x, labels = correlated(600, 40, 5)
    start = (torch.zeros(5, 40), torch.zeros(5))
    weight, bias = logistic_regression(x.float(), labels, 1e-2, start=start, tolerance=1e-4)
    least, expected = scipy_optimum(x.numpy(), labels.numpy(), 5, 1e-2)
    loss = torch.nn.functional.cross_entropy(x.float() @ weight.T + bias, labels) + 5e-3 * weight.square().sum()
    assert loss.item() == pytest.approx(least, abs=2e-6)
    np.testing.assert_allclose(weight.numpy(), expected, atol=2e-3)


def test_the_optimum_does_not_depend_on_the_start(generator):
    x, labels = correlated(200, 12, 4)
    far = (torch.randn(4, 12, dtype=x.dtype, generator=generator), torch.randn(4, dtype=x.dtype, generator=generator))
    weight, _ = logistic_regression(x, labels, 1e-2, start=far, tolerance=1e-9)
    np.testing.assert_allclose(weight.numpy(), scipy_optimum(x.numpy(), labels.numpy(), 4, 1e-2)[1], atol=2e-3)


def dense_optimum(x: Tensor, labels: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """The fit with the one-hot target and all scores at once, from zero, without the preconditioner."""
    w, b = x.new_zeros(classes, x.shape[1]), x.new_zeros(classes)
    target = torch.nn.functional.one_hot(labels, classes).to(x.dtype)  # [N, C]

    def loss_and_gradient() -> float:
        log_q = (x @ w.T + b).log_softmax(dim=1)
        residual = (log_q.exp() - target) / len(x)
        w.grad, b.grad = residual.T @ x + penalty * w, residual.sum(dim=0)
        return float(penalty / 2 * w.square().sum() - (target * log_q).sum() / len(x))

    search = torch.optim.LBFGS(
        [w, b], max_iter=5000, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )
    search.step(loss_and_gradient)
    return w, b


@pytest.mark.parametrize("block", [7, 4 * 60, 2**23])
def test_blocks_of_the_scores_fit_what_the_dense_formula_fits(block, monkeypatch):
    monkeypatch.setattr(linear, "BLOCK", block)  # blocks of 1, of 60 and of all 200 columns
    x, labels = correlated(200, 12, 4)
    found = logistic_regression(x, labels, 1e-2, start=(x.new_zeros(4, 12), x.new_zeros(4)), tolerance=1e-9)
    for mine, dense in zip(found, dense_optimum(x, labels, 4, 1e-2), strict=True):
        torch.testing.assert_close(mine - mine.mean(dim=0), dense - dense.mean(dim=0), rtol=1e-3, atol=1e-4)


def added_mib(work) -> float:
    peak = PeakMemory(torch.device("cpu"))
    before = peak.mib()
    work()
    return peak.mib() - before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's high-water mark is Linux's")
def test_memory_does_not_grow_with_the_scores(monkeypatch):
    monkeypatch.setattr(linear, "BLOCK", 2**20)  # 4 MiB
    x = torch.randn(50_000, 8, generator=torch.Generator().manual_seed(0))

    def fit(classes: int) -> None:
        start = (x.new_zeros(classes, 8), x.new_zeros(classes))
        logistic_regression(x, torch.arange(50_000) % classes, 0.1, start=start, tolerance=1e-3, max_iterations=1)

    fit(2)
    assert added_mib(lambda: fit(1600)) < 100  # all scores: 305 MiB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's high-water mark is Linux's")
def test_features_are_copied_once():
    x, labels = torch.randn(100_000, 128, generator=torch.Generator().manual_seed(0)), torch.arange(100_000) % 2
    options = {"penalties": (0.1,), "held_out": 0.1}

    def fit(features: Tensor, labels: Tensor) -> None:
        fit_probe(features, labels, 2, **options, generator=torch.Generator().manual_seed(0))

    fit(x[:1000], labels[:1000])
    assert added_mib(lambda: fit(x, labels)) < 1.5 * 49


def test_a_device_is_waited_for_once_a_step_not_once_a_block_or_class(monkeypatch):
    def waits(classes: int, block: int) -> int:
        monkeypatch.setattr(linear, "BLOCK", block)
        with torch.no_grad(), second_device() as there:
            x, labels = (there.put(a) for a in correlated(200, 12, classes))
            stratified_split(labels, 0.1, generator=torch.Generator())
            start = (x.new_zeros(classes, 12), x.new_zeros(classes))
            logistic_regression(x, labels, 1e-2, start=start, tolerance=1e-9, max_iterations=2)
        return there.waits.total()

    assert waits(4, 2**23) == waits(4, 40) == waits(8, 40)


def split_class_by_class(labels: Tensor, held_out: float, generator: torch.Generator) -> list[int]:
    order, held = torch.randperm(len(labels), generator=generator), []
    for c in labels.unique():
        members = order[labels[order] == c]
        held += members[: min(len(members) - 1, max(1, round(held_out * len(members))))].tolist()
    return sorted(held)


@pytest.mark.parametrize("held_out", [0.1, 0.25, 0.5, 0.95])
def test_split_takes_the_first_of_every_class_in_one_random_order(held_out, generator):
    labels = torch.randint(30, (400,), generator=generator) ** 2 % 47  # classes of all sizes, some of none
    fitted, held = stratified_split(labels, held_out, generator=torch.Generator().manual_seed(5))
    assert held.tolist() == split_class_by_class(labels, held_out, torch.Generator().manual_seed(5))
    assert sorted([*fitted.tolist(), *held.tolist()]) == list(range(400))


def test_split_holds_out_the_same_share_of_every_class(generator):
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 2 + [3])
    fitted, held = stratified_split(labels, 0.1, generator=generator)
    assert torch.bincount(labels[held], minlength=4).tolist() == [5, 2, 1, 0]
    assert sorted([*fitted.tolist(), *held.tolist()]) == list(range(73))


def test_penalty_is_the_best_on_held_out_data_alone(generator):
    """With labels that are pure chance the strongest penalty wins; with a clean signal a weak one does."""
    x = torch.randn(400, 30, generator=generator)
    chance = torch.randint(3, (400,), generator=generator)
    signal = (x @ torch.randn(30, 3, generator=generator)).argmax(1)
    penalties = (10.0, 1.0, 1e-1, 1e-2, 1e-3)
    chosen = [
        fit_probe(x, y, 3, penalties=penalties, held_out=0.2, generator=generator).penalty for y in (chance, signal)
    ]
    assert chosen[0] >= 1.0
    assert chosen[1] <= 1e-2


def test_test_labels_have_no_part_in_the_fit(make_encoded):
    encoded = make_encoded()
    shuffled = replace(encoded, labels_test=(encoded.labels_test + 1) % 4)
    a, b = (Linear().evaluate(e, generator=torch.Generator().manual_seed(0)).metrics for e in (encoded, shuffled))
    assert a["linear.features.penalty"] == b["linear.features.penalty"]
    assert a["linear.features.top1"] > 90 > b["linear.features.top1"]


def test_probe_ignores_scale_shift_and_constant_features(make_encoded):
    encoded = make_encoded()
    scale = torch.logspace(-3, 3, encoded.features_train.shape[1])

    def moved(h):
        return torch.cat([h * scale + 5 * scale, torch.full((len(h), 1), 3.0)], dim=1)

    held = replace(encoded.validation, features=moved(encoded.validation.features))
    train, test = moved(encoded.features_train), moved(encoded.features_test)
    other = replace(encoded, features_train=train, features_test=test, validation=held)
    a, b = (Linear().evaluate(e, generator=torch.Generator().manual_seed(0)).metrics for e in (encoded, other))
    assert a == pytest.approx(b)


def test_features_that_say_nothing_give_chance(make_encoded, generator):
    encoded = make_encoded(test=400)
    constant = replace(
        encoded, features_train=torch.ones_like(encoded.features_train), features_test=torch.ones(400, 12)
    )
    assert Linear().evaluate(constant, generator=generator).metrics["linear.features.top1"] == 25


def test_floor_is_the_same_probe_of_other_features_under_its_own_name(make_encoded):
    encoded, draw = make_encoded(), torch.Generator().manual_seed(0)
    floor = Linear().classify("linear.floor", labelled(encoded, "features"), generator=draw).metrics
    metrics = Linear().evaluate(encoded, generator=torch.Generator().manual_seed(0)).metrics
    assert floor == {name.replace("features", "floor"): v for name, v in metrics.items() if "features" in name}
    assert floor.keys() <= Linear.reports.keys()


def test_confusion_is_tabled_for_features_and_embeddings(make_encoded, generator):
    tables = Linear().evaluate(make_encoded(), generator=generator).tables
    assert sorted(tables) == [
        "linear.embeddings.by_class", "linear.embeddings.confusion",
        "linear.features.by_class", "linear.features.confusion",
    ]  # fmt: skip
    assert sum(row["count"] for row in tables["linear.features.confusion"]) == 60


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"penalties": ()}, "one or more numbers above 0"),
        ({"penalties": (0.0,)}, "above 0, got"),
        ({"held_out": 1}, "held_out must lie in"),
    ],
)
def test_what_cannot_be_fitted_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        Linear(**parameters)


def test_the_penalty_is_chosen_on_the_held_out_examples_and_not_on_test_or_by_the_generator(make_encoded):
    encoded = make_encoded(train=40, noise=3.0)
    held = encoded.validation
    losses = {}
    for penalty in Linear().penalties:
        one = fit_probe(
            encoded.features_train, encoded.labels_train, 4, penalties=(penalty,), held_out=0.5,
            generator=torch.Generator(), validation=(held.features, held.labels),
        )  # fmt: skip
        losses[penalty] = torch.nn.functional.cross_entropy(one.scores(held.features), held.labels).item()
    other_test = replace(encoded, features_test=encoded.features_test + 1)
    for seed, of in ((0, encoded), (1, other_test)):
        found = Linear().evaluate(of, generator=torch.Generator().manual_seed(seed)).metrics
        assert found["linear.features.penalty"] == min(losses, key=losses.get)


@pytest.mark.parametrize("edge", [1e1, 1e-5])
def test_the_search_reaches_either_end_of_the_penalties(edge):
    x, labels = correlated(400, 12, 4)
    asked = []

    def fit(x, y, penalty, *, start, tolerance):
        asked.append(penalty)
        return start

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "logistic_regression", fit)
        patch.setattr(linear, "_cross_entropy", lambda *a: torch.tensor(abs(np.log10(asked[-1] / edge))))
        found = fit_probe(
            x,
            labels,
            4,
            penalties=Linear().penalties,
            held_out=0.1,
            generator=torch.Generator(),
            validation=(x, labels),
        )
    assert found.penalty == edge

"""Objectives and methods against slow second implementations at many hyper-parameters, in float64 to 1e-9.

Gradients are compared entry by entry, and come from autograd through the sums as they are written here.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models.methods.byol import regression_loss
from models.methods.directpred import predictor_weight
from models.methods.memory_bank import log_partition, noise_contrastive
from models.methods.simsiam import simsiam_loss
from models.methods.supcon import supervised_contrastive
from models.methods.swav import sinkhorn, swapped_prediction
from models.objectives import OBJECTIVES

Loss = Callable[..., Tensor]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def unit(*shape: int, seed: int = 0) -> Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=-1, keepdim=True)


def assert_same(fast: Loss, slow: Loss, *leaves: Tensor) -> None:
    """The two losses and all their gradients agree."""
    results = []
    for loss in (fast, slow):
        own = [x.clone().requires_grad_() for x in leaves]
        value = loss(*own)
        gradients = torch.autograd.grad(value, own, allow_unused=True)
        zeros = (torch.zeros_like(x) for x in own)
        results.append([value, *(z if g is None else g for g, z in zip(gradients, zeros, strict=True))])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def one_anchor(name: str, pos: Tensor, neg: Tensor, t: float, tau_plus: float, beta: float, epsilon: float) -> Tensor:
    """One anchor's loss; pos [M] and neg [N] are cosines, the first positive stands in the numerator."""
    e, n = (neg / t).exp(), len(neg)
    first = (pos[0] / t).exp()
    if name in ("info_nce", "nt_xent"):
        return -(first / (first + e.sum())).log()
    if name == "decoupled":
        return -pos[0] / t + e.sum().log()
    if name == "ifm":
        harder = ((pos[0] - epsilon) / t).exp()
        moved = harder / (harder + ((neg + epsilon) / t).exp().sum())
        return -((first / (first + e.sum())).log() + moved.log()) / 2
    importance = (beta * neg / t).exp() if name == "hard" else torch.ones_like(neg)
    weighted = (importance * e).sum() / importance.mean()
    ng = (weighted - n * tau_plus * (pos / t).exp().mean()) / (1 - tau_plus)
    return -(first / (first + ng.clamp(min=n * math.exp(-1 / t)))).log()


GRID: list[tuple[str, dict[str, float]]] = [
    ("info_nce", {}), ("nt_xent", {}), ("decoupled", {}),
    *(("ifm", {"epsilon": e}) for e in (0.0, 0.05, 0.2)),
    *(("debiased", {"tau_plus": p}) for p in (0.0, 0.01, 0.1, 0.5)),
    *(("hard", {"tau_plus": p, "beta": b}) for p in (0.0, 0.1, 0.3) for b in (0.0, 0.5, 1.0, 2.0)),
]  # fmt: skip


@pytest.mark.parametrize("t", [0.07, 0.2, 0.5, 1.0])
@pytest.mark.parametrize(("name", "params"), GRID, ids=str)
def test_objectives_at_many_parameters(name: str, params: dict[str, float], t: float) -> None:
    every = {"tau_plus": 0.1, "beta": 1.0, "epsilon": 0.1} | params
    kept = draw(5, 12, seed=2) > -0.6
    weight = torch.zeros(5, 12, dtype=torch.float64).masked_fill(~kept, float("-inf"))

    def slow(positive: Tensor, negatives: Tensor) -> Tensor:
        losses = [
            one_anchor(name, p[None], s[k], t, **every) for p, s, k in zip(positive, negatives, kept, strict=True)
        ]
        return torch.stack(losses).mean()

    def fast(positive: Tensor, negatives: Tensor) -> Tensor:
        return OBJECTIVES[name](positive, negatives, temperature=t, log_weight=weight, **params)

    assert_same(fast, slow, draw(5), draw(5, 12, seed=1))


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("t", [0.07, 0.5])
def test_weighted_positives_at_many_parameters(sigma: float, t: float) -> None:
    def slow(positive: Tensor, negatives: Tensor) -> Tensor:
        e = (positive / sigma).exp()
        w = 2 - len(positive) * e / e.sum()
        losses = [-w[i] * positive[i] / t + (negatives[i] / t).exp().sum().log() for i in range(len(positive))]
        return torch.stack(losses).mean()

    weighted = OBJECTIVES["decoupled_weighted"]
    assert_same(lambda p, s: weighted(p, s, temperature=t, sigma=sigma), slow, draw(6), draw(6, 9, seed=1))


@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_the_triplet_loss_is_torchs_of_squared_distances(margin: float) -> None:
    z = torch.nn.functional.normalize(draw(6 * 16).view(6, 16), dim=1)
    anchor, positive, negatives = z[:1], z[1:2], z[2:]

    def squared(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().sum(dim=1)

    slow = torch.nn.functional.triplet_margin_with_distance_loss
    expected = slow(anchor, positive, negatives, distance_function=squared, margin=margin)
    s = anchor @ z.T
    found = OBJECTIVES["triplet"](s[:, 1], s[:, 2:], temperature=0.1, margin=margin)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", [n for n in OBJECTIVES.names() if OBJECTIVES.trait(n, "many_positives")])
@pytest.mark.parametrize("tau_plus", [0.05, 0.3])
def test_several_positives_enter_the_correction_as_their_mean(name: str, tau_plus: float) -> None:
    def slow(positive: Tensor, negatives: Tensor) -> Tensor:
        pairs = zip(positive, negatives, strict=True)
        return torch.stack([one_anchor(name, p, s, 0.5, tau_plus, 1.0, 0.1) for p, s in pairs]).mean()

    fast = OBJECTIVES[name]
    assert_same(lambda p, s: fast(p, s, temperature=0.5, tau_plus=tau_plus), slow, draw(5, 3), draw(5, 9, seed=1))


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_every_objective_has_the_signature_and_the_parameters_of_the_field(name: str) -> None:
    parameters = inspect.signature(OBJECTIVES[name]).parameters
    assert list(parameters)[:4] == ["positive", "negatives", "temperature", "log_weight"]
    assert [p.kind for p in parameters.values()][2:] == [inspect.Parameter.KEYWORD_ONLY] * (len(parameters) - 2)
    assert parameters["log_weight"].default is None
    own = {"debiased": {"tau_plus"}, "hard": {"tau_plus", "beta"}, "ifm": {"epsilon"}, "decoupled_weighted": {"sigma"}}
    own["triplet"] = {"margin"}
    assert set(list(parameters)[4:]) == own.get(name, set())


@pytest.mark.parametrize("t", [0.07, 0.2])
@pytest.mark.parametrize("rows", [40, 5000])
def test_noise_contrastive_estimation(t: float, rows: int) -> None:
    kept = draw(4, 10, seed=3) > -0.5
    weight = torch.zeros(4, 10, dtype=torch.float64).masked_fill(~kept, float("-inf"))
    z = log_partition(draw(4, 10, seed=2), temperature=t, log_weight=None, rows=rows).exp()
    assert z.item() == pytest.approx(rows * sum(math.exp(s / t) for s in draw(4, 10, seed=2).flatten().tolist()) / 40)

    def slow(positive: Tensor, negatives: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for p, s, keep in zip(positive, negatives, kept, strict=True):
            m = int(keep.sum())
            of_data = (p / t).exp() / z
            total = total - (of_data / (of_data + m / rows + 1e-7)).log()
            for x in s[keep]:
                total = total - ((m / rows) / ((x / t).exp() / z + m / rows + 1e-7)).log()
        return total / 4

    arguments: dict[str, Any] = {"temperature": t, "log_weight": weight, "log_z": z.log(), "rows": rows}
    assert_same(lambda p, s: noise_contrastive(p, s, **arguments), slow, draw(4), draw(4, 10, seed=1))


@pytest.mark.parametrize("t", [0.005, 0.02])
def test_noise_contrastive_estimation_is_finite_wherever_the_similarities_lie(t: float) -> None:
    positive = torch.tensor([-1.0, 1.0]).requires_grad_()
    negatives = torch.tensor([[1.0, -1.0], [1.0, -1.0]]).requires_grad_()
    both = torch.cat([positive.detach()[:, None], negatives.detach()], dim=1)
    z = log_partition(both, temperature=t, log_weight=None, rows=50_000)
    loss = noise_contrastive(positive, negatives, temperature=t, log_weight=None, log_z=z, rows=50_000)
    loss.backward()
    for value in (z, loss, positive.grad, negatives.grad):
        assert value is not None
        assert value.isfinite().all()


@pytest.mark.parametrize("t", [0.07, 0.1, 0.5])
@pytest.mark.parametrize("labels", [[0, 1, 0, 2, 1, 0], [0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 0, 0]], ids=str)
def test_supcon(t: float, labels: list[int]) -> None:
    def slow(z: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for i, own in enumerate(labels):
            others = [a for a in range(6) if a != i]
            positives = [p for p in others if labels[p] == own]
            denominator = sum(((z[i] @ z[a]) / t).exp() for a in others)
            terms = [-((z[i] @ z[p]) / t - denominator.log()) for p in positives]
            total = total + (sum(terms) / len(terms) if terms else 0 * z.sum())
        return total / 6

    assert_same(lambda z: supervised_contrastive(z, torch.tensor(labels), temperature=t), slow, unit(6, 8))


@pytest.mark.parametrize(("t", "epsilon", "iterations"), [(0.1, 0.05, 3), (0.2, 0.03, 1), (0.5, 0.5, 10)])
@pytest.mark.parametrize(("crops", "queued"), [(2, 0), (4, 0), (2, 9)])
def test_swapped_prediction_of_sinkhorn_codes(
    t: float, epsilon: float, iterations: int, crops: int, queued: int
) -> None:
    """Codes as the transport matrix of prototypes × samples that the published code scales; a queue comes first."""
    z, prototypes, queue = unit(crops, 7, 8), unit(5, 8, seed=1), unit(queued, 8, seed=2)

    def codes(view: Tensor, weight: Tensor) -> Tensor:
        q = ((torch.cat([queue, view]) @ weight.T) / epsilon).exp().T.detach()
        q = q / q.sum()
        for _ in range(iterations):
            q = q / q.sum(dim=1, keepdim=True) / q.shape[0]
            q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
        return (q * q.shape[1]).T[-7:]

    def slow(views: Tensor, weight: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for i in (0, 1):
            q = codes(views[i], weight)
            for v in range(crops):
                if v != i:
                    e = ((views[v] @ weight.T) / t).exp()
                    total = total - (q * (e / e.sum(dim=1, keepdim=True)).log()).sum(dim=1).mean() / (crops - 1)
        return total / 2

    def fast(views: Tensor, weight: Tensor) -> Tensor:
        raw = [torch.cat([queue, view]).detach() @ weight.detach().T for view in views[:2]]
        assigned = torch.stack([sinkhorn(s, epsilon=epsilon, iterations=iterations)[-7:] for s in raw])
        return swapped_prediction(views @ weight.T, assigned, temperature=t)

    assert_same(fast, slow, z, prototypes)


@pytest.mark.parametrize("epsilon", [1e-3, 0.01])
def test_codes_sum_to_one_at_any_smoothness(epsilon: float) -> None:
    scores = (unit(8, 8) @ unit(5, 8, seed=1).T).float()
    scores[:, 0], scores[0, 1] = -1, 1
    codes = sinkhorn(scores, epsilon=epsilon, iterations=3)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(8))


def test_losses_without_negatives() -> None:
    def cosine(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum() / (a.square().sum().sqrt() * b.square().sum().sqrt())

    def byol(p: Tensor, z: Tensor) -> Tensor:
        return torch.stack(
            [(a / a.norm() - b / b.norm()).square().sum() for a, b in zip(p, z.detach(), strict=True)]
        ).mean()

    def simsiam(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
        fixed = zip(p1, p2, z1.detach(), z2.detach(), strict=True)
        return torch.stack([-(cosine(a, d) + cosine(b, c)) / 2 for a, b, c, d in fixed]).mean()

    raw = [draw(5, 8, seed=seed) for seed in range(4)]
    assert_same(regression_loss, byol, *raw[:2])
    assert_same(simsiam_loss, simsiam, *raw)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5])
def test_the_computed_predictor_has_the_correlations_eigenvectors(epsilon: float) -> None:
    z = draw(30, 6)
    f = z.T @ z / 30
    w = predictor_weight(f, epsilon=epsilon)
    values, vectors = torch.linalg.eigh(f)
    for value, v in zip(values, vectors.T, strict=True):
        torch.testing.assert_close(w @ v, ((value / values.max()).sqrt() + epsilon) * v, rtol=1e-9, atol=1e-12)

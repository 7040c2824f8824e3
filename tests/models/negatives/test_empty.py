"""Anchors of which a strategy leaves nothing: a condition never trains on what it excludes."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.contrast import Contrast, StepContext
from models.methods.memory_bank import noise_contrastive
from models.negatives import STRATEGIES, Strategy
from models.objectives import OBJECTIVES, clamped_fraction
from models.pools import Pool, offer_from_batch
from study.semantics import class_semantics
from study.semantics.classes import CLASS_MAPS

LEFT_OUT = ("decoupled", "decoupled_weighted")
"""Objectives without the positive in the denominator: log 0 is no loss."""

every_objective = pytest.mark.parametrize("name", OBJECTIVES.names())


def selected(strategy: Strategy, *, classes: int, k: int, similarity: Tensor | None = None) -> Tensor:
    """The [C, C] mass that the strategy selects of K candidates an anchor from a batch of 256."""
    g = torch.Generator().manual_seed(0)
    z = F.normalize(torch.randn(256, 16, generator=g), dim=1)
    labels = torch.randint(classes, (256,), generator=g)
    offered = offer_from_batch(torch.eye(256, dtype=torch.bool), k, generator=g)
    contrast = Contrast(strategy, OBJECTIVES["info_nce"], k=k, class_similarity=similarity, classes=classes)
    context = StepContext(g, 0.5, observe=True)
    observed = contrast(z, z.roll(1, 1), Pool(z, torch.arange(256), labels), offered, context, labels=labels).observed
    assert 0 < observed["empty_share"] < 1
    return observed["mass.selected"]


@pytest.mark.parametrize(("classes", "k"), [(20, 8), (100, 16)])
def test_only_same_class_selects_nothing_else_however_few_are_offered(classes: int, k: int) -> None:
    mass = selected(STRATEGIES["only_same_class"](), classes=classes, k=k)
    assert mass.sum() > 0
    assert mass.trace() == mass.sum()


def test_a_band_of_meaning_selects_nothing_outside_it_however_few_are_offered() -> None:
    names = tuple(CLASS_MAPS["cifar100"])
    similarity = torch.from_numpy(class_semantics(names, dataset="cifar100", measures=["wup"]).similarities["wup"])
    mass = selected(STRATEGIES["semantic"](lo=0.9), classes=100, k=16, similarity=similarity)
    assert mass.sum() > 0
    assert mass[similarity < 0.9].sum() == 0


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Of five anchors the second and the last have no negatives."""
    g = torch.Generator().manual_seed(0)
    positive, negatives = torch.rand(5, generator=g) * 2 - 1, torch.rand(5, 7, generator=g) * 2 - 1
    weight = torch.zeros(5, 7, dtype=torch.bfloat16)
    weight[[1, 4]] = -torch.inf
    return positive.to(dtype).requires_grad_(), negatives.to(dtype).requires_grad_(), weight


@every_objective
def test_an_anchor_without_negatives_adds_0_or_is_left_out_of_the_mean(name: str) -> None:
    positive, negatives, weight = batch()
    loss = OBJECTIVES[name](positive, negatives, temperature=0.5, log_weight=weight)
    rest = OBJECTIVES[name](positive[[0, 2, 3]], negatives[[0, 2, 3]], temperature=0.5).item()
    assert loss.item() == pytest.approx(rest if name in LEFT_OUT else rest * 3 / 5, rel=1e-12)


@every_objective
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("everyone", [False, True])
@pytest.mark.parametrize("t", [0.02, 0.5])
def test_its_gradient_is_0_in_every_number_format(name: str, dtype: torch.dtype, everyone: bool, t: float) -> None:
    positive, negatives, weight = batch(dtype)
    weight = torch.full_like(weight, -torch.inf) if everyone else weight
    loss = OBJECTIVES[name](positive, negatives, temperature=t, log_weight=weight)
    loss.backward()
    assert loss.isfinite()
    assert positive.grad is not None
    assert negatives.grad is not None
    for gradient in (positive.grad, negatives.grad):
        assert gradient.isfinite().all()
        assert gradient[weight[:, 0].isneginf()].eq(0).all()
    if everyone:
        assert loss == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_noise_contrastive_estimation_without_noise_adds_0(dtype: torch.dtype) -> None:
    positive, negatives, weight = batch(dtype)
    arguments = {"temperature": 0.5, "log_z": torch.tensor(3.0), "rows": 40}
    loss = noise_contrastive(positive, negatives, log_weight=weight, **arguments)
    rest = noise_contrastive(positive[[0, 2, 3]], negatives[[0, 2, 3]], log_weight=None, **arguments)
    assert loss.item() == pytest.approx(rest.item() * 3 / 5, rel=0.01)
    loss.backward()
    for gradient in (positive.grad, negatives.grad):
        assert gradient.isfinite().all()
        assert gradient[[1, 4]].eq(0).all()


@every_objective
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_whole_step_without_negatives_goes_by(name: str, dtype: torch.dtype) -> None:
    raw = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    contrast = Contrast(STRATEGIES["only_same_class"](), OBJECTIVES[name])
    context = StepContext(torch.Generator(), 0.02, observe=True)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        z = F.normalize((raw @ torch.eye(8)).float(), dim=1)
        pool = Pool(z.detach().roll(1, 0), torch.arange(6) + 6, torch.full((6,), -1))
        step = contrast(z, z.roll(1, 1), pool, None, context, labels=torch.arange(6))
    step.loss.backward()
    assert step.loss == 0
    assert raw.grad.eq(0).all()
    assert step.observed["empty_share"] == 1
    assert step.observed["k_eff"] == 0
    assert math.isnan(step.observed["similarity.negative"])


def test_an_anchor_without_negatives_is_not_clamped() -> None:
    positive, negatives, weight = batch()
    with torch.no_grad():
        found = clamped_fraction(positive * 0 + 1, negatives * 0 - 1, temperature=0.1, log_weight=weight)
    assert found["clamped_fraction"] == pytest.approx(3 / 5)

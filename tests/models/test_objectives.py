import math
from functools import partial

import pytest
import torch
from torch import Tensor

from models.contrast import Contrast, StepContext
from models.logsumexp import log_sum_exp
from models.negatives import STRATEGIES
from models.objectives import OBJECTIVES, clamped_fraction
from models.pools import Pool

every_objective = pytest.mark.parametrize("name", OBJECTIVES.names())


def similarities(b: int = 6, k: int = 20, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    positive = torch.rand(b, generator=g, dtype=torch.float64) * 2 - 1
    return positive, torch.rand(b, k, generator=g, dtype=torch.float64) * 2 - 1


def slow(name: str, p: float, negatives: list[float], t: float) -> float:
    """One anchor's loss with the authors' defaults, as the papers write it: exponentials and sums."""
    pos, neg = math.exp(p / t), [math.exp(s / t) for s in negatives]
    n = len(neg)
    if name in ("info_nce", "nt_xent"):
        return -math.log(pos / (pos + sum(neg)))
    if name == "decoupled":
        return -math.log(pos / sum(neg))
    if name == "triplet":
        return sum(max(0.0, (2 - 2 * p) - (2 - 2 * s) + 0.2) for s in negatives) / n
    if name == "ifm":
        shifted = sum(math.exp((s + 0.1) / t) for s in negatives)
        harder = math.exp((p - 0.1) / t)
        return (-math.log(pos / (pos + sum(neg))) - math.log(harder / (harder + shifted))) / 2
    total = sum(neg)
    if name == "hard":
        total = sum(e * e for e in neg) / (sum(neg) / n)
    ng = max((total - n * 0.1 * pos) / 0.9, n * math.exp(-1 / t))
    return -math.log(pos / (pos + ng))


@pytest.mark.parametrize("t", [0.07, 0.5, 1.0])
@pytest.mark.parametrize("name", [n for n in OBJECTIVES.names() if n != "decoupled_weighted"])
def test_objective_is_the_papers_formula(name: str, t: float) -> None:
    positive, negatives = similarities()
    expected = sum(slow(name, p, s, t) for p, s in zip(positive.tolist(), negatives.tolist(), strict=True)) / 6
    assert OBJECTIVES[name](positive, negatives, temperature=t).item() == pytest.approx(expected, rel=1e-10)


def test_weighted_positives_are_the_papers_formula() -> None:
    positive, negatives = similarities()
    softmax = [math.exp(p / 0.3) / sum(math.exp(q / 0.3) for q in positive.tolist()) for p in positive.tolist()]
    losses = [
        -(2 - 6 * w) * p / 0.2 + math.log(sum(math.exp(x / 0.2) for x in s))
        for w, p, s in zip(softmax, positive.tolist(), negatives.tolist(), strict=True)
    ]
    loss = OBJECTIVES["decoupled_weighted"](positive, negatives, temperature=0.2, sigma=0.3)
    assert loss.item() == pytest.approx(sum(losses) / 6, rel=1e-10)


@every_objective
def test_leaving_a_negative_out_is_not_offering_it(name: str) -> None:
    positive, negatives = similarities()
    kept = torch.zeros(6, 20, dtype=torch.float64)
    kept[:, 13:] = float("-inf")
    with_weight = OBJECTIVES[name](positive, negatives, temperature=0.3, log_weight=kept)
    torch.testing.assert_close(with_weight, OBJECTIVES[name](positive, negatives[:, :13], temperature=0.3))


@every_objective
def test_a_log_weight_of_log_2_is_a_negative_met_twice(name: str) -> None:
    positive, negatives = similarities()
    weight = torch.zeros(6, 20, dtype=torch.float64)
    weight[:, :4] = math.log(2)
    twice = torch.cat([negatives, negatives[:, :4]], dim=1)
    torch.testing.assert_close(
        OBJECTIVES[name](positive, negatives, temperature=0.3, log_weight=weight),
        OBJECTIVES[name](positive, twice, temperature=0.3),
    )


@every_objective
def test_loss_does_not_depend_on_the_order_of_negatives_or_anchors(name: str) -> None:
    positive, negatives = similarities()
    g = torch.Generator().manual_seed(1)
    rows, columns = torch.randperm(6, generator=g), torch.randperm(20, generator=g)
    torch.testing.assert_close(
        OBJECTIVES[name](positive[rows], negatives[rows][:, columns], temperature=0.3),
        OBJECTIVES[name](positive, negatives, temperature=0.3),
    )


@every_objective
def test_gradients_agree_with_finite_differences(name: str) -> None:
    positive, negatives = (x.requires_grad_() for x in similarities(3, 5))
    assert torch.autograd.gradcheck(partial(OBJECTIVES[name], temperature=0.4), (positive, negatives))


@every_objective
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_similarities_at_a_low_temperature_stay_finite(name: str, dtype: torch.dtype) -> None:
    positive = torch.tensor([1.0, -1.0, 1.0, -1.0]).to(dtype).requires_grad_()
    negatives = torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None].repeat(1, 9).to(dtype).requires_grad_()
    loss = OBJECTIVES[name](positive, negatives, temperature=0.02)
    loss.backward()
    assert loss.isfinite()
    assert loss.dtype == torch.float32
    assert positive.grad.isfinite().all()
    assert negatives.grad.isfinite().all()


def test_hard_without_concentration_is_debiased_and_debiased_without_prior_is_info_nce() -> None:
    positive, negatives = similarities()
    debiased = OBJECTIVES["debiased"](positive, negatives, temperature=0.5, tau_plus=0.2)
    hard = OBJECTIVES["hard"](positive, negatives, temperature=0.5, tau_plus=0.2, beta=0.0)
    assert hard.item() == debiased.item()
    torch.testing.assert_close(
        OBJECTIVES["debiased"](positive, negatives, temperature=0.5, tau_plus=0.0),
        OBJECTIVES["info_nce"](positive, negatives, temperature=0.5),
    )


def test_further_positives_enter_the_correction_as_their_mean() -> None:
    positive, negatives = similarities()
    further = torch.stack([positive, positive * 0.5, positive - 0.1], dim=1)
    loss = OBJECTIVES["debiased"](further, negatives, temperature=0.5)
    neg, pos = (negatives / 0.5).exp().sum(1), (further / 0.5).exp()
    ng = ((neg - 20 * 0.1 * pos.mean(1)) / 0.9).clamp(min=20 * math.exp(-2))
    torch.testing.assert_close(loss, -(pos[:, 0] / (pos[:, 0] + ng)).log().mean())


def test_clamped_anchors_are_counted_and_give_their_negatives_no_gradient() -> None:
    positive = torch.tensor([1.0, -1.0], dtype=torch.float64)
    negatives = torch.full((2, 8), -0.5, dtype=torch.float64, requires_grad=True)
    arguments = {"temperature": 0.1, "tau_plus": 0.1}
    assert clamped_fraction(positive, negatives, **arguments)["clamped_fraction"].item() == 0.5
    OBJECTIVES["debiased"](positive, negatives, **arguments).backward()
    assert negatives.grad[0].eq(0).all()
    assert negatives.grad[1].gt(0).all()


def test_a_step_observes_the_clamped_fraction_where_the_objective_clamps() -> None:
    z = torch.nn.functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    context = StepContext(torch.Generator(), 0.1, observe=True)
    for objective, there in [
        (OBJECTIVES["hard"], True), (partial(OBJECTIVES["debiased"], tau_plus=0.3), True), (OBJECTIVES["ifm"], False),
    ]:  # fmt: skip
        step = Contrast(STRATEGIES["all"](), objective)(z, z, Pool(-z, torch.arange(4)), None, context)
        assert ("clamped_fraction" in step.observed) is there


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [("debiased", {"tau_plus": 1.0}, "tau_plus"), ("hard", {"beta": -1.0}, "beta"),
     ("ifm", {"epsilon": -0.1}, "epsilon"), ("decoupled_weighted", {"sigma": 0.0}, "sigma"),
     ("triplet", {"margin": 0.0}, "margin")],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(name: str, params: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OBJECTIVES[name](*similarities(), temperature=0.5, **params)


def test_log_sum_exp_is_torchs_in_blocks_with_its_gradient() -> None:
    g = torch.Generator().manual_seed(0)
    s = torch.randn(7, 100_000, generator=g, dtype=torch.float64).requires_grad_()  # several blocks
    weight = torch.randn(7, 100_000, generator=g, dtype=torch.float64)
    ours, theirs = log_sum_exp(s, 0.3, weight), (s / 0.3 + weight).logsumexp(1)
    torch.testing.assert_close(ours, theirs)
    one, two = (torch.autograd.grad((x**2).sum(), s)[0] for x in (ours, theirs))
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("name", ["info_nce", "nt_xent", "debiased", "hard", "ifm", "triplet"])
def test_an_anchor_without_negatives_contributes_nothing(name: str) -> None:
    positive, negatives = (x.requires_grad_() for x in similarities(2, 3))
    weight = torch.tensor([[float("-inf")] * 3, [0.0] * 3])
    loss = OBJECTIVES[name](positive, negatives, temperature=0.5, log_weight=weight)
    loss.backward()
    assert negatives.grad[0].eq(0).all()
    assert positive.grad[0].eq(0)
    alone = OBJECTIVES[name](positive[1:], negatives[1:], temperature=0.5)
    assert loss.item() == pytest.approx(alone.item() / 2)

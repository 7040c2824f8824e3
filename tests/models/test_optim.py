import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from models.optim import (
    LARC,
    LARS,
    OPTIMIZERS,
    SGD,
    AdamW,
    Optimization,
    learning_rate,
    parameter_groups,
    set_learning_rate,
)


def curve(warmup_steps: int, total_steps: int) -> list[float]:
    return [learning_rate(s, base=0.4, warmup_steps=warmup_steps, total_steps=total_steps) for s in range(total_steps)]


def test_warm_up_rises_linearly_to_the_base() -> None:
    assert curve(4, 20)[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_cosine_starts_at_the_base_passes_half_in_the_middle_and_ends_near_zero() -> None:
    rates = curve(4, 24)
    assert rates[4] == pytest.approx(0.4)
    assert rates[14] == pytest.approx(0.2)
    assert 0 < rates[-1] < 0.4 * 0.01
    assert all(a > b for a, b in itertools.pairwise(rates[4:]))


def test_cosine_equals_torchs_scheduler() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    theirs = []
    for _ in range(20):
        theirs += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    assert curve(0, 20) == pytest.approx(theirs)


def test_schedule_may_be_warm_up_alone() -> None:
    assert curve(4, 4)[-1] == pytest.approx(0.4)


def test_recipe_counts_its_warm_up_in_epochs() -> None:
    recipe = SGD(learning_rate=0.4, warmup_epochs=0.5)
    rates = [recipe.learning_rate_at(step, steps_per_epoch=8, epochs=3) for step in range(24)]
    assert rates == pytest.approx(curve(4, 24))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x)).square().mean()


def test_only_weights_decay_and_only_trained_parameters_are_optimized() -> None:
    net = Small()
    decayed, plain = parameter_groups(net, 0.1)
    assert [p is net.convolution.weight for p in decayed["params"]] == [True]
    assert {id(p) for p in plain["params"]} == {id(net.convolution.bias), id(net.norm.weight), id(net.norm.bias)}
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_resumed_training_is_the_same_training(name: str) -> None:
    def steps(net: Small, optimizer: torch.optim.Optimizer, numbers: range) -> None:
        for number in numbers:
            set_learning_rate(optimizer, 0.01 / (1 + number))
            optimizer.zero_grad()
            net(torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(number))).backward()
            optimizer.step()

    recipe = OPTIMIZERS[name]()
    whole = Small()
    halted = Small()
    halted.load_state_dict(whole.state_dict())
    steps(whole, recipe.optimizer(whole), range(6))

    first = recipe.optimizer(halted)
    steps(halted, first, range(3))
    second = recipe.optimizer(halted)
    second.load_state_dict(first.state_dict())
    steps(halted, second, range(3, 6))
    for ours, theirs in zip(halted.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_sgd_step_is_the_textbooks() -> None:
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(0.25)  # drawn, it may end near 0, where float32 is exact to less than the tolerance
    weight = net.weight.item()
    recipe = SGD(learning_rate=0.5, momentum=0.9, weight_decay=0.1)
    optimizer, velocity = recipe.optimizer(net), 0.0
    for gradient in (1.0, -2.0):
        net.weight.grad = torch.tensor([[gradient]])
        optimizer.step()
        velocity = 0.9 * velocity + gradient + 0.1 * weight
        weight -= 0.5 * velocity
    assert net.weight.item() == pytest.approx(weight, rel=1e-6)


RATES = (0.5, 2.0, 1.0)


def stepped(recipe: LARS | LARC, weight: list[float], gradients: list[list[float]]) -> list[float]:
    """A weight [1, D] after a step at each of the RATES, the gradients given."""
    net = nn.Linear(len(weight), 1, bias=False, dtype=torch.float64)
    net.weight.data.copy_(torch.tensor([weight]))
    optimizer = recipe.optimizer(net)
    for rate, gradient in zip(RATES, gradients, strict=True):
        set_learning_rate(optimizer, rate)
        net.weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    return net.weight[0].tolist()


def test_lars_steps_in_proportion_to_the_layers_size_by_hand() -> None:
    """θ = (3, 4), ‖θ‖ = 5; g = ∇L + λθ; the learning rate is part of the momentum."""
    gradients = [[0.6, 0.8], [1.0, -1.0], [0.0, 0.5]]
    w, v = [3.0, 4.0], [0.0, 0.0]
    for rate, gradient in zip(RATES, gradients, strict=True):
        g = [x + 0.1 * y for x, y in zip(gradient, w, strict=True)]
        trust = 0.01 * math.hypot(*w) / math.hypot(*g)
        v = [0.9 * x + rate * trust * y for x, y in zip(v, g, strict=True)]
        w = [x - y for x, y in zip(w, v, strict=True)]
    recipe = LARS(eta=0.01, weight_decay=0.1)
    assert stepped(recipe, [3.0, 4.0], gradients) == pytest.approx(w, rel=1e-12)
    first = stepped(LARS(eta=0.01, weight_decay=0), [3.0, 4.0], [gradients[0], [0.0] * 2, [0.0] * 2])
    moved = 0.5 * 0.01 * 5 * (1 + 0.9 + 0.81)
    assert math.dist(first, [3.0, 4.0]) == pytest.approx(moved, rel=1e-12), "a step is lr · η ‖θ‖ long"


@pytest.mark.parametrize("clip", [False, True])
def test_larc_is_momentum_on_gradients_rescaled_as_apex_does(clip: bool) -> None:
    gradients = [[0.6, 0.8], [1.0, -1.0], [0.0, 1e-4]]
    weight = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    plain = torch.optim.SGD([weight], lr=1.0, momentum=0.9)
    clipped = []
    for rate, gradient in zip(RATES, gradients, strict=True):
        set_learning_rate(plain, rate)
        size = weight.norm().item()
        adaptive = 0.2 * size / (math.hypot(*gradient) + size * 0.1)
        clipped.append(adaptive >= rate)
        adaptive = min(adaptive / rate, 1) if clip else adaptive
        weight.grad = adaptive * (torch.tensor(gradient, dtype=torch.float64) + 0.1 * weight.data)
        plain.step()
    found = stepped(LARC(eta=0.2, weight_decay=0.1, clip=clip), [3.0, 4.0], gradients)
    assert found == pytest.approx(weight.tolist(), rel=1e-12)
    assert clipped == [True, False, True]


def test_lars_leaves_biases_and_norms_to_plain_momentum_and_larc_does_not() -> None:
    moved = {}
    for recipe in (LARS(weight_decay=0), LARC(weight_decay=0)):
        net = Small()
        before = net.norm.weight.clone()
        optimizer = recipe.optimizer(net)
        set_learning_rate(optimizer, 1.0)
        for p in net.parameters():
            p.grad = torch.full_like(p, 0.25)
        optimizer.step()
        moved[type(recipe)] = (before - net.norm.weight).norm().item()
    assert moved[LARS] == pytest.approx(0.5, rel=1e-6), "four entries of 0.25"
    assert moved[LARC] == pytest.approx(1e-3 * 2, rel=1e-4), "η ‖γ‖, of four ones"


@pytest.mark.parametrize("name", ["lars", "larc"])
def test_a_parameter_that_is_0_or_has_no_gradient_stays_finite(name: str) -> None:
    net = nn.Linear(2, 2)
    for p in net.parameters():
        nn.init.zeros_(p)
    optimizer = OPTIMIZERS[name]().optimizer(net)
    net.weight.grad = torch.zeros(2, 2)
    optimizer.step()  # the bias has no gradient at all
    net.weight.grad = torch.ones(2, 2)
    optimizer.step()
    assert net.weight.isfinite().all()
    assert net.weight.ne(0).all()


@pytest.mark.parametrize(
    ("recipe", "parameters", "message"),
    [
        (SGD, {"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        (SGD, {"learning_rate": math.nan}, "learning_rate must be above 0, got nan"),
        (SGD, {"weight_decay": -1.0}, "weight_decay must be 0 or more, got -1.0"),
        (SGD, {"warmup_epochs": -1.0}, "warmup_epochs must be 0 or more, got -1.0"),
        (SGD, {"momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
        (SGD, {"momentum": 0.0, "nesterov": True}, "nesterov needs momentum above 0"),
        (AdamW, {"beta1": -0.1}, "beta1 must be at least 0 and below 1, got -0.1"),
        (AdamW, {"beta2": 1.0}, "beta2 must be at least 0 and below 1, got 1.0"),
        (LARS, {"eta": 0.0}, "eta must be above 0, got 0.0; SimCLR uses 0.001"),
        (LARC, {"momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
    ],
)
def test_parameters_out_of_range_are_refused(recipe: type, parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**parameters)


def test_warm_up_longer_than_the_training_is_refused() -> None:
    SGD(warmup_epochs=5).check(epochs=5)
    with pytest.raises(ValueError, match="warmup_epochs 5 is longer than the training of 4 epochs"):
        SGD(warmup_epochs=5).check(epochs=4)


def after_steps(recipe: Optimization, gradients: list[list[float | None]]) -> list[Tensor]:
    """Two parameters after steps with these gradients; None: it has none yet. float16's scaler skips infinite ones."""
    net = nn.ParameterList([torch.ones(2, 2), torch.ones(2, 2)])
    optimizer, scaler = recipe.optimizer(net), torch.amp.GradScaler("cpu", init_scale=1.0, backoff_factor=1.0 - 1e-9)
    set_learning_rate(optimizer, 0.1)
    for step in gradients:
        for parameter, value in zip(net, step, strict=True):
            parameter.grad = None if value is None else torch.full((2, 2), value)
        scaler.scale(torch.ones(()))
        scaler.step(optimizer)
        scaler.update()
    return [p.detach().clone() for p in net]


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_a_parameter_whose_gradients_come_later_steps_as_any_other(name: str) -> None:
    early, late = after_steps(OPTIMIZERS[name](), [[0.5, None], [0.25, None], [0.5, 0.5], [0.25, 0.25]])
    alone, _ = after_steps(OPTIMIZERS[name](), [[0.5, None], [0.25, None]])
    torch.testing.assert_close(late, alone)
    assert not torch.equal(early, late)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_a_first_step_that_overflows_leaves_nothing_behind(name: str) -> None:
    torch.use_deterministic_algorithms(True)  # memory that nobody set is NaN then
    try:
        after, _ = after_steps(OPTIMIZERS[name](), [[math.inf, math.inf], [0.5, 0.5], [0.25, 0.25]])
    finally:
        torch.use_deterministic_algorithms(False)
    whole, _ = after_steps(OPTIMIZERS[name](), [[0.5, 0.5], [0.25, 0.25]])
    torch.testing.assert_close(after, whole)

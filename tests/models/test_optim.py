import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from models.optim import OPTIMIZERS, SGD, AdamW, learning_rate, parameter_groups, set_learning_rate


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
    ],
)
def test_parameters_out_of_range_are_refused(recipe: type, parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**parameters)


def test_warm_up_longer_than_the_training_is_refused() -> None:
    SGD(warmup_epochs=5).check(epochs=5)
    with pytest.raises(ValueError, match="warmup_epochs 5 is longer than the training of 4 epochs"):
        SGD(warmup_epochs=5).check(epochs=4)

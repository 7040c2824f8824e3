"""Convolutions over small maps as products: the same numbers as torch's own."""

import copy
import statistics
import time

import pytest
import torch
from torch import nn

from models.encoders import ENCODERS
from models.encoders.small_maps import Product2d, multiply_small_maps
from models.precision import autocast, choose_precision

CASES = {
    "halved": ({"kernel_size": 3, "stride": 2, "padding": 1}, (8, 8)),
    "halved to one": ({"kernel_size": 3, "stride": 2, "padding": 1}, (2, 2)),
    "kept": ({"kernel_size": 3, "padding": 1}, (4, 4)),
    "a kernel of four": ({"kernel_size": 4, "stride": 2, "padding": 1}, (8, 6)),
    "a kernel as large as the map": ({"kernel_size": 4}, (4, 4)),
    "uneven sides": ({"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}, (5, 4)),
    "one by one": ({"kernel_size": 1}, (3, 3)),
    "strides that leave pixels out": ({"kernel_size": 1, "stride": 3}, (7, 7)),
    "a bias": ({"kernel_size": 3, "padding": 1, "bias": True}, (3, 3)),
}


def pair(settings, *, dtype=torch.float64):
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 7, **{"bias": False, **settings}).to(dtype)
    product = copy.deepcopy(plain)
    multiply_small_maps(product)
    assert type(plain) is nn.Conv2d
    assert type(product) is Product2d
    return plain, product


@pytest.mark.parametrize(("settings", "size"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_outputs_and_gradients_are_those_of_the_convolution(settings, size, memory_format):
    plain, product = pair(settings)
    made = []
    for layer in (plain, product):
        inputs = torch.linspace(-1, 1, 3 * 5 * size[0] * size[1], dtype=torch.float64).sin().reshape(3, 5, *size)
        inputs = inputs.to(memory_format=memory_format).requires_grad_()
        outputs = layer(inputs)
        (outputs * torch.arange(outputs.numel(), dtype=outputs.dtype).cos().view_as(outputs)).sum().backward()
        made.append([outputs, inputs.grad, *(p.grad for p in layer.parameters())])
    for expected, got in zip(*made, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_only_small_maps_are_multiplied(monkeypatch):
    product, calls = pair({"kernel_size": 3, "padding": 1})[1], []
    convolution = nn.Conv2d.forward
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: (calls.append(x.shape[2:]), convolution(self, x))[1])
    for side in (4, 5):
        product(torch.zeros(2, 5, side, side, dtype=torch.float64))
    assert calls == [(5, 5)]


def test_inputs_too_small_for_a_kernel_are_refused_as_by_torch():
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        pair({"kernel_size": 3})[1](torch.zeros(2, 5, 2, 2, dtype=torch.float64))


def test_under_autocast_the_product_is_in_its_format_and_gradients_are_the_weights_own():
    plain, product = pair({"kernel_size": 3, "padding": 1}, dtype=torch.float32)
    inputs = torch.randn(4, 5, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        expected, got = plain(inputs), product(inputs)
    assert got.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(got, expected, rtol=0.02, atol=0.02)
    got.float().sum().backward()
    assert product.weight.grad.dtype == torch.float32


def test_layers_of_other_kinds_stay_as_they_are():
    class Own(nn.Conv2d):
        pass

    others = [nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, padding="same")]
    others += [nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), Own(4, 4, 3)]
    kinds = [type(layer) for layer in others]
    multiply_small_maps(nn.ModuleList(others))
    assert [type(layer) for layer in others] == kinds


@pytest.mark.parametrize("name", ["conv-small", "resnet18"])
def test_the_encoders_have_them(name):
    layers = [layer for layer in ENCODERS.get(name)().modules() if isinstance(layer, nn.Conv2d)]
    assert layers
    assert all(type(layer) is Product2d for layer in layers)


def test_a_step_over_a_small_map_costs_less_than_the_convolution() -> None:
    """In processor time of one thread, in turns: whatever else the machine does. 0.3 to 0.6 of it was measured."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    plain = nn.Conv2d(128, 256, 3, stride=2, padding=1, bias=False).to(memory_format=torch.channels_last)
    product = copy.deepcopy(plain)
    multiply_small_maps(product)
    inputs = torch.randn(256, 128, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
    ratios = []
    for _ in range(9):
        seconds = []
        for layer in (product, plain):
            started = time.process_time()
            with autocast(choose_precision("auto", "cpu"), torch.device("cpu")):
                outputs = layer(inputs)
            outputs.float().square().sum().backward()
            seconds.append(time.process_time() - started)
        ratios.append(seconds[0] / seconds[1])
    torch.set_num_threads(threads)
    assert statistics.median(ratios) < 1, ratios


@pytest.mark.parametrize(("settings", "size"), CASES.values(), ids=CASES)
def test_gradients_of_gradients_are_those_of_the_convolution(settings, size) -> None:
    """As of a penalty on the gradient; torch's numerical check of both."""
    product = pair(settings)[1]
    inputs = torch.linspace(-1, 1, 2 * 5 * size[0] * size[1], dtype=torch.float64).sin().reshape(2, 5, *size)
    assert torch.autograd.gradgradcheck(product, inputs.requires_grad_(), fast_mode=True)

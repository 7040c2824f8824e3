"""Batch normalisation over parts of the batch, against torch's on each part."""

import copy

import pytest
import torch
from torch import nn

from models.batch_norm import SplitBatchNorm, split_batch_norm


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_each_part_is_normalised_as_a_batch_of_its_own(kind: type[nn.Module]) -> None:
    x = torch.randn(12, 3, *([4, 4] if kind is nn.BatchNorm2d else []), generator=torch.Generator().manual_seed(0))
    whole = kind(3)
    nn.init.uniform_(whole.weight)
    net = nn.Sequential(nn.Sequential(copy.deepcopy(whole)))
    split_batch_norm(net, 3)
    parts = [copy.deepcopy(whole) for _ in range(3)]
    expected = torch.cat([norm(part) for norm, part in zip(parts, x.chunk(3), strict=True)])
    torch.testing.assert_close(net(x), expected)
    found = net[0][0]
    assert isinstance(found, SplitBatchNorm)
    torch.testing.assert_close(found.running_mean, torch.stack([norm.running_mean for norm in parts]).mean(0))
    torch.testing.assert_close(found.running_var, torch.stack([norm.running_var for norm in parts]).mean(0))
    assert found.num_batches_tracked == 1
    assert net.state_dict().keys() == nn.Sequential(nn.Sequential(whole)).state_dict().keys()


def test_in_evaluation_it_is_the_ordinary_one_with_the_parameters_it_had() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    weight = net[1].weight
    net(torch.randn(16, 3, generator=torch.Generator().manual_seed(0)))
    before, x = net.eval()(torch.ones(5, 3)), torch.ones(5, 3)
    split_batch_norm(net, 4)
    assert net[1].weight is weight
    torch.testing.assert_close(net.eval()(x), before)


def test_its_gradient_is_that_of_the_parts() -> None:
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    layer = SplitBatchNorm.of(nn.BatchNorm1d(2, dtype=torch.float64), 2)
    assert torch.autograd.gradcheck(layer, x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_activations_of_fewer_bits_are_normalised_alike(dtype: torch.dtype) -> None:
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    layer = SplitBatchNorm.of(nn.BatchNorm1d(2), 2)
    narrow = layer(x.to(dtype))
    assert narrow.dtype == dtype
    torch.testing.assert_close(narrow.float(), layer(x), atol=0.03, rtol=0.03)

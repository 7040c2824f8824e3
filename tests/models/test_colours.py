"""Colour operators against torchvision's, sample by sample."""

import pytest
import torch
from torch import Tensor

from models import colours
from models.augment import to_planes

COUNT = 12
TOLERANCE = 1e-5  # float32, values in [0, 1]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def planes(generator: torch.Generator) -> Tensor:
    """[3, B, H, W]: a grey image, one of black, white and the six pure colours, and others."""
    images = torch.randint(0, 256, (COUNT, 32, 32, 3), generator=generator, dtype=torch.uint8)
    images[0] = images[0, :, :, :1]
    images[1] = (images[1] > 127).to(torch.uint8) * 255
    return to_planes(images)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factors_do_as_torchvisions(name: str, planes: Tensor, generator: torch.Generator) -> None:
    from torchvision.transforms.v2 import functional

    factor = torch.rand(COUNT, generator=generator) * 2
    ours = getattr(colours, f"adjust_{name}")(planes.clone(), factor)
    for i in range(COUNT):
        theirs = getattr(functional, f"adjust_{name}")(planes[:, i], factor[i].item())
        torch.testing.assert_close(ours[:, i], theirs, atol=TOLERANCE, rtol=0)


def test_hue_turns_as_torchvisions_also_of_grey_and_pure_colours(planes: Tensor, generator: torch.Generator) -> None:
    from torchvision.transforms.v2 import functional

    for reach in (0.2, 1.0):
        shift = (torch.rand(COUNT, generator=generator) - 0.5) * reach
        ours = colours.adjust_hue(planes.clone(), shift)
        for i in range(COUNT):
            theirs = functional.adjust_hue(planes[:, i], shift[i].item())
            torch.testing.assert_close(ours[:, i], theirs, atol=2 * TOLERANCE, rtol=0)


def test_a_third_of_a_turn_exchanges_the_colours_and_a_sixth_each_way_is_no_turn(planes: Tensor) -> None:
    third = colours.adjust_hue(planes.clone(), torch.full((COUNT,), 1 / 3))
    torch.testing.assert_close(third, planes[[2, 0, 1]], atol=1e-6, rtol=0)
    there = colours.adjust_hue(planes.clone(), torch.full((COUNT,), 1 / 6))
    torch.testing.assert_close(colours.adjust_hue(there, torch.full((COUNT,), -1 / 6)), planes, atol=1e-6, rtol=0)


def test_a_hue_that_is_not_shifted_stays_to_the_bit(planes: Tensor) -> None:
    shift = torch.zeros(COUNT)
    shift[3] = 0.1
    turned = colours.adjust_hue(planes.clone(), shift)
    moved = (turned != planes).any(dim=3).any(dim=2).any(dim=0)
    assert moved.nonzero().flatten().tolist() == [3]


def test_saturation_zero_is_torchvisions_grey(planes: Tensor) -> None:
    from torchvision.transforms.v2 import functional

    ours = colours.adjust_saturation(planes.clone(), torch.zeros(COUNT))
    theirs = functional.rgb_to_grayscale(planes.transpose(0, 1), num_output_channels=3)
    torch.testing.assert_close(ours.transpose(0, 1), theirs, atol=TOLERANCE, rtol=0)

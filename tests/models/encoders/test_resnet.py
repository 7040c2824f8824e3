import pytest
import torch

from models.encoders import ENCODERS
from models.encoders.resnet import resnet18, resnet50, stem_for


@pytest.mark.parametrize("build", [resnet18, resnet50])
@pytest.mark.parametrize(("stem", "side"), [("cifar", 32), ("imagenet", 8)])
def test_the_stem_decides_the_size_that_the_blocks_see(build, stem: str, side: int) -> None:
    encoder = build(stem=stem)
    shapes: list[torch.Size] = []
    encoder.layers.layer1.register_forward_hook(lambda _module, inputs, _output: shapes.append(inputs[0].shape))
    encoder(torch.zeros(2, 3, 32, 32))
    assert shapes == [(2, 64, side, side)], "a quarter of each side: a sixteenth of the work"


@pytest.mark.parametrize(("size", "stem"), [((32, 32), "cifar"), ((64, 48), "cifar"), ((64, 65), "imagenet")])
def test_the_stem_for_32_pixels_is_for_small_images_alone(size: tuple[int, int], stem: str) -> None:
    assert stem_for(size, {}) == stem
    kernel = resnet18(input_size=size).layers.conv1.kernel_size
    assert kernel == ((3, 3) if stem == "cifar" else (7, 7))


def test_resnet18_has_the_parameters_of_the_cifar_variant_and_of_torchvisions() -> None:
    def count(**parameters: str) -> int:
        return sum(p.numel() for p in ENCODERS["resnet18"](**parameters).parameters())

    assert count() == 11_168_832  # 11,173,962 with a head for 10 classes
    assert count(stem="imagenet") == 11_176_512  # 11,689,512 with a head for 1,000 classes

import pytest
import torch
from torch import Tensor, nn

from models.encoders import ENCODERS, Encoder, seeded

FEATURES = {"conv-small": 256, "resnet18": 512, "resnet50": 2048, "bag-of-embeddings": 128}


def build(name: str) -> Encoder:
    return ENCODERS[name](**({"vocabulary_size": 50} if name == "bag-of-embeddings" else {}))


def some_inputs(modality: str) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if modality == "text":
        return torch.randint(0, 50, (3, 7), generator=generator)
    return torch.randn(3, 3, 16, 16, generator=generator).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ENCODERS.names())
def test_encoder_has_the_features_it_announces_and_trains(name: str) -> None:
    encoder = build(name)
    assert encoder.modality == ENCODERS.trait(name, "modality")
    features = encoder(some_inputs(encoder.modality))
    assert features.shape == (3, encoder.feature_dim)
    assert encoder.feature_dim == FEATURES[name]
    features.square().mean().backward()
    for parameter in encoder.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("name", ENCODERS.names())
def test_seed_decides_the_weights_and_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (seeded(lambda: build(name), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


@pytest.mark.parametrize("name", [n for n in ENCODERS.names() if ENCODERS.trait(n, "modality") == "image"])
def test_image_encoders_keep_channels_last_throughout(name: str) -> None:
    """A layout that changes between two layers costs a copy each step."""
    encoder = build(name)
    outputs: list[Tensor] = []
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    encoder(some_inputs("image"))
    assert outputs
    assert all(o.is_contiguous(memory_format=torch.channels_last) for o in outputs)


def test_conv_small_takes_other_image_sizes_and_widths() -> None:
    encoder = ENCODERS["conv-small"](width=8)
    assert encoder(torch.randn(2, 3, 64, 48)).shape == (2, 64)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnet_keeps_full_resolution_in_its_stem(name: str) -> None:
    encoder = build(name)
    shapes: list[torch.Size] = []
    encoder.layers.layer1.register_forward_hook(lambda _module, inputs, _output: shapes.append(inputs[0].shape))
    encoder(some_inputs("image"))
    assert shapes == [(3, 64, 16, 16)]


def test_resnet18_has_the_parameters_of_the_cifar_variant() -> None:
    assert sum(p.numel() for p in build("resnet18").parameters()) == 11_168_832  # 11,173,962 with a head for 10 classes


def test_bag_of_embeddings_is_the_mean_over_tokens_without_padding() -> None:
    encoder = build("bag-of-embeddings")
    table = encoder.layers.weight
    features = encoder(torch.tensor([[4, 9, 0, 0], [3, 3, 5, 0], [0, 0, 0, 0]]))
    expected = torch.stack([table[[4, 9]].mean(0), table[[3, 3, 5]].mean(0), torch.zeros(128)])
    torch.testing.assert_close(features, expected)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("conv-small", {"width": 0}, "width must be at least 1, got 0"),
        ("bag-of-embeddings", {}, "vocabulary_size must be at least 2"),
        ("bag-of-embeddings", {"vocabulary_size": 9, "dim": 0}, "dim must be at least 1, got 0"),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, parameters: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ENCODERS[name](**parameters)

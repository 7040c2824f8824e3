import pytest
import torch
from torch import Tensor, nn

from models.encoders import ENCODERS, Encoder, as_encoder, example, seeded

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


class Pooled(nn.Module):
    """A network of somebody's own: the mean of each colour."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mean(dim=(2, 3))


def test_a_module_of_ones_own_becomes_an_encoder_with_the_width_that_it_gives() -> None:
    encoder = as_encoder(Pooled(), example((8, 6)))
    assert (encoder.feature_dim, encoder.modality, encoder.training) == (3, "image", True)
    assert as_encoder(encoder, example((8, 6))) is encoder


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Conv2d(3, 4, 3), r"makes \[2, 4, 6, 6\] of \[2, 3, 8, 8\], not features \[B, F\]; pool, flatten"),
        (nn.MultiheadAttention(8, 2), "missing"),
        (len, "an encoder is a torch.nn.Module, not a builtin_function_or_method"),
    ],
)
def test_what_makes_no_features_is_refused(network: object, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        as_encoder(network, example((8, 8)))


def test_trying_a_network_leaves_its_batch_statistics_alone() -> None:
    norm = nn.BatchNorm2d(3)
    as_encoder(nn.Sequential(norm, nn.AdaptiveAvgPool2d(1), nn.Flatten()), example((8, 8)))
    assert norm.num_batches_tracked == 0

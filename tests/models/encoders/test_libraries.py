"""Networks of torchvision and timm, against the libraries' own."""

from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import get_model

from models.encoders import ENCODERS, as_encoder, example, seeded

TINY_VIT = {"embed_dim": 24, "depth": 2, "num_heads": 2}


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [("torchvision:shufflenet_v2_x0_5", (32, 32), 1024), ("torchvision:vit_b_16", (32, 32), 768),
     ("timm:resnet10t", (32, 32), 512), ("timm:vit_tiny_patch16_224", (64, 64), 192),
     ("timm:xcit_nano_12_p8_224", (64, 64), 128)],
)  # fmt: skip
def test_a_network_has_the_features_below_its_classifier_and_is_made_for_the_size(
    name: str, size: tuple[int, int], width: int
) -> None:
    with torch.device("meta"):
        batch = example(size)
        encoder = as_encoder(ENCODERS[name](input_size=size), batch)
        assert encoder.feature_dim == width
        assert encoder(batch).shape == (2, width)


def test_patches_of_a_vision_transformer_can_fit_small_images() -> None:
    vit = ENCODERS["timm:vit_tiny_patch16_224"](patch_size=4, options=TINY_VIT, input_size=(32, 32))
    assert vit.patch_embed.num_patches == 64
    assert as_encoder(vit, example((32, 32))).feature_dim == 24


def test_a_resnet_of_torchvision_is_ours() -> None:
    ours = seeded(lambda: ENCODERS["resnet18"](stem="cifar"), seed=3).layers.state_dict()
    theirs = seeded(lambda: ENCODERS["torchvision:resnet18"](input_size=(32, 32)), seed=3).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_weights_of_torchvision_give_its_features_of_images_normalised_as_it_wants_them(tmp_path: Path) -> None:
    original = seeded(lambda: get_model("shufflenet_v2_x0_5", weights=None), seed=1).eval()
    torch.save(original.state_dict(), file := str(tmp_path / "net.pth"))
    ours = ENCODERS["torchvision:shufflenet_v2_x0_5"](weights=file).eval()
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    original.fc = torch.nn.Identity()
    torch.testing.assert_close(ours((images - 0.5) / 0.25), original((images - mean) / std))


def test_weights_of_timm_fit_other_image_sizes_and_come_as_safetensors_too(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    original = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=7, **TINY_VIT).eval()
    save_file(original.state_dict(), file := str(tmp_path / "vit.safetensors"))

    def made(side: int) -> torch.nn.Module:
        build = ENCODERS["timm:vit_tiny_patch16_224"]
        return build(weights=file, options=TINY_VIT, input_size=(side, side)).eval()

    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = original.forward_head(original.forward_features((images - 0.5) / 0.5), pre_logits=True)
    torch.testing.assert_close(made(64)((images - 0.5) / 0.25), expected)  # this one's mean and std are 0.5
    assert made(96).net.pos_embed.shape == (1, 37, 24)


def test_position_embeddings_of_torchvision_are_interpolated_to_the_size() -> None:
    from models.encoders.libraries import _positions

    with torch.device("meta"):
        net = get_model("vit_b_16", weights=None, image_size=64)
    state = {"encoder.pos_embedding": torch.ones(1, 197, 768)}
    assert _positions(net, state)["encoder.pos_embedding"].shape == (1, 17, 768)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("torchvision:resnet17", {}, "torchvision has no network 'resnet17'; near it are resnet1"),
        ("timm:vit_tinny", {}, "timm has no network 'vit_tinny'"),
        ("torchvision:vit_b_32", {"input_size": (32, 32)}, r"patches of 32 .* timm:vit_… with encoder.patch_size=4"),
        ("timm:vit_tiny_patch16_224", {"input_size": (40, 40)}, r"do not tile 40×40 .* set encoder.patch_size=5"),
        ("torchvision:vgg11", {"stem": "cifar"}, "stem=cifar is for ResNets, and torchvision:vgg11 is none"),
        ("torchvision:squeezenet1_1", {}, "ends in no linear layer"),
        (
            "torchvision:convnext_tiny",
            {"options": {"foo": 1}},
            "unknown option of torchvision:convnext_tiny 'foo' .known",
        ),
        ("torchvision:convnext_tiny", {"options": {"layer_scales": 1}}, "'layer_scales'; did you mean 'layer_scale'"),
        (
            "torchvision:mobilenet_v3_small",
            {"options": {"width": 1}},
            "option of torchvision:mobilenet_v3_small 'width'",
        ),
        (
            "torchvision:resnet18",
            {"options": {"weights": "DEFAULT"}},
            "unknown option of torchvision:resnet18 'weights'",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_way_out(name: str, parameters: dict, message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        ENCODERS[name](**parameters)


def test_options_that_the_builder_or_its_helpers_take_are_passed_on() -> None:
    with torch.device("meta"):
        narrow = ENCODERS["torchvision:mobilenet_v3_small"](options={"width_mult": 0.5})
        ENCODERS["torchvision:convnext_tiny"](options={"stochastic_depth_prob": 0.2, "layer_scale": 1e-5})
        assert narrow(torch.zeros(2, 3, 64, 64)).shape == (2, 512)

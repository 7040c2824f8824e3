"""Encoders as a plan settles them: by the data's size, by the content of a file, or refused."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.encoders import ENCODERS
from study import ConfigError, TrialConfig
from study.config import trial_id
from study.planning.encoders import MOST_MIB, for_size, misfit, saved
from study.planning.resolve import component, resolve
from study.planning.study_config import StudyConfig
from study.storage.store import Checkpoints, TrialFolder
from study.trial.run import run_trial

SMALL: dict[str, Any] = {
    "data": {"name": "shapes", "train_size": 100, "test_size": 50},
    "batch_size": 32,
    "epochs": 1,
    "evaluations": ["knn"],
}


def trial(encoder: Any):
    return resolve(TrialConfig(**SMALL, encoder=encoder))


def shape_of(side: int):
    shape = resolve(TrialConfig(**SMALL)).parts.data.shape()
    return type(shape)(shape.train, shape.test, shape.class_names, (side, side))


def test_small_images_have_the_stem_and_the_ids_that_they_had() -> None:
    auto = trial("resnet18")
    assert auto.config["encoder"] == {"name": "resnet18", "stem": "cifar"}
    before = {**auto.identity, "encoder": {"name": "resnet18"}}
    assert auto.id == trial_id(before) == trial({"name": "resnet18", "stem": "cifar"}).id
    assert trial({"name": "resnet18", "stem": "imagenet"}).id != auto.id


def test_large_images_have_the_other_stem_and_say_so_in_their_identity() -> None:
    named = for_size(component("encoder", "resnet50").plain, shape_of(224))
    assert component("encoder", named).identity == {"name": "resnet50", "stem": "imagenet"}
    assert for_size({"name": "resnet50", "stem": "cifar"}, shape_of(224))["stem"] == "cifar", "as it was asked for"


def test_pretrained_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "b.pt")
    with pytest.raises(ConfigError, match=r"weights: .*b\.pt does not fit the network: 280 not in the file"):
        trial({"name": "torchvision:shufflenet_v2_x0_5", "weights": str(tmp_path / "b.pt")})


def test_weights_are_known_by_their_content_and_not_by_their_place(tmp_path: Path) -> None:
    def identity(name: str, content: bytes) -> dict[str, Any]:
        (tmp_path / name).write_bytes(content)
        return component("encoder", {"name": "timm:x", "weights": str(tmp_path / name)}).identity

    assert identity("a.pt", b"weights") == identity("b.pt", b"weights")
    assert identity("a.pt", b"others, trained longer") != identity("b.pt", b"weights")


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"name": "conv-small", "width": 0}, "encoder: width must be at least 1, got 0"),
        ("torchvision:vit_b_32", "encoder: torchvision:vit_b_32: patches of 32 pixels do not tile 32×32"),
        ({"name": "torchvision:alexnet"}, r"torchvision:alexnet cannot be made for images of 32×32 \(RuntimeError: "),
        ({"name": "timm:vit_tiny_patch16_224", "weights": "no.pt"}, r"encoder: weights: /.*no\.pt cannot be read"),
        ("timm:", "unknown encoder 'timm:'"),
    ],
)
def test_what_does_not_go_together_is_refused_when_it_is_planned(encoder: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trial(encoder)


def test_a_network_that_shapes_alone_cannot_try_is_tried_for_real() -> None:
    class Asking(nn.Module):
        """Looks at a number, which shapes do not have."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs.mean(dim=(2, 3)) if inputs.sum().item() < 1e9 else inputs

    ENCODERS.register("asking", modality="image")(Asking)
    try:
        assert misfit("asking", Asking, shape_of(32)) == ""
    finally:
        del ENCODERS._entries["asking"]


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (lambda x: x.mean((2, 3)).double(), r"it makes features of float64; end it with \.float\(\)"),
        (lambda x: x.mean((2, 3)).long(), "it makes features of int64"),
        (lambda x: x.mean((2, 3)).squeeze(), r"it makes \[3\] of one example, not \[1, F\]; flatten\(1\)"),
        (lambda x: x.mean((2, 3)).sqrt(), r"it makes NaN or infinite features of random inputs; mend it"),
        (lambda x: x.mean((2, 3)) / 0, "it makes NaN or infinite features"),
    ],
)
def test_features_that_would_fail_in_the_training_or_the_evaluation_are_refused(
    pool: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    class Pooled(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return pool(inputs)

    assert re.match(f"encoder: {message}", misfit("conv-small", lambda: Pooled(), shape_of(32)))


def test_an_encoder_without_forward_is_told_to_define_it() -> None:
    class Forgotten(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

    assert misfit("conv-small", Forgotten, shape_of(32)) == (
        "encoder: conv-small has no forward; define forward(self, x), which returns features [B, F]"
    )


def test_an_encoder_that_divides_by_the_spread_of_an_image_is_not_refused() -> None:
    class Standardising(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return ((inputs - inputs.mean((2, 3), keepdim=True)) / inputs.std((2, 3), keepdim=True))[:, :, 0, 0]

    assert misfit("conv-small", Standardising, shape_of(32)) == ""


def test_an_encoder_without_a_modality_or_with_positional_parameters_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(width: int = 8) -> nn.Module:
        """Positional."""
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    monkeypatch.setitem(ENCODERS._entries, "mine", build)
    monkeypatch.setitem(ENCODERS._traits, "mine", {})
    with pytest.raises(ConfigError, match=r"encoder: mine: its parameter width is not keyword-only; put \*, before it"):
        trial({"name": "mine", "width": 4})
    with pytest.raises(ConfigError, match=r"encoder: mine: its parameter width is not keyword-only"):
        trial({"name": "mine", "wdth": 4})
    with pytest.raises(ConfigError, match="encoder: mine does not say modality= where it is registered, but shapes "):
        trial("mine")


def test_an_encoder_of_ones_own_takes_six_lines(tmp_path: Path) -> None:
    """The example of docs/encoders.md, run as it stands there."""
    page = (Path(__file__).parents[2] / "docs" / "encoders.md").read_text()
    example = page.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in example.splitlines() if line.strip()]) <= 6
    known = set(ENCODERS)
    try:
        exec(example, {"__name__": "an_encoder"})
        (name,) = set(ENCODERS) - known
        result = run_trial(trial({"name": name, "width": 8}), TrialFolder(tmp_path / "t"), cache=tmp_path / "cache")
        assert result.finished, result.reason
        assert "knn.features.top1" in result.metrics
    finally:
        for added in set(ENCODERS) - known:
            del ENCODERS._entries[added]


@pytest.mark.parametrize(
    "encoder",
    [
        {
            "name": "timm:vit_tiny_patch16_224",
            "patch_size": 8,
            "options": {"embed_dim": 24, "depth": 2, "num_heads": 2},
        },
        {"name": "torchvision:shufflenet_v2_x0_5"},
    ],
)
def test_a_trial_runs_with_an_encoder_of_another_library(tmp_path: Path, encoder: dict[str, Any]) -> None:
    result = run_trial(trial(encoder), TrialFolder(tmp_path / "t"), cache=tmp_path / "cache")
    assert result.finished, result.reason


def test_all_encoders_are_saved_where_they_are_small_together_and_the_plan_says_so(tmp_path: Path) -> None:
    one = trial("conv-small")
    result = run_trial(one, TrialFolder(tmp_path / "t"), checkpoints=Checkpoints(encoder=True))
    assert result.finished, result.reason
    mib = (tmp_path / "t" / "encoder.pt").stat().st_size / 2**20
    which, said = saved(StudyConfig("s"), [one] * 10)
    assert which == "all"
    estimated = float(said.partition("are saved, ")[2].partition(" MiB")[0]) / 10
    assert mib * 0.9 < estimated < mib
    which, said = saved(StudyConfig("s"), [one] * int(2 * MOST_MIB / mib))
    assert which == "best"
    assert "all take 4.0 GiB (save_encoders=all does it)" in said.replace("3.9", "4.0")
    assert saved(StudyConfig("s", save_encoders="none"), [one]) == ("none", "")


def test_whose_encoders_are_saved_is_no_part_of_a_trials_id() -> None:
    assert StudyConfig("s", save_encoders="none").kept.encoder is False
    assert StudyConfig("s").kept.encoder is StudyConfig("s", save_encoders="best").kept.encoder is True
    with pytest.raises(ConfigError, match="save_encoders: takes all, best or none, got 'some'"):
        StudyConfig("s", save_encoders="some")
    assert "save_encoders" not in trial("conv-small").identity

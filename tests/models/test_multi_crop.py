"""Small views: torchvision's crops, and the losses of their methods, view by view as they are published."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.augment import SimCLRViews, random_boxes, to_planes
from models.contrast import Contrast, StepContext
from models.encoders import Encoder
from models.heads import mlp
from models.methods import METHODS, Batch, TrainingContext
from models.multi_crop import MultiCrop, crop_to, small_views, work_in_views
from models.negatives import STRATEGIES
from models.objectives import OBJECTIVES
from study import ConfigError, TrialConfig
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.probes.quick import Quick
from study.trial.run import run_trial
from study.trial.training import Training
from tests.conftest import TINY

B, SMALL = 6, 3
SWAV = {"name": "swav", "prototypes": 6, "freeze_steps": 0}

TINIEST = {"embed_dim": 24, "depth": 1, "num_heads": 2}
VIT = {"name": "timm:vit_tiny_patch16_224", "patch_size": 8, "options": TINIEST}


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (40, 32, 24, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize(("size", "scale"), [(16, (0.05, 0.14)), (16, (0.3, 1.0)), (40, (0.02, 1.0))])
def test_a_crop_at_another_size_is_torchvisions(size: int, scale: tuple[float, float], images: Tensor) -> None:
    from torchvision.transforms.v2 import functional

    planes, draw = to_planes(images), torch.Generator().manual_seed(1)
    boxes = random_boxes(len(images), 32, 24, min_scale=scale[0], max_scale=scale[1], generator=draw)
    flip = torch.arange(len(images)) % 2 == 0
    ours = crop_to(planes, boxes, flip, size)
    for i, box in enumerate(boxes.int().tolist()):
        theirs = functional.resized_crop(planes[:, i], *box, [size, size], antialias=True)
        theirs = functional.horizontal_flip(theirs) if flip[i] else theirs
        torch.testing.assert_close(ours[:, i], theirs, atol=1e-5, rtol=0)


def test_boxes_keep_to_a_greatest_area() -> None:
    draw = torch.Generator().manual_seed(0)
    boxes = random_boxes(20_000, 96, 96, min_scale=0.05, max_scale=0.14, generator=draw)
    area = boxes[:, 2] * boxes[:, 3] / 96**2
    assert area.min() > 0.045
    assert area.max() < 0.147
    assert area.mean().item() == pytest.approx(0.095, abs=0.001)


def test_full_views_are_simclrs_and_small_ones_have_their_own_size(images: Tensor) -> None:
    augmentation, simclr = MultiCrop(), SimCLRViews(min_scale=0.14)
    full, same = (a(images, generator=torch.Generator().manual_seed(0)) for a in (augmentation, simclr))
    assert torch.equal(full, same)
    small = augmentation.small(images, generator=torch.Generator().manual_seed(0))
    assert small.shape == (len(images), 3, 16, 16)
    assert small.dtype == torch.float32
    assert small.is_contiguous(memory_format=torch.channels_last)
    assert small.std() > 0.3


def test_small_views_are_counted_by_their_pixels() -> None:
    assert work_in_views(2, MultiCrop(), (32, 32)) == 3
    assert work_in_views(2, MultiCrop(small_views=6, small_size=96), (224, 224)) == pytest.approx(
        2 + 6 * (96 / 224) ** 2
    )
    assert work_in_views(2, MultiCrop(small_views=0), (32, 32)) == work_in_views(2, SimCLRViews(), (32, 32)) == 2
    assert work_in_views(2, "words", (40,)) == 2
    assert small_views(MultiCrop()) == (4, 16)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"small_views": -1}, "small_views must be 0 .none. or more, got -1"),
        ({"small_size": 0}, "small_size must be at least 1, got 0"),
        ({"small_min_scale": 0.0}, "0 < small_min_scale <= small_max_scale <= 1, got 0.0 and 0.14"),
        ({"small_max_scale": 0.04}, "got 0.05 and 0.04; SwAV uses 0.05 and 0.14"),
        ({"small_max_scale": 1.5}, "got 0.05 and 1.5"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiCrop(**parameters)


def learner(method: str, objective: str | None, **params: Any) -> Any:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    directions = OBJECTIVES.trait(objective, "directions") or "both" if objective else "both"
    contrast = Contrast(STRATEGIES["all"](), OBJECTIVES[objective], directions=directions) if objective else None
    training = TrainingContext(B, 64, 4, 10, torch.Generator().manual_seed(0))
    encoder = Encoder(layers, feature_dim=6, modality="image")
    return METHODS[method](**params).learner(encoder, mlp(6, dim=4, batch_norm="none"), contrast, training).double()


def batch() -> Batch:
    g = torch.Generator().manual_seed(1)
    full, small = (
        tuple(torch.randn(B, 3, side, side, generator=g, dtype=torch.float64) for _ in range(number))
        for side, number in ((8, 2), (4, SMALL))
    )
    return Batch(full, torch.arange(B), torch.arange(B) % 4, small)


def swavs(trained: Any, given: Batch, t: float) -> Tensor:
    """The loop of the published main_swav.py: for each crop that is assigned the others, sample by sample."""
    with torch.no_grad():
        c = F.normalize(trained.prototypes.weight, dim=1)
    c = trained.prototypes.weight + (c - trained.prototypes.weight).detach()
    scores = [trained.project(x) @ c.T for x in (*given.views, *given.small)]
    total: Any = 0.0
    for assigned in (0, 1):
        q = (scores[assigned].detach() / trained.method.epsilon).exp().T  # [M, B]
        for _ in range(trained.method.iterations):
            q = q / q.sum(dim=1, keepdim=True) / len(q)
            q = q / q.sum(dim=0, keepdim=True) / B
        subloss: Any = 0.0
        others = [v for v in range(2 + SMALL) if v != assigned]
        for v in others:
            for i in range(B):
                subloss = subloss - (B * q[:, i] * (scores[v][i] / t).log_softmax(dim=0)).sum() / B
        total = total + subloss / len(others)
    return total / 2


def hards(trained: Any, given: Batch, t: float) -> Tensor:
    """The loss anchor by anchor: the small views are positives of the correction, neither anchors nor pool."""
    z = [trained.project(x) for x in (*given.views, *given.small)]
    losses = []
    for v in (0, 1):
        for i in range(B):
            positive = torch.stack([z[u][i] for u in (1 - v, *range(2, 2 + SMALL))]) @ z[v][i]
            negatives = torch.stack([z[u][j] for u in (0, 1) for j in range(B) if j != i]) @ z[v][i]
            losses.append(OBJECTIVES["hard"](positive[None], negatives[None], temperature=t))
    return torch.stack(losses).mean()


@pytest.mark.parametrize(
    ("method", "objective", "params", "naive"),
    [("swav", None, {"prototypes": 5, "freeze_steps": 0}, swavs), ("simclr", "hard", {}, hards)],
)
@pytest.mark.parametrize("chunk", [None, 4])
def test_loss_and_gradients_are_those_of_the_definition(
    method: str, objective: str, params: dict[str, Any], naive: Callable[..., Tensor], chunk: int | None
) -> None:
    trained, given = learner(method, objective, **params), batch()
    assert isinstance(trained.encoder, Encoder)
    if method == "swav":
        with torch.no_grad():
            trained.prototypes.weight.copy_(F.normalize(trained.prototypes.weight, dim=1))
    expected = naive(trained, given, 0.3)
    expected.backward()
    gradients = {n: p.grad.clone() for n, p in trained.named_parameters() if p.grad is not None}
    trained.zero_grad()
    trained.encoder.chunk = chunk
    step = trained.step(given, StepContext(torch.Generator().manual_seed(0), 0.3, step=1))
    step.loss.backward()
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-10)
    found = {n: p.grad for n, p in trained.named_parameters() if p.grad is not None}
    assert found.keys() == gradients.keys()
    for n, gradient in gradients.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(found[n], gradient, rtol=1e-10, atol=1e-10)


def test_small_views_pass_the_encoder_together_and_apart_from_full_ones() -> None:
    trained, shapes = learner("swav", None, prototypes=5), list[tuple[int, ...]]()
    trained.encoder.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    trained.step(batch(), StepContext(torch.Generator().manual_seed(0), 0.3))
    assert shapes == [(B, 3, 8, 8), (B, 3, 8, 8), (SMALL * B, 3, 4, 4)]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            {"method": "moco"},
            "augmentation: multi-crop here gives 4 small views, and moco takes none; choose one of simcl",
        ),
        ({}, "method: simclr here has 5 positives an anchor, and nt_xent takes one; choose one of debiased, hard"),
        (
            {"method": SWAV, "augmentation": {"name": "multi-crop", "small_size": 32}},
            "augmentation: small views of 32×32 are no smaller than the images of 32×32; lower small_size",
        ),
        (
            {"method": SWAV, "augmentation": {"name": "multi-crop", "small_size": 1}},
            "encoder: conv-small takes images of 32×32, and no small views of 1×1 .RuntimeError",
        ),
        (
            {"method": SWAV, "encoder": VIT},
            "encoder: timm:vit_tiny_patch16_224 takes images of 32×32, and no small views of 16×16 .AssertionError",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_when_it_is_planned(config: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refused:
        resolve(TrialConfig(**{**TINY, "augmentation": "multi-crop", **config}))
    assert len(refused.value.problems) == 1


def test_features_of_another_width_are_refused_when_it_is_planned() -> None:
    from models.encoders import ENCODERS

    ENCODERS.register("flat", modality="image")(Flat)
    try:
        resolve(TrialConfig(**{**TINY, "method": SWAV, "encoder": "flat"}))
        with pytest.raises(ConfigError, match="it makes 48 features of them, and 192 of others; pool, flatten"):
            resolve(TrialConfig(**{**TINY, "method": SWAV, "encoder": "flat", "augmentation": "multi-crop"}))
    finally:
        del ENCODERS._entries["flat"]


class Flat(nn.Sequential):
    """An encoder whose features depend on the size of the image."""

    def __init__(self) -> None:
        super().__init__(nn.AvgPool2d(4), nn.Flatten())


def test_a_trial_trains_on_small_views_and_its_evaluations_see_full_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = list[tuple[bool, int]]()
    forward = Encoder.forward

    def spy(encoder: Encoder, inputs: Tensor) -> Tensor:
        met.append((encoder.training, inputs.shape[3]))
        return forward(encoder, inputs)

    config = {**TINY, "method": SWAV, "augmentation": "multi-crop", "evaluations": ["mean_classifier"]}
    trial, steps = resolve(TrialConfig(**config)), TINY["epochs"] * (256 // 64)
    monkeypatch.setattr(Encoder, "forward", spy)
    result = run_trial(trial, Store.of("s", tmp_path).trial("t"), threads=1)
    assert result.finished, result.reason
    assert met.count((True, 16)) == steps
    assert met.count((True, 32)) == 2 * steps
    assert set(met) == {(True, 16), (True, 32), (False, 32)}


def test_the_accuracy_on_the_way_costs_a_share_of_the_small_views_too() -> None:
    config = {**TINY, "method": SWAV, "evaluations": [], "accuracy_every": 2}
    config["data"] = {"name": "shapes", "train_size": 500, "test_size": 40}
    found = {}
    for augmentation in ("simclr", "multi-crop"):
        trial = resolve(TrialConfig(**{**config, "augmentation": augmentation}))
        training = Training(trial, trial.parts.data.load(), torch.device("cpu"))
        quick = Quick(training)
        found[augmentation] = training.views, len(quick._bank) + len(quick._queries)
    assert (found["simclr"][0], found["multi-crop"][0]) == (2, 3)
    assert found["multi-crop"][1] == pytest.approx(1.5 * found["simclr"][1], abs=1)


def test_without_small_views_a_trial_has_the_numbers_of_simclrs_augmentation(tmp_path: Path) -> None:
    losses = []
    for augmentation in ({"name": "multi-crop", "small_views": 0}, {"name": "simclr", "min_scale": 0.14}):
        trial = resolve(TrialConfig(**{**TINY, "augmentation": augmentation, "precision": "float32"}))
        losses.append(Training(trial, trial.parts.data.load(), torch.device("cpu")).train_epoch()["train.loss"])
    assert np.isfinite(losses[0])
    assert losses[0] == losses[1]

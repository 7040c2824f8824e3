"""Features of the splits: how many examples pass an encoder at once, and that they are finite."""

import pytest
import torch

from models.augment import NoAugmentation
from study import TrialConfig
from study.planning.resolve import resolve
from study.trial import encode, views
from study.trial.training import Diverged, Training


@pytest.mark.parametrize(
    ("size", "count"), [((32, 32), 500), ((96, 96), 500), ((224, 224), 91), ((64,), 500), ((4000, 4000), 1)]
)
def test_of_large_images_fewer_pass_the_encoder_at_once(size: tuple[int, ...], count: int) -> None:
    assert views.encode_batch(size) == count


def test_how_many_pass_at_once_changes_no_features(tiny: TrialConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = resolve(tiny)
    training = Training(trial, trial.parts.data.load(None), torch.device("cpu"))
    whole = encode.both(training, training.test)
    monkeypatch.setattr(views, "ENCODE_SIDE", 4)  # 7 of 32 × 32 pixels
    assert views.encode_batch((32, 32)) == 7
    for apart, at_once in zip(encode.both(training, training.test), whole, strict=True):
        torch.testing.assert_close(apart, at_once, rtol=0.02, atol=1e-3)  # bfloat16 where the machine has it


def test_how_many_pass_at_once_changes_no_uniformity_on_the_way(
    tiny: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = resolve(tiny)
    training = Training(trial, trial.parts.data.load(None), torch.device("cpu"))
    training.augmentation = NoAugmentation()
    whole = training.geometry()
    monkeypatch.setattr(views, "ENCODE_SIDE", 4)
    assert training.geometry() == pytest.approx(whole, rel=0.02, abs=1e-3)


@torch.no_grad()
def test_features_that_are_not_finite_are_refused_before_anything_is_made_of_them(tiny: TrialConfig) -> None:
    trial = resolve(tiny)
    training = Training(trial, trial.parts.data.load(None), torch.device("cpu"))
    next(training.learner.encoder.parameters())[0] = torch.inf
    with pytest.raises(Diverged, match=r"features are not finite \(NaN or infinite\) before the first epoch"):
        encode.both(training, training.test)

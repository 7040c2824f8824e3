"""The linear probe and kNN on a second data set: the definition's numbers, a frozen encoder, and what is refused."""

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ray import cloudpickle

from study import ConfigError, Study, TrialConfig
from study.data import DATASETS, Dataset, DataSource
from study.evaluation.classifier import Labelled
from study.evaluation.linear import Linear
from study.execution.worker import user_modules
from study.planning import cost
from study.planning.cost import probed
from study.planning.kept import settle
from study.planning.plan import check_study
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.probes.frozen import resize
from study.trial.probes.transfer import transfer
from study.trial.run import run_trial
from study.trial.training import Training
from study.trial.trial import Trial
from tests.conftest import TINY, undrawn
from tests.second_device import second_device
from tests.trial.test_run import numbers

SECOND = {"name": "shapes", "train_size": 200, "test_size": 60, "drawing_seed": 3}
"""Other drawings of the same shapes."""
TRANSFER = {**TINY, "evaluations": ["linear", "knn"], "transfer": [SECOND], "precision": "float32"}


def trial_of(**config: Any) -> Trial:
    return undrawn(resolve(TrialConfig(**{**TRANSFER, **config})))


def training_of(trial: Trial) -> Training:
    return Training(trial, trial.parts.data.load(), torch.device("cpu"))


def pictures(root: Path, size: int = 12, offset: int = 0) -> dict[str, Any]:
    """Images of two classes, each of its own colour, at another size than the encoder's."""
    draw = np.random.default_rng(5)
    for split, count in (("train", 12), ("test", 8)):
        for label, name in enumerate(("dark", "light")):
            for i in range(count):
                path = root / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = draw.integers(100 * label + offset, 100 * label + offset + 60, (size, size, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return {"name": "image_folder", "root": str(root), "image_size": size}


def votes_of_the_definition(h: np.ndarray, bank: np.ndarray, labels: np.ndarray, neighbours: int = 200) -> np.ndarray:
    """The class of each row by kNN with weights e^{s/.07}."""
    h, bank = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (h, bank))
    s = h @ bank.T
    nearest = np.argsort(-s, axis=1)[:, :neighbours]
    weight = np.exp(np.take_along_axis(s, nearest, axis=1) / 0.07)
    return np.stack([np.where(labels[nearest] == c, weight, 0).sum(axis=1) for c in range(labels.max() + 1)]).argmax(0)


def test_the_numbers_are_those_of_the_frozen_features_of_the_second_set() -> None:
    trial = trial_of()
    training = training_of(trial)
    training.train_epoch()
    found = transfer(training, None).metrics
    data, encoder = (
        DATASETS["shapes"](**{k: v for k, v in SECOND.items() if k != "name"}).load(),
        training.learner.encoder,
    )
    encoder.eval()

    def h(split: Any) -> np.ndarray:
        pixels = torch.from_numpy(split.take(slice(None))).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            return encoder((pixels - 0.5) / 0.25).double().numpy()

    splits = [data.train, data.test, data.validation]
    for at, split in (("top1", splits[1]), ("validation.top1", splits[2])):
        predicted = votes_of_the_definition(h(split), h(data.train), data.train.labels)
        assert found[f"transfer.shapes.knn.features.{at}"] == pytest.approx(100 * np.mean(predicted == split.labels))
    rows = [(torch.from_numpy(h(split)).float(), torch.from_numpy(split.labels.copy())) for split in splits]
    by_hand = Labelled(*rows, data.classes)
    expected = Linear().classify("transfer.shapes.linear.features", by_hand, generator=torch.Generator()).metrics
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=2)  # an image or so


def test_all_that_is_declared_is_logged_and_the_trials_own_numbers_stay(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    trial = trial_of()
    plain = run_trial(trial_of(transfer=[]), store.trial("plain"), threads=1)
    result = run_trial(trial, store.trial("transfer"), threads=1)
    of_transfer = {name for name in result.metrics if name.startswith("transfer.")}
    assert of_transfer == {name for name in trial.reports if name.startswith("transfer.")}
    assert {name: value for name, value in numbers(result).items() if name not in of_transfer} == numbers(plain)
    assert "time.transfer.shapes_s" in result.metrics
    assert "transfer.shapes.linear.features.confusion" in store.trial("transfer").tables()
    assert result.data["transfer"]["shapes"]["train"] == 200
    assert "transfer" not in plain.data


def test_the_encoder_is_as_it_was() -> None:
    training = training_of(trial_of())
    training.train_epoch()
    before = {name: x.clone() for name, x in training.learner.state_dict().items()}
    transfer(training, None)
    assert all(torch.equal(before[name], x) for name, x in training.learner.state_dict().items())


def test_the_floor_is_that_of_the_encoder_before_its_first_step(tmp_path: Path) -> None:
    trial = trial_of(evaluations=["linear"])
    untrained = transfer(training_of(trial), None).metrics
    found = run_trial(trial, Store.of("s", tmp_path).trial("t"), threads=1).metrics
    floor = {
        n.replace("floor", "features"): v for n, v in found.items() if n.startswith("transfer.shapes.linear.floor")
    }
    assert floor == untrained
    assert found["transfer.shapes.linear.features.top1"] != found["transfer.shapes.linear.floor.top1"]


def test_images_of_another_size_are_resized_and_told_apart(tmp_path: Path) -> None:
    trial = trial_of(transfer=[pictures(tmp_path)])
    assert trial.notes[-1] == "transfer: the images of image_folder, 12×12, are resized to the encoder's 32×32"
    found = transfer(training_of(trial), None).metrics
    assert found["transfer.image_folder.linear.features.top1"] == 100
    assert "transfer.image_folder.linear.features.top5" not in found  # of two classes


def test_another_device_finds_what_the_cpu_finds(tmp_path: Path) -> None:
    trial = trial_of(transfer=[pictures(tmp_path)])
    here = transfer(training_of(trial), None).metrics
    with second_device():
        training = Training(trial, trial.parts.data.load(), torch.device("cuda"))
        there = transfer(training, None).metrics
    assert there == pytest.approx(here, rel=1e-3)


@pytest.mark.parametrize("shape", [(64, 64), (20, 20), (48, 96), (50, 41)])
def test_resizing_is_pillows_bicubic_of_the_centre(shape: tuple[int, int]) -> None:
    low = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    image = Image.fromarray(low).resize(shape[::-1], Image.Resampling.BILINEAR)
    found = resize(torch.from_numpy(np.asarray(image).copy())[None], (32, 32))[0].numpy().astype(int)
    scale = 32 / min(shape)
    scaled = image.resize((round(shape[1] * scale), round(shape[0] * scale)), Image.Resampling.BICUBIC)
    left, top = (scaled.width - 32) // 2, (scaled.height - 32) // 2
    assert np.abs(found - np.asarray(scaled.crop((left, top, left + 32, top + 32))).astype(int)).max() <= 2


def test_images_of_that_size_stay() -> None:
    images = torch.randint(256, (2, 32, 32, 3), dtype=torch.uint8)
    assert resize(images, (32, 32)) is images


def test_a_trial_without_it_has_the_id_of_before_there_was_any() -> None:
    plain = resolve(TrialConfig(**TINY))
    assert "transfer" not in plain.identity
    assert plain.config["transfer"] == []
    assert resolve(TrialConfig(**TINY, transfer=[])).id == plain.id
    other = resolve(TrialConfig(**{**TINY, "transfer": [SECOND]}))
    assert other.id != plain.id
    assert other.identity["transfer"][0]["drawing_seed"] == 3
    assert other.under(1).identity["transfer"] == other.identity["transfer"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"transfer": ["cifar10"]}, "transfer: cifar10: no cifar-10-batches-py or"),
        ({"transfer": ["cifar10"]}, "set its root to the folder"),
        ({"transfer": ["shape"]}, "transfer: unknown data set 'shape'; did you mean 'shapes'?"),
        ({"transfer": [TINY["data"]]}, "transfer: shapes is what the encoder is trained on"),
        ({"transfer": [SECOND, "shapes"]}, "transfer: shapes is named twice"),
        ({"transfer": [SECOND], "evaluations": ["geometry"]}, "transfer: evaluations has no classifier"),
        ({"transfer": [{**SECOND, "train_size": 3}]}, "transfer: train_size must be at least 20"),
        ({"transfer": [{**SECOND, "drawn": 1}]}, "transfer.drawn: no such key"),
        ({"transfer": "shapes"}, "transfer: input should be a list"),
    ],
)
def test_a_second_set_that_cannot_be_is_refused_before_anything_runs(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(TrialConfig(**{**TINY, **config}))
    assert message in str(caught.value)


def test_a_search_may_ask_for_it_and_a_wrong_name_is_told() -> None:
    of = {"base": TrialConfig(**TRANSFER), "metrics": {"transfer.shapes.linear.features.top1": "max"}}
    check_study(Study("s", **of))
    with pytest.raises(ConfigError, match=r"did you mean 'transfer\.shapes\.linear\.features\.top1'"):
        check_study(Study("s", **of | {"metrics": {"transfer.shape.linear.features.top1": "max"}}))


def test_a_plan_counts_its_time_by_steps_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "PROBE_SECONDS", 0.0)  # a probe runs what is quick as a whole, second data sets included
    large = {"name": "shapes", "train_size": 3000, "test_size": 1000, "drawing_seed": 3}
    plain, more = (Study("s", base=TrialConfig(**{**TRANSFER, "transfer": t})) for t in ([], [large]))
    found = [[probed(study.trials(), study).seconds or math.nan for _ in range(3)] for study in (plain, more)]
    before, after = map(min, found)  # a neighbour's work adds to some of them
    assert after > 1.5 * before  # 9,000 examples to pass the encoder beside some 2,000


def test_other_images_at_the_same_place_are_another_trial(tmp_path: Path) -> None:
    at = tmp_path / "pictures"
    first, again = (trial_of(transfer=[pictures(at)]) for _ in range(2))
    assert first.id == again.id
    assert trial_of(transfer=[pictures(at, offset=50)]).id != first.id


def test_a_second_set_that_has_changed_since_is_told(tmp_path: Path) -> None:
    study = Study("s", base=TrialConfig(**{**TRANSFER, "epochs": 1, "evaluations": ["knn"]}))
    store, (trial,) = Store.of("s", tmp_path / "runs"), study.trials()
    folder = store.trial(trial.id)
    result = run_trial(undrawn(trial), folder, threads=1)
    settle(study, store, [trial])
    result.data["transfer"]["shapes"]["digest"] = "another"
    folder.write_result(result)
    with pytest.raises(ConfigError, match=f"^the images or texts of shapes have changed since this trial: {trial.id}"):
        settle(study, store, [trial])
    settle(study, store, [trial], "keep")
    settle(study, store, [trial])


@dataclass(frozen=True, kw_only=True)
class OfAUser(DataSource):
    """A data set that is not the package's."""

    def decode(self) -> Dataset:
        raise NotImplementedError


def test_a_users_data_set_travels_to_the_workers() -> None:
    trial = trial_of()
    trial = replace(trial, parts=replace(trial.parts, transfer={"own": OfAUser()}))
    try:
        assert user_modules([trial]) == [__name__]
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


SHARED = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the archives in {SHARED}")
def test_from_cifar_to_tiny_imagenet_a_trained_encoder_is_above_chance(tmp_path: Path) -> None:
    tiny = {"name": "image_folder", "root": str(SHARED / "tiny-imagenet-32-small.tar.xz"), "image_size": 48}
    cifar = {"name": "cifar10", "root": str(SHARED / "cifar10-images.tar.xz"), "train_size": 4000, "test_size": 500}
    trial = trial_of(data=cifar, transfer=[tiny], encoder="conv-small", epochs=4, batch_size=128)
    result = run_trial(trial, Store.of("s", tmp_path).trial("t"), threads=1)
    assert result.status == "finished", result.reason
    assert result.data["transfer"]["image_folder"]["train"] == 18_000
    for classifier in ("linear", "knn"):
        assert result.metrics[f"transfer.image_folder.{classifier}.features.top1"] > 4 * 0.5  # of 200 classes

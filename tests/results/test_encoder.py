"""The encoder that comes back from a store is the one that its trial evaluated."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.encoders import ENCODERS, as_encoder, example
from models.encoders.weights import Renormalised
from study import ConfigError, TrialConfig
from study.evaluation import Encoded, evaluate
from study.evaluation.evaluation import HeldOut
from study.metric_names import validation_of
from study.planning.resolve import resolve
from study.results import Results
from study.results.encoder import BATCH, Preprocessing, TrainedEncoder, load
from study.storage.store import Checkpoints, Store
from study.storage.trial_result import TrialResult
from study.trial import run
from study.trial.streams import Stream, generator
from tests.conftest import TINY, undrawn

SAVED = Checkpoints(encoder=True)


def trained(store: Store, config: dict[str, Any], seed: int = 0, kept: Checkpoints = SAVED) -> TrialResult:
    trial = undrawn(resolve(TrialConfig(**TINY | config)).under(seed))
    result = run.run_trial(dataclasses.replace(trial, cell=config), store.trial(trial.id), checkpoints=kept)
    assert result.finished, result.reason
    return result


def through(encoder: TrainedEncoder, inputs: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    parts = [encoder.preprocess.tensor(inputs[at : at + BATCH]) for at in range(0, len(inputs), BATCH)]
    return torch.cat([encoder(x) for x in parts]), torch.cat([encoder.embed(x) for x in parts])


def test_its_features_and_with_them_the_probes_accuracy_are_the_trials_own(
    tmp_path: Path, each_precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Encoded] = []
    of_trial = run.evaluate

    def spy(training: Any) -> Any:
        from study.trial.encode import encode

        seen.append(encode(training))
        return of_trial(training)

    monkeypatch.setattr(run, "evaluate", spy)
    store = Store(tmp_path / "study")
    result = trained(store, {})
    (folder,) = store.trials()
    encoder, (own,) = load(folder), seen
    assert encoder.about["precision"] == each_precision
    data = resolve(TrialConfig(**TINY)).parts.data.load()
    h_train, z_train = through(encoder, data.train.take(slice(None)))
    h_test, z_test = through(encoder, data.test.take(slice(None)))
    h_held, z_held = through(encoder, data.validation.take(slice(None)))
    assert torch.equal(h_test, own.features_test)
    assert torch.equal(z_test, own.embeddings_test)
    recomputed = dataclasses.replace(
        own,
        features_train=h_train,
        features_test=h_test,
        embeddings_train=z_train,
        embeddings_test=z_test,
        validation=HeldOut(h_held, z_held, own.validation.labels),
    )
    probes = [resolve(TrialConfig(**TINY)).parts.evaluations["linear"]]
    found = evaluate(probes, recomputed, generator=generator("cpu", 0, Stream.EVALUATION)).metrics
    logged = {name: value for name, value in result.metrics.items() if name in found}
    assert "linear.features.top1" in logged
    assert found == logged


def test_the_encoder_is_found_by_trial_by_cell_and_as_the_best(tmp_path: Path) -> None:
    store = Store(tmp_path / "study")
    for temperature in (0.1, 0.9):
        for seed in (0, 1):
            trained(store, {"temperature": temperature, "epochs": 1, "evaluations": ["knn"]}, seed)
    results = Results.load(store)
    one = results.frame["trial_id"][2]
    assert same(results.encoder(one), load(store.trial(one)))
    cell = results.best()
    first = results.frame.query(f"temperature == {cell.cell['temperature']} and seed == 0")["trial_id"].item()
    assert same(results.encoder(cell), load(store.trial(first)))
    held_out = validation_of("knn.features.top1")
    best = results.frame.sort_values(held_out, ascending=False, kind="stable")["trial_id"].iloc[0]
    assert same(results.encoder(), load(store.trial(best)))
    with pytest.raises(ConfigError, match=rf"no trial_id '{best[:6]}'; did you mean '{best}'"):
        results.encoder(best[:6])
    with pytest.raises(ConfigError, match=r"by a trial's id, which is a text, or by best\(\); got a Series"):
        results.encoder(results.frame.iloc[0])
    store.trial(best).encoder.unlink()
    with pytest.raises(ConfigError, match=rf"trial {best} has no saved encoder .*save_encoders"):
        results.encoder(best)


def same(a: TrainedEncoder, b: TrainedEncoder) -> bool:
    states = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return not a.training and all(torch.equal(x, y) for x, y in states)


def test_none_is_saved_unless_asked_and_then_the_error_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "study")
    trained(store, {}, kept=Checkpoints())
    with pytest.raises(
        ConfigError, match=r"no trial of study has a saved encoder; .*run it with save_encoders=all in another"
    ):
        Results.load(store).encoder()
    with pytest.raises(ConfigError, match="a table holds no encoders"):
        Results(Results.load(store).frame).encoder()


def test_a_damaged_file_and_code_that_is_not_here_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "study")

    @ENCODERS.register("of-one-test", modality="image")
    def of_one_test() -> torch.nn.Module:
        """A mean."""
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())

    try:
        trained(store, {"encoder": "of-one-test", "evaluations": []})
        (folder,) = store.trials()
        assert load(folder).encoder.feature_dim == 12
        del ENCODERS._entries["of-one-test"]

        @ENCODERS.register("of-one-test", modality="image")
        def edited() -> torch.nn.Module:
            """A mean, and a layer."""
            return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, 12))

        with pytest.raises(
            ConfigError, match=rf"{folder.id} ran with other code of its encoder of-one-test; .*Missing key"
        ):
            load(folder)
    finally:
        del ENCODERS._entries["of-one-test"]
    with pytest.raises(ConfigError, match=r"of-one-test.* import the module that registers it"):
        load(folder)
    content = bytearray(folder.encoder.read_bytes())
    content[len(content) // 2] ^= 255
    folder.encoder.write_bytes(bytes(content))
    with pytest.raises(ConfigError, match=r"encoder\.pt cannot be read"):
        load(folder)


def test_new_images_are_prepared_as_the_trials_were(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    prepare = Preprocessing((32, 32))
    square = (10, 0, 50, 40)
    expected = np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC, box=square))
    for image in (pixels, Image.fromarray(pixels), tmp_path / "a.png", (tmp_path / "a.png").read_bytes()):
        assert np.array_equal(prepare.pixels(image), expected)
    tensor = prepare(pixels)
    assert tensor.shape == (3, 32, 32)
    np.testing.assert_allclose(tensor[0].numpy(), (expected[..., 0] / 255 - 0.5) / 0.25, rtol=1e-5, atol=1e-6)
    small = expected[:16]
    assert np.array_equal(Preprocessing((16, 32)).pixels(small), small), "what has the size stays as it is"


def test_images_come_as_arrays_or_tensors_of_bytes_or_shares_one_or_several() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    prepare = Preprocessing((32, 32))
    one = prepare(Image.fromarray(pixels))
    planes = torch.from_numpy(pixels).permute(2, 0, 1)
    for same in (pixels / 255, (pixels / 255).astype(np.float32), planes, planes / 255, torch.from_numpy(pixels)):
        assert torch.equal(prepare(same), one)
    both = torch.stack([one, one])
    several = [[pixels, planes], np.stack([pixels, pixels]), torch.stack([planes, planes]) / 255]
    assert all(torch.equal(prepare(images), both) for images in several)
    grey = prepare(pixels[..., 0])
    assert all(torch.equal(prepare(same), grey) for same in (pixels[..., :1], planes[:1]))


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (np.full((4, 4, 3), 2.0), r"float64 \[4, 4, 3\] from 2 to 2"),
        (np.full((4, 4, 3), np.nan), "from nan to nan"),
        (np.zeros((4, 4), np.uint16), "uint16"),
        (np.zeros((6, 5, 2), np.uint8), r"uint8 \[6, 5, 2\]"),
        (Path(__file__), "test_encoder.py: none of JPEG"),
    ],
)
def test_what_is_no_image_is_named(image: np.ndarray | Path, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Preprocessing((32, 32))(image)


@pytest.mark.parametrize("inputs", [torch.zeros(3, 8, 8), torch.zeros(2, 3, 9, 9), torch.zeros(2, 8, 8, 3).byte(), "a"])
def test_inputs_that_were_not_preprocessed_are_refused_in_a_line(inputs: torch.Tensor | str) -> None:
    encoder = as_encoder(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()), example((8, 8)))
    about = {"modality": "image", "size": [8, 8], "precision": "float32", "head_trained": True}
    trained = TrainedEncoder(encoder, torch.nn.Identity(), about)
    assert trained(torch.zeros(2, 3, 8, 8)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"float32 \[B, 3, 8, 8\], as encoder.preprocess makes them"):
        trained(inputs)


def test_a_pretrained_encoder_comes_back_without_the_file_that_it_began_from(tmp_path: Path) -> None:
    from torchvision.models import get_model

    torch.save(get_model("shufflenet_v2_x0_5", weights=None).state_dict(), tmp_path / "w.pt")
    store = Store(tmp_path / "study")
    encoder = {"name": "torchvision:shufflenet_v2_x0_5", "weights": str(tmp_path / "w.pt")}
    trained(store, {"encoder": encoder, "epochs": 1, "evaluations": ["knn"]})
    (folder,) = store.trials()
    before = load(folder)
    (tmp_path / "w.pt").unlink()
    images = before.preprocess.tensor(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8))
    assert torch.equal(load(folder)(images), before(images))
    assert any(isinstance(module, Renormalised) for module in before.modules())

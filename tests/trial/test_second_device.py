"""Training and evaluation on a GPU that is not there: what would fail or wait on a real one fails here."""

import dataclasses
import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.augment import AUGMENTATIONS
from models.encoders import ENCODERS
from models.objectives import OBJECTIVES
from study import ConfigError, TrialConfig
from study.data import Dataset, Split
from study.planning.resolve import Resolver
from study.storage.store import TrialFolder
from study.trial import checkpoint
from study.trial.run import run_trial
from study.trial.training import Training
from study.trial.trial import Trial
from tests.conftest import undrawn
from tests.end_to_end.test_ag_news import article_files
from tests.models.methods.test_conformance import VARIANTS
from tests.models.test_every_combination import (
    GO_WITH,
    SMALL,
    TINY,
    WITH_NEGATIVES,
    candidates_for,
    component,
    of_modality,
    pairs,
    strategies,
)
from tests.second_device import second_device

STEPS = {"data": {"name": "shapes", "train_size": 64, "test_size": 40}, "epochs": 2, "temperature": 0.2}
"""Two epochs of two steps: the second meets full queues and checkpointed state."""
RESOLVER = Resolver()
CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def resolved(**config: Any) -> Trial:
    return undrawn(RESOLVER.resolve(TrialConfig(**{**TINY, **STEPS, **config})))


def with_encoder(trial: Trial, encoder: Any) -> Trial:
    return dataclasses.replace(trial, parts=dataclasses.replace(trial.parts, encoder=encoder))


def losses(trial: Trial, data: Dataset, device: str, precision: str) -> list[float]:
    trial = dataclasses.replace(trial, config=trial.config | {"precision": precision})
    training = Training(trial, data, torch.device(device))
    return [training.train_epoch()["train.loss"] for _ in range(2)]


def waits_of_a_step(trial: Trial, data: Dataset, precision: str) -> Counter[str]:
    """Reasons to wait for a GPU in the steps after the first, observed ones included."""
    trial = dataclasses.replace(trial, config=trial.config | {"precision": precision})
    with second_device() as gpu:
        training = Training(trial, data, CUDA)
        training.train_epoch()
        gpu.waits.clear()
        order = training.order()
        draws = [torch.Generator(), torch.Generator().manual_seed(7)]
        gpu.seeds.add(7)
        training.epoch = 1
        for step in range(2):
            loss, _ = training.step(step, order[step], gpu.put(order[step]), *draws, observe=step == 0)
        waits = Counter(gpu.waits)
        assert math.isfinite(loss.item())
    return waits


def draws_from_a_queue(strategy: str) -> bool:
    """Whether the strategy draws: of a queue, which has a column more on a GPU, it draws others then."""
    return strategy == "uniform" or strategy.endswith("_control")


def agrees(trial: Trial, cache: Path) -> None:
    """The same losses as on the CPU, in float32; finite ones in bfloat16 without a wait."""
    data = trial.parts.data.load(cache)
    in_queue = trial.parts.contrast is not None and trial.config["method"]["name"] == "moco"
    draws = in_queue and draws_from_a_queue(trial.config["negatives"]["name"])
    with second_device():
        there = losses(trial, data, "cuda", "float32")
    assert draws or there == pytest.approx(losses(trial, data, "cpu", "float32"), rel=1e-3)
    waits = waits_of_a_step(trial, data, "bfloat16")
    if trial.config["method"]["name"] == "directpred":
        assert waits.pop("_linalg_eigh") == 2  # its definition
    assert not waits


def pooled() -> Iterator[Any]:
    """Methods and strategies: weekly but for all of them in a batch, and in a queue those that draw otherwise there."""
    for name, negatives in itertools.product(WITH_NEGATIVES, strategies()):
        daily = name == "simclr" or (name == "moco" and draws_from_a_queue(negatives["name"]))
        described = " ".join(str(part) for part in (name, *negatives.values()))
        yield pytest.param(name, negatives, id=described, marks=[] if daily else pytest.mark.slow)


@pytest.mark.parametrize(("name", "negatives"), list(pooled()))
def test_every_strategy_in_every_pool(name: str, negatives: dict[str, Any], cache: Path) -> None:
    k = candidates_for(negatives)
    size = {"queue_size": 1100} if k > 24 and name == "moco" else SMALL.get(name, {})
    with suppress(ConfigError):  # "attract" adds to some objectives only, and few examples are no 1,000 candidates
        agrees(resolved(method=component(name, size), negatives=negatives, k=k), cache)


@pytest.mark.parametrize(("name", "params"), VARIANTS, ids=str)
def test_every_method(name: str, params: dict[str, object], cache: Path) -> None:
    agrees(resolved(method=component(name, SMALL.get(name, {}), params)), cache)


@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_every_objective(objective: str, cache: Path) -> None:
    agrees(resolved(objective=objective), cache)


@pytest.mark.parametrize(("encoder", "augmentation"), of_modality("image"))
def test_every_encoder_and_augmentation_of_images(encoder: str, augmentation: str, cache: Path) -> None:
    config = {"encoder": encoder, "augmentation": augmentation, **GO_WITH.get(augmentation, {})}
    trial = resolved(batch_size=4, **config)
    data = trial.parts.data.load(cache)
    assert data.train.labels is not None
    small = Split(np.ascontiguousarray(data.train.inputs[:8, ::2, ::2]), data.train.labels[:8])
    assert not waits_of_a_step(trial, dataclasses.replace(data, train=small), "bfloat16")


@pytest.mark.parametrize(("encoder", "augmentation"), of_modality("text"))
def test_every_encoder_and_augmentation_of_texts(encoder: str, augmentation: str, cache: Path, tmp_path: Path) -> None:
    data = component("ag_news", {"root": str(article_files(tmp_path))})
    agrees(resolved(encoder=encoder, augmentation=augmentation, data=data, batch_size=64), cache)


def test_a_whole_trial_with_every_evaluation_has_the_numbers_of_the_cpu(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.trial.probes.quick.SHARE", 1.0)  # there are few examples
    beside = {"transfer": [{**STEPS["data"], "drawing_seed": 1}], "accuracy_every": 1}
    trial = resolved(evaluations=None, evaluation_views=2, negatives_every=1, k=24, **beside)
    trial = dataclasses.replace(trial, config=trial.config | {"precision": "float32"})
    with second_device():
        there = run_trial(trial, TrialFolder(tmp_path / "there"), cache=cache, device="cuda", threads=1)
    here = run_trial(trial, TrialFolder(tmp_path / "here"), cache=cache, threads=1)
    assert there.status == here.status == "finished", there
    assert there.environment["gpu"] == "none"
    compared = {
        n: v for n, v in here.metrics.items() if n.split(".")[0] not in ("time", "memory") and "_per_s" not in n
    }
    assert there.metrics.keys() == here.metrics.keys()
    different = {n for n, v in compared.items() if there.metrics[n] != pytest.approx(v, rel=1e-3, abs=1e-3)}
    assert not different


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_whole_trial_in_half_precision_finishes_and_resumes(precision: str, cache: Path, tmp_path: Path) -> None:
    trial = resolved(evaluations=["knn", "bounds"], evaluation_views=2, k=24, precision=precision)
    with second_device():
        whole = run_trial(trial, TrialFolder(tmp_path / "whole"), cache=cache, device="cuda", threads=1)
        training = Training(trial, trial.parts.data.load(cache), CUDA)
        training.train_epoch()
        checkpoint.save(training, TrialFolder(tmp_path / "parts"), keep=1)
        resumed = Training(trial, trial.parts.data.load(cache), CUDA)
        checkpoint.restore(resumed, TrialFolder(tmp_path / "parts"))
        assert resumed.scaler.state_dict() == training.scaler.state_dict()
        assert bool(resumed.scaler.state_dict()) is (precision == "float16")
        loss = resumed.train_epoch()["train.loss"]
    assert whole.status == "finished", whole
    assert whole.environment["precision"] == precision
    assert loss == whole.metrics["train.loss"]


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float32")]
)
def test_auto_is_the_format_that_the_gpu_multiplies(
    capability: tuple[int, int], expected: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUDY_BFLOAT16", raising=False)
    with second_device(capability=capability):
        assert Training(resolved(), resolved().parts.data.load(cache), CUDA).precision == expected


def test_a_step_that_overflows_float16_is_left_out_and_the_scale_halved(cache: Path) -> None:
    trial = resolved(precision="float16")
    with second_device():
        training = Training(trial, trial.parts.data.load(cache), CUDA)
        training.scaler = torch.amp.GradScaler("cuda", init_scale=2.0**40)
        before = [p.detach().clone() for p in training.learner.parameters()]
        training.train_epoch()
        assert training.scaler.get_scale() < 2.0**40
        assert all(torch.equal(a, b) for a, b in zip(before, training.learner.parameters(), strict=True))


@pytest.mark.parametrize("resident", [True, False])
def test_an_image_crosses_once_a_step_or_not_at_all(
    resident: bool, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = resolved(method={"name": "simclr", "further_views": 1}, objective="debiased")
    monkeypatch.setattr("study.trial.views.RESIDENT_SHARE", 1 / 16 if resident else 0.0)
    sent: list[torch.Size] = []
    with second_device():
        training = Training(trial, trial.parts.data.load(cache), CUDA)
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: (sent.append(x.shape), x)[1])
        training.train_epoch()
    images = [shape for shape in sent if len(shape) == 4]
    assert len(images) == (0 if resident else 2), "two steps of three views"


def test_losses_are_looked_at_every_so_many_steps(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.trial.training.LOOK_EVERY", 4)
    monkeypatch.setattr("study.trial.training.OBSERVED_STEPS", 1)
    trial = resolved(data={"name": "shapes", "train_size": 64, "test_size": 40}, batch_size=4)  # 16 steps
    with second_device() as gpu:
        training = Training(trial, trial.parts.data.load(cache), CUDA)
        looks: list[int] = []
        usual = training._look
        monkeypatch.setattr(training, "_look", lambda unseen, n: (looks.append(len(unseen)), usual(unseen, n))[1])
        training._pass()
        assert looks == [4, 4, 4, 4]
        assert gpu.waits == {"_to_copy": 4}


class TwoDevices(nn.Module):
    """A seeded mistake: a constant that stays on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.constant = torch.ones(3, 1, 1)
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.feature_dim, self.modality = 3, "image"
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(self.mistaken(x)) * self.weight

    def mistaken(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.constant


class ToNumpy(TwoDevices):
    def mistaken(self, x: torch.Tensor) -> torch.Tensor:
        return x * float(x.detach().numpy().mean())


class Clash(TwoDevices):
    """Types that autocast makes different: lerp takes one."""

    def mistaken(self, x: torch.Tensor) -> torch.Tensor:
        return torch.lerp(torch.einsum("bchw,cd->bdhw", x, torch.eye(3, device=x.device)), x, 0.5 * x)


class Waits(TwoDevices):
    def mistaken(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.mean() > 0 else x


class OfTheCpu(TwoDevices):
    def mistaken(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand(x.shape, generator=torch.Generator(), device=x.device)


class NoMistake(TwoDevices):
    def mistaken(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


@pytest.mark.parametrize(
    ("encoder", "message"),
    [(TwoDevices, "same device"), (ToNumpy, "numpy"), (Clash, "dtype"), (OfTheCpu, "generator")],
)
def test_a_seeded_mistake_makes_it_fail(encoder: type[nn.Module], message: str, cache: Path) -> None:
    trial = with_encoder(resolved(), functools.partial(encoder))
    with pytest.raises((RuntimeError, TypeError), match=message):
        waits_of_a_step(trial, trial.parts.data.load(cache), "bfloat16")


def test_a_seeded_wait_is_counted(cache: Path) -> None:
    trial = resolved()
    data = trial.parts.data.load(cache)
    none, each_step = (with_encoder(trial, functools.partial(net)) for net in (NoMistake, Waits))
    assert not waits_of_a_step(none, data, "bfloat16")
    assert waits_of_a_step(each_step, data, "bfloat16")["_local_scalar_dense"] == 2


def test_every_augmentation_of_images_is_met() -> None:
    assert {a for _, a in pairs("image")} >= {
        n for n in AUGMENTATIONS.names() if AUGMENTATIONS.trait(n, "modality") == "image"
    }
    assert {e for e, _ in pairs("image") + pairs("text")} == set(ENCODERS.names())

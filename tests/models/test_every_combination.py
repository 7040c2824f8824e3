"""Every combination that a config allows takes training steps in float32 and in bfloat16, and both make the same loss.

Whatever a registry holds is met here by its name; what a config refuses together is left out.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from models.augment import AUGMENTATIONS
from models.encoders import ENCODERS
from models.heads import HEADS
from models.methods import METHODS
from models.negatives import STRATEGIES
from models.objectives import OBJECTIVES
from models.optim import OPTIMIZERS
from models.temperature import TEMPERATURES
from study import ConfigError, TrialConfig
from study.data import Dataset, Split
from study.planning.resolve import Resolver
from study.trial.training import Training
from study.trial.trial import Trial
from tests.end_to_end.test_ag_news import article_files
from tests.models.methods.test_conformance import VARIANTS
from tests.models.negatives.test_conformance import build as strategy_of

TINY: dict[str, Any] = {
    "data": {"name": "shapes", "train_size": 32, "test_size": 20},
    "encoder": {"name": "conv-small", "width": 4},
    "head": {"name": "mlp", "dim": 16, "batch_norm": "none"},  # it divides by a spread as small as what is rounded
    "augmentation": "crop-flip",
    "evaluations": [],
    "batch_size": 32,
    "epochs": 1,
}
"""One step."""
STEPS = {"data": {"name": "shapes", "train_size": 64, "test_size": 20}}
"""Two: the second meets a queue or bank of keys with labels."""
SMALL = {"moco": {"queue_size": 64}, "swav": {"prototypes": 6, "freeze_steps": 0}}
FITTED = {
    "mixing": {"n": 8, "s": 6, "s_prime": 3, "warmup_epochs": 0},  # or it would not mix in the only epoch
    "ring": {"outer": 0.5, "inner": 0.25},  # of 24 candidates
}
MET_LATER = ("only_same_class", "semantic")
"""They keep nothing of a queue's or bank's first rows, which have no class."""
WIDE = {"triplet": {"margin": 4.0}}
"""All violate it: of a queue's random first rows none is as near as the positive, and there would be no gradient."""
NEEDED = {"cosine": {"start": 0.1, "end": 0.5}}
"""Parameters without a default."""
GO_WITH = {"multi-crop": {"augmentation": {"name": "multi-crop", "small_size": 12}, "objective": "hard"}}
"""Settings that an augmentation needs besides: images have 16 pixels here, and no map may become a single one."""
ROUNDED = 0.02
"""Greatest distance of bfloat16's loss to float32's, a share: cosines of networks whose every product is rounded to 8
bits (2⁻⁹) differ by about 0.004 after four layers, over t = 0.5, of losses of about 3."""

RESOLVER = Resolver()
DATA: dict[str, Dataset] = {}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("cache")
    DATA.clear()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Of steps this small, a second thread is a burden."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def bfloat16_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_BFLOAT16", "1")


def loss_of(trial: Trial, precision: str, data: Dataset) -> float:
    """The mean loss of the epoch's steps, after which the encoder has gradients."""
    trial = dataclasses.replace(trial, config=trial.config | {"precision": precision})
    training = Training(trial, data, torch.device("cpu"))
    assert training.precision == precision
    loss = training.train_epoch()["train.loss"]  # raises where it is not finite
    gradients = [p.grad for p in training.learner.encoder.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in gradients)
    assert any(g.ne(0).any() for g in gradients)
    return loss


def data_of(trial: Trial, cache: Path) -> Dataset:
    """Loaded once. Of images every other pixel, for the deep encoders' sake, and no fewer: of a 3×3 convolution over a
    single pixel oneDNN (torch 2.15, AMX) leaves part of the gradient in bfloat16 unwritten."""
    key = str(trial.config["data"])
    if key not in DATA:
        data = trial.parts.data.load(cache)
        inputs = data.train.take(slice(None))
        train = Split(inputs[:, ::2, ::2] if inputs.ndim == 4 else inputs, data.train.labels)
        DATA[key] = dataclasses.replace(data, train=train)
    return DATA[key]


def trains(cache: Path, *, examples: int | None = None, rounded: float = ROUNDED, **config: Any) -> None:
    """It takes its steps in both, of the first examples; ConfigError where it is not allowed."""
    trial = RESOLVER.resolve(TrialConfig(**{**TINY, **config}))
    data = data_of(trial, cache)
    if examples is not None:
        labels = data.train.labels
        cut = Split(data.train.inputs[:examples], None if labels is None else labels[:examples])
        data = dataclasses.replace(data, train=cut)
    wide, narrow = (loss_of(trial, precision, data) for precision in ("float32", "bfloat16"))
    assert narrow == pytest.approx(wide, rel=rounded, abs=ROUNDED), config  # a decoupled loss may be about 0
    assert narrow != wide, "the products are rounded"


def component(name: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    return dict(itertools.chain([("name", name)], *(p.items() for p in parameters)))


def strategy(name: str) -> dict[str, Any]:
    """As its conformance tests build it."""
    given = dataclasses.asdict(strategy_of(name)) if isinstance(STRATEGIES[name], type) else {}
    return component(name, given, FITTED.get(name, {}))


def candidates_for(negatives: dict[str, Any]) -> int:
    """K: 24, or as many as it takes to remove the hardest 0.1 %."""
    return 1000 if "0.1pct" in negatives["name"] else 24


def strategies() -> list[dict[str, Any]]:
    """All of them, and both modes of the one that has two."""
    attract = component("false_negative_cancellation", {"mode": "attract", "top_k": 10})
    return [*map(strategy, STRATEGIES.names()), attract]


every_strategy = pytest.mark.parametrize(
    "negatives",
    strategies(),
    ids=lambda parts: " ".join(str(part) for part in parts.values()),
)
WITH_NEGATIVES = [name for name in METHODS.names() if METHODS.trait(name, "has_negatives")]


def losses() -> Iterator[Any]:
    """Methods with objectives: daily all of them in a batch and in a queue, of other pools the method's own."""
    for name in WITH_NEGATIVES:
        daily = name in ("simclr", "moco")
        yield pytest.param(name, OBJECTIVES.names(), id=name, marks=[] if daily else pytest.mark.slow)
        if not daily:
            yield pytest.param(name, [METHODS[name].default_objective], id=f"{name}, its own")


@every_strategy
@pytest.mark.parametrize(("name", "objectives"), list(losses()))
def test_every_method_strategy_and_objective(
    name: str, objectives: list[str], negatives: dict[str, Any], cache: Path
) -> None:
    k, of_pool = candidates_for(negatives), SMALL.get(name, {})
    if k > 24:
        if name != "moco":
            pytest.skip(f"of {TINY['batch_size']} examples there are no {k} candidates")
        of_pool = {"queue_size": 1100}
    more = STEPS if negatives["name"] in MET_LATER else {}
    allowed = []
    for objective in objectives:
        with suppress(ConfigError):
            loss = component(objective, WIDE.get(objective, {}))
            trains(cache, method=component(name, of_pool), negatives=negatives, objective=loss, k=k, **more)
            allowed.append(objective)
    if negatives.get("mode") != "attract":
        assert METHODS[name].default_objective in allowed
        assert name != "simclr" or allowed == list(OBJECTIVES.names())


@every_strategy
def test_every_strategy_on_a_queue_of_labelled_keys(negatives: dict[str, Any], cache: Path) -> None:
    k = candidates_for(negatives)
    trains(cache, method=component("moco", {"queue_size": 1100 if k > 24 else 64}), negatives=negatives, k=k, **STEPS)


@pytest.mark.parametrize(("name", "params"), VARIANTS, ids=str)
def test_every_method(name: str, params: dict[str, object], cache: Path) -> None:
    published = {"name": "mlp", "dim": 16}
    trains(cache, method=component(name, SMALL.get(name, {}), params), head=published, **STEPS)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (field, name)
        for field, registry in (("head", HEADS), ("temperature", TEMPERATURES), ("optimizer", OPTIMIZERS))
        for name in registry.names()
    ],
)
def test_every_head_temperature_and_optimizer(field: str, name: str, cache: Path) -> None:
    trains(cache, **{field: component(name, NEEDED.get(name, {}))})


def pairs(modality: str) -> list[tuple[str, str]]:
    """Encoders with augmentations that take the modality."""

    def fits(registry: Any) -> list[str]:
        return [name for name in registry.names() if registry.trait(name, "modality") in (modality, "any")]

    return list(itertools.product(fits(ENCODERS), fits(AUGMENTATIONS)))


def of_modality(modality: str) -> list[Any]:
    """The pairs as parameters; the deepest network is of the weekly tests."""
    weekly = pytest.mark.slow
    return [pytest.param(*pair, marks=weekly) if pair[0] == "resnet50" else pair for pair in pairs(modality)]


@pytest.mark.parametrize(("encoder", "augmentation"), of_modality("image"))
def test_every_encoder_and_augmentation_of_images(encoder: str, augmentation: str, cache: Path) -> None:
    deep = math.sqrt(50 / 4)  # errors of as many layers add up like independent ones
    config = {"encoder": encoder, "augmentation": augmentation, **GO_WITH.get(augmentation, {})}
    trains(cache, batch_size=8, examples=8, rounded=deep * ROUNDED, **config)


@pytest.mark.parametrize(("encoder", "augmentation"), of_modality("text"))
def test_every_encoder_and_augmentation_of_texts(encoder: str, augmentation: str, cache: Path, tmp_path: Path) -> None:
    data = component("ag_news", {"root": str(article_files(tmp_path))})
    trains(cache, encoder=encoder, augmentation=augmentation, data=data)

"""A config is checked as a whole, and each message names the place, the rule, the value and what to type."""

import json
import pickle
import re
from dataclasses import fields, replace

import numpy as np
import pytest

from models.negatives import STRATEGIES, Strategy
from study import ConfigError, Study, TrialConfig, grid
from study.config import with_value
from study.data.shapes import Shapes
from study.planning.resolve import resolve
from study.semantics import class_semantics

ATTRACT = {"name": "false_negative_cancellation", "mode": "attract"}
SMALL = {"data": {"name": "shapes", "train_size": 400, "test_size": 100}, "batch_size": 64}


def problems(**values: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(TrialConfig(**{**SMALL, **values}))
    return caught.value.problems


def test_every_problem_is_told_at_once_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        TrialConfig(tempreture=1, k=0, temperature=0)
    assert len(caught.value.problems) == 3
    assert "tempreture: no such key; did you mean 'temperature'?" in str(caught.value)
    assert "k: input should be greater than or equal to 1, or left out, got 0" in str(caught.value)
    assert "temperature: input should be greater than 0, such as 0.5, got 0" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoder": "conv-smal"}, "encoder: unknown encoder 'conv-smal'; did you mean 'conv-small'?"),
        ({"encoder": {"name": "conv-small", "widht": 8}}, "encoder.widht: no such key; did you mean 'width'?"),
        ({"negatives": {"name": "difficulty", "lo": 0.5, "hi": 0.2}}, "negatives: "),
        ({"negatives": {"name": "uniform"}}, 'write {"name": "uniform", "fraction": 0.05}'),
        ({"negatives": {"hi": 0.1}}, "negatives: a component is a name or"),
        ({"k": 127}, "k: 127 candidates are more than the 126 rows of simclr's pool (batch_size 64"),
        ({"batch_size": 500}, "batch_size: 500 is more than the 400 training examples"),
        ({"data": {"name": "cifar10", "root": "nowhere"}}, "nowhere"),
        ({"data": {"name": "shapes", "train_size": 10}}, "train_size"),
        (
            {"encoder": {"name": "bag-of-embeddings"}},
            "encoder: bag-of-embeddings is for texts, but shapes holds images",
        ),
        ({"temperature": -0.1}, "temperature: input should be greater than 0, such as 0.5, got -0.1"),
        ({"optimizer": {"name": "sgd", "warmup_epochs": 101}}, "optimizer: "),
        (
            {"method": {"name": "moco", "queue_size": 128}, "objective": "nt_xent"},
            "objective: nt_xent takes both direction(s)",
        ),
        (
            {"method": {"name": "memory_bank", "loss": "nce"}, "objective": "hard"},
            "objective: memory_bank has a loss of its own, nce, so hard changes nothing",
        ),
        (
            {"method": {"name": "simclr", "further_views": 1}},
            "method: simclr here has 2 positives an anchor, and nt_xent",
        ),
        ({"method": {"name": "simclr", "further_views": -1}}, "further_views must not be negative, got -1"),
        ({"negatives": ATTRACT, "objective": "hard"}, "adds positives to an InfoNCE loss, and hard is none"),
        ({"negatives": ATTRACT, "method": {"name": "memory_bank", "loss": "nce"}}, "InfoNCE loss, and nce is none"),
        ({"negatives": ATTRACT, "k": 10}, "top_k 10 takes all K = 10 candidates for false negatives"),
        ({"negatives": {"name": "uniform", "count": 200}}, "uniform: count 200 is more than the K = 126 candidates"),
        ({"negatives": "mixing", "epochs": 10}, "mixing: warmup_epochs 10 leaves none of the 10 epochs"),
        ({"negatives": {"name": "ring", "anneal_epochs": 101}}, "ring: anneal_epochs 101 is longer than the training"),
        ({"method": "swav", "epochs": 2}, "swav: freeze_steps 313 is the whole training of 12 steps"),
        ({"negatives": {"name": "semantic", "lo": 0.99, "hi": 0.999}}, "the band selects nothing: wup between"),
        ({"negatives": {"name": "semantic", "measure": "wop"}}, "did you mean 'wup'"),
        (
            {"objective": {"name": "hard", "beta": float("nan")}},
            "objective.beta: input should be a finite number, such as 1.0, got nan",
        ),
        (
            {"optimizer": {"name": "sgd", "learning_rate": float("inf")}},
            "optimizer.learning_rate: input should be a finite number, such as 0.1, got inf",
        ),
        ({"method": "byol", "negatives": "hardest"}, "negatives: byol has no negatives"),
        ({"temperature": True}, "temperature: input should be a valid number, such as 0.5, got True"),
        ({"temperature": "cosine"}, "temperature.start: has no default, so it needs a value (takes: start, end"),
        ({"batch_size": 1}, "batch_size: input should be greater than or equal to 2, such as 256, got 1"),
        ({"evaluation_views": 2.5}, "evaluation_views: input should be a valid integer, such as 4, got 2.5"),
        (
            {"encoder": {"name": "conv-small", "width": True}},
            "encoder.width: input should be a number, such as 32, got True",
        ),
        ({"encoder": {"name": "conv-small", "width": 0}}, "encoder: width must be at least 1, got 0"),
        ({"encoder": 3}, 'encoder: a component is a name or {"name": …, parameter: value}, got 3'),
        ({"evaluations": "linear"}, "evaluations: input should be a list, such as [a, b], got 'linear'"),
        ({"evaluations": ["linear", "linear"]}, "evaluations: linear is named twice; drop one"),
        ({"EPOCHS": 3}, "EPOCHS: no such key; did you mean 'epochs'?"),
        (
            {"method": {"name": "moco", "queue_size": 32}},
            "queue_size 32 is smaller than batch_size 64; raise queue_size",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_rule_and_the_value(values: dict, message: str) -> None:
    assert any(message in problem for problem in problems(**values)), problems(**values)


def test_a_mistake_in_a_users_component_is_a_problem_of_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(Strategy):
        """No annotation."""

        def __init__(self, *, limit=0.9) -> None: ...

    class Abstract(Strategy):
        """No select."""

    class Stranger:
        """No strategy."""

    said = {
        Bare: "negatives: mine: its parameter limit has no annotation, such as limit: float",
        Abstract: "negatives: mine cannot be made (TypeError: Can't instantiate abstract class Abstract",
        Stranger: "negatives: Stranger is no strategy; subclass models.negatives.Strategy",
    }
    for entry, message in said.items():
        monkeypatch.setitem(STRATEGIES._entries, "mine", entry)
        monkeypatch.setitem(STRATEGIES._traits, "mine", {})
        assert message in problems(negatives="mine")[0]


def test_data_that_cannot_be_read_are_looked_at_once_for_all_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def check(self: Shapes) -> None:
        looks.append(1)
        raise ValueError(f"unreadable for the {len(looks)}. time")

    monkeypatch.setattr(Shapes, "check", check)
    with pytest.raises(ConfigError, match=r"data: unreadable for the 1\. time$"):
        Study("s", base=TrialConfig(**SMALL), space={"k": grid(8, 16, 32)}).trials()


def test_several_components_are_wrong_at_once() -> None:
    assert len(problems(encoder="x", method="y", negatives="z")) >= 2


def test_defaults_are_filled_in_before_the_id_is_made() -> None:
    plain = resolve(TrialConfig(**SMALL))
    said = resolve(TrialConfig(**SMALL, k=126, objective="nt_xent", negatives="all", temperature={"name": "constant"}))
    assert plain.config["k"] == 126
    assert plain.id == said.id
    assert plain.id != resolve(TrialConfig(**SMALL, temperature=0.2)).id
    assert plain.under(1).id == resolve(TrialConfig(**SMALL, seed=1)).id != plain.id


def test_where_the_files_lie_is_not_part_of_the_id(tmp_path) -> None:
    from study.planning.resolve import component

    here, there = (component("data", {"name": "cifar10", "root": str(tmp_path / name)}) for name in "ab")
    assert here.plain != there.plain
    assert here.identity == there.identity


@pytest.mark.parametrize("uses", [{"negatives": "semantic"}, {"negatives": "only_same_class"}, {"method": "supcon"}])
def test_what_uses_labels_is_refused_where_the_data_has_none(uses: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled = Shapes.shape
    monkeypatch.setattr(Shapes, "shape", lambda self: replace(labelled(self), labelled=False))
    ((field, name),) = uses.items()
    assert problems(**uses) == [f"{field}: {name} uses labels, but the data has none"]
    assert not resolve(TrialConfig(**SMALL)).uses_labels


def test_a_band_that_leaves_some_classes_nothing_is_announced_with_their_names() -> None:
    shape = resolve(TrialConfig(**SMALL)).parts.data.shape()
    similarity = class_semantics(shape.class_names, dataset="shapes", measures=["path"]).similarities["path"]
    between = similarity - np.eye(len(similarity))
    without = {name for name, row in zip(shape.class_names, between, strict=True) if row.max() < 0.3}
    band = {"name": "semantic", "measure": "path", "lo": 0.3, "hi": 0.999}
    (note,) = resolve(TrialConfig(**SMALL, negatives=band)).notes
    named = note.split("(of ")[1].split(")")[0].split(", ")
    assert set(named) == {f"{name} 100%" for name in without}
    assert resolve(TrialConfig(**SMALL, negatives={**band, "lo": 0.0})).notes == ()
    assert note in str(Study("s", base=TrialConfig(**SMALL, negatives=band)).plan(storage="none"))


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_strategy_is_part_of_a_trial(name: str) -> None:
    params = {"uniform": {"fraction": 0.5}, "mixing": {"warmup_epochs": 1}}.get(name, {})
    large = {"method": {"name": "moco", "queue_size": 1100}}  # 0.1 % of it is a candidate
    trial = resolve(TrialConfig(**SMALL, **large, negatives={"name": name, **params}))
    assert trial.parts.contrast is not None
    assert isinstance(trial.parts.contrast.strategy, Strategy)
    assert trial.config["negatives"]["name"] == name


def test_a_resolved_trial_travels_by_pickle() -> None:
    trial = resolve(TrialConfig(**SMALL))
    assert pickle.loads(pickle.dumps(trial)).id == trial.id


def test_a_value_is_set_by_dotted_path_also_in_a_component_given_by_name() -> None:
    plain = TrialConfig(**SMALL).plain()
    assert with_value(plain, "encoder.width", 8)["encoder"] == {"name": "conv-small", "width": 8}
    assert with_value(plain, "data.train_size", 50)["data"]["test_size"] == 100
    with pytest.raises(ConfigError, match="epochs is 100 and has no parts"):
        with_value(plain, "epochs.x", 1)


def test_what_a_refused_number_is_told_to_be_is_taken() -> None:
    numbers = [field for field in fields(TrialConfig) if type(field.default) in (int, float)]
    assert len(numbers) > 4
    for field in numbers:
        with pytest.raises(ConfigError, match=f"^{field.name}: .*, such as [0-9.]+, got -1$") as caught:
            TrialConfig(**{field.name: -1})
        advised = re.search("such as ([0-9.]+),", str(caught.value))[1]
        assert TrialConfig(**{field.name: json.loads(advised)}) == TrialConfig()

"""A config is checked as a whole, and what is said of it names the place, the rule, the value and what to type."""

import pickle

import pytest

from models.negatives import STRATEGIES, Strategy
from study import ConfigError, TrialConfig
from study.config import with_value
from study.resolve import resolve

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
    assert "k: input should be greater than or equal to 1, got 0" in str(caught.value)
    assert "temperature: input should be greater than 0, got 0" in str(caught.value)


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
        ({"temperature": -0.1}, "temperature: input should be greater than 0, got -0.1"),
        ({"optimizer": {"name": "sgd", "warmup_epochs": 101}}, "optimizer: "),
        (
            {"method": {"name": "moco", "queue_size": 128}, "objective": "nt_xent"},
            "objective: nt_xent takes both direction(s)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_rule_and_the_value(values: dict, message: str) -> None:
    assert any(message in problem for problem in problems(**values)), problems(**values)


def test_several_components_are_wrong_at_once() -> None:
    assert len(problems(encoder="x", method="y", negatives="z")) >= 2


def test_defaults_are_filled_in_before_the_id_is_made() -> None:
    plain = resolve(TrialConfig(**SMALL))
    said = resolve(TrialConfig(**SMALL, k=126, objective="nt_xent", negatives="all", temperature={"name": "constant"}))
    assert plain.config["k"] == 126
    assert plain.id == said.id
    assert plain.id != resolve(TrialConfig(**SMALL, temperature=0.2)).id
    assert plain.with_seed(1).id == resolve(TrialConfig(**SMALL, seed=1)).id != plain.id


def test_where_the_files_lie_is_not_part_of_the_id(tmp_path) -> None:
    from study.resolve import component

    here, there = (component("data", {"name": "cifar10", "root": str(tmp_path / name)}) for name in "ab")
    assert here.plain != there.plain
    assert here.identity == there.identity


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_strategy_is_part_of_a_trial(name: str) -> None:
    params = {"uniform": {"fraction": 0.5}, "mixing": {"warmup_epochs": 1}}.get(name, {})
    trial = resolve(TrialConfig(**SMALL, negatives={"name": name, **params}))
    assert trial.contrast is not None
    assert isinstance(trial.contrast.strategy, Strategy)
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

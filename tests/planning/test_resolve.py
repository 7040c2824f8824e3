"""What of a config is a trial's identity."""

from typing import Any

import pytest

from study import ConfigError, TrialConfig
from study.planning.resolve import resolve

SMALL: dict[str, Any] = {
    "data": {"name": "shapes", "train_size": 400, "test_size": 100},
    "batch_size": 64,
    "evaluations": [],
}


def moco(**params: Any) -> TrialConfig:
    return TrialConfig(**SMALL, method={"name": "moco", "queue_size": 128, **params})


def test_a_parameter_that_was_added_is_part_of_the_identity_only_where_it_is_set() -> None:
    plain = resolve(moco())
    assert "batch_norm" not in plain.identity["method"], "its id is from before there was one"
    assert plain.config["method"]["batch_norm"] == "whole"
    assert resolve(moco(batch_norm="whole")).id == plain.id
    shuffled = resolve(moco(batch_norm="shuffle"))
    assert shuffled.identity["method"]["batch_norm"] == "shuffle"
    assert len({plain.id, shuffled.id, resolve(moco(batch_norm="split")).id}) == 3


def test_a_place_is_no_part_of_the_identity_and_other_parameters_always_are() -> None:
    assert resolve(moco(momentum=0.999)).identity["method"] == {
        "name": "moco", "queue_size": 128, "momentum": 0.999, "symmetric": False,
    }  # fmt: skip


def test_k_counted_in_instances_is_the_batch_less_one_by_default_and_a_band_is_of_all_their_rows() -> None:
    def simclr(**config: Any) -> TrialConfig:
        return TrialConfig(**{**SMALL, "method": {"name": "simclr", "k_counts": "instances"}, **config})

    assert resolve(simclr()).config["k"] == 63
    assert resolve(TrialConfig(**SMALL)).config["k"] == 126
    assert resolve(simclr(objective="info_nce")).config["k"] == 63
    with pytest.raises(ConfigError, match="k: 64 candidates are more than the 63 rows"):
        resolve(simclr(k=64))
    resolve(simclr(k=10, negatives="hardest_5pct"))  # one of 20 rows
    with pytest.raises(ConfigError, match="keeps none of the K = 18 candidates"):
        resolve(simclr(k=9, negatives="hardest_5pct"))

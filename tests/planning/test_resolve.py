"""The part of a config that is a trial's identity."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.methods import METHODS
from study import ConfigError, TrialConfig
from study.planning.resolve import resolve
from tests.end_to_end.test_ag_news import article_files

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


PUBLISHED = {
    **dict.fromkeys(["simclr", "simclr_same_class", "simclr_easy_positive", "simsiam"], "all"),
    **dict.fromkeys(["byol", "directpred", "swav"], "hidden"),
    **dict.fromkeys(["moco", "memory_bank", "imix", "unmix", "supcon", "supervised"], "none"),
}


@pytest.mark.parametrize("method", METHODS.names())
def test_a_head_is_normalised_as_the_methods_authors_have_it_unless_the_config_says(method: str) -> None:
    params = {"swav": {"freeze_steps": 1}, "moco": {"queue_size": 128}}.get(method, {})
    made = resolve(TrialConfig(**SMALL, method={"name": method, **params}))
    assert made.config["head"] == {"name": "mlp", "hidden": 0, "dim": 128, "batch_norm": PUBLISHED[method]}
    norms = sum(isinstance(layer, torch.nn.BatchNorm1d) for layer in made.parts.head(8))
    assert norms == {"none": 0, "hidden": 1, "all": 2}[PUBLISHED[method]]
    told = resolve(
        TrialConfig(**SMALL, method={"name": method, **params}, head={"name": "mlp", "batch_norm": "hidden"})
    )
    assert told.config["head"]["batch_norm"] == "hidden"
    assert (told.id == made.id) is (PUBLISHED[method] == "hidden")


def test_a_head_without_batch_norm_has_the_id_of_before_there_was_any() -> None:
    plain = resolve(TrialConfig(**SMALL, head={"name": "mlp", "batch_norm": "none"}))
    assert plain.identity["head"] == {"name": "mlp", "hidden": 0, "dim": 128}
    for head in ("linear", "identity"):
        assert "batch_norm" not in resolve(TrialConfig(**SMALL, head=head)).config["head"]


def test_a_head_that_is_wrong_is_told_as_any_component_is() -> None:
    for head, message in (({"dim": 3}, "head: a component is"), ("mpl", "did you mean 'mlp'"), ({"name": 3}, "head: ")):
        with pytest.raises(ConfigError, match=message):
            resolve(TrialConfig(**SMALL, head=head))


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


def test_a_method_that_mixes_images_is_refused_for_texts(tmp_path: Path) -> None:
    news = {"name": "ag_news", "root": str(article_files(tmp_path))}
    with pytest.raises(ConfigError, match="method: imix is for images, but ag_news holds texts; choose one of byol, "):
        resolve(TrialConfig(data=news, encoder="bag-of-embeddings", augmentation="erase-replace", method="imix"))

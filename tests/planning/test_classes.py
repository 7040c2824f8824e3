"""The share of anchors that a strategy by class leaves without negatives, before anything runs."""

from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pytest
import torch

from models.pools import offer_from_batch
from study import ConfigError, TrialConfig
from study.config import split_component
from study.planning.classes import Offer
from study.planning.resolve import resolve
from study.recipes import load, names

SMALL: dict[str, Any] = {
    "data": {"name": "shapes", "train_size": 2000, "test_size": 100},
    "batch_size": 128,
    "evaluations": [],
}


def enumerated(met: np.ndarray, counts: np.ndarray, offer: Offer, anchor: int) -> float:
    """Over every pool of instances and every K rows of it."""
    labels = np.repeat(np.arange(len(counts)), counts - np.eye(len(counts), dtype=int)[anchor])
    none = draws = 0
    for pool in combinations(labels, offer.instances):
        for rows in combinations([label for label in pool for _ in range(offer.copies)], offer.k):
            none += not any(met[anchor, label] for label in rows)
            draws += 1
    return none / draws


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_chance_to_be_offered_nothing_is_that_of_an_enumeration(copies: int, k: int) -> None:
    counts = np.array([3, 1, 4])
    offer = Offer(k, instances=3, copies=copies)
    for met in (np.eye(3, dtype=bool), ~np.eye(3, dtype=bool), np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]], dtype=bool)):
        expected = [enumerated(met, counts, offer, anchor) for anchor in range(3)]
        assert offer.empty(met, counts) == pytest.approx(expected, rel=1e-12)


def test_of_a_whole_bank_it_is_one_hypergeometric_probability() -> None:
    counts = np.array([50, 450])
    empty = Offer(20, instances=499).empty(np.eye(2, dtype=bool), counts)
    assert empty == pytest.approx([comb(450, 20) / comb(499, 20), comb(50, 20) / comb(499, 20)], rel=1e-9)


def test_batches_are_as_empty_as_estimated() -> None:
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(2000) % 20
    found = []
    for _ in range(40):
        drawn = labels[torch.randperm(2000, generator=g)[:64]].repeat(2)
        own = torch.arange(64).repeat(2)[:, None] == torch.arange(64).repeat(2)
        offered = offer_from_batch(own, 16, generator=g)
        same = (drawn[:, None] == drawn) & offered
        found.append((~same.any(dim=1)).double().mean().item())
    (estimate,) = set(Offer(16, instances=63, copies=2).empty(np.eye(20, dtype=bool), np.full(20, 100)).round(9))
    assert np.mean(found) == pytest.approx(estimate, abs=4 * np.std(found) / np.sqrt(len(found)))


def test_more_than_half_without_negatives_is_refused_with_the_k_that_serves() -> None:
    with pytest.raises(ConfigError, match=r"only_same_class leaves 66\.\d% of the anchors .* at K = 8; raise k to 14,"):
        resolve(TrialConfig(**SMALL, negatives="only_same_class", k=8))
    assert "without negatives at K = 14" in resolve(TrialConfig(**SMALL, negatives="only_same_class", k=14)).notes[0]


def test_a_pool_that_cannot_serve_is_said_to_be_too_small() -> None:
    few = {**SMALL, "batch_size": 8}
    with pytest.raises(ConfigError, match="no K of this pool leaves half of them any: choose a larger pool"):
        resolve(TrialConfig(**few, negatives="only_same_class"))


def test_a_share_without_negatives_is_announced() -> None:
    met, counts = np.eye(20, dtype=bool), np.full(20, 100)
    share = Offer(32, instances=127, copies=2).empty(met, counts)[0]
    assert share == pytest.approx((1 - 99 / 1999) ** 32, rel=0.1)
    (note,) = resolve(TrialConfig(**SMALL, negatives="only_same_class", k=32)).notes
    assert f"only_same_class leaves about {share:.2%} of the anchors without negatives at K = 32" in note
    assert resolve(TrialConfig(**SMALL, method="memory_bank", negatives="only_same_class")).notes == ()


def test_strategies_that_keep_almost_every_class_are_not_announced() -> None:
    for negatives in ("all", "without_same_class", {"name": "semantic", "hi": 0.9}, "hardest"):
        assert resolve(TrialConfig(**SMALL, negatives=negatives, k=16)).notes == ()


SIZED = [name for name in names() if "train_size" in split_component(load(name).base.data)[1]]
"""Recipes for a CPU, on images."""


@pytest.mark.parametrize("name", [name for name in SIZED if "text" not in name])
def test_every_sized_recipe_is_planned_without_a_warning(name: str) -> None:
    """Of CIFAR's recipes on drawn shapes, as many: bands and K are checked, not the archive."""
    size = split_component(load(name).base.data)[1]["train_size"]
    shapes = {"name": "shapes", "train_size": size, "test_size": 100}
    trials = load(name).with_overrides({"data": shapes}).trials()
    assert {note for trial in trials for note in trial.notes} == set()

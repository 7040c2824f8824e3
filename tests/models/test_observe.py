"""Logged metrics of a step's negatives, against sums over one anchor's list at a time."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.contrast import Contrast, StepContext
from models.negatives import STRATEGIES, Candidates, Strategy
from models.objectives import OBJECTIVES
from models.pools import Pool, offer_from_batch, offer_from_store

B, ROWS, CLASSES, T = 6, 90, 3, 0.2
EMPTIED = ("only_same_class", "semantic")
"""Strategies that leave some anchors nothing of four candidates."""
PARAMS = {
    "semantic": {"lo": 0.5},
    "uniform": {"fraction": 0.25},
    "mixing": {"n": 8, "s": 5, "s_prime": 3, "warmup_epochs": 0},
}


def unit(*shape: int, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=g, dtype=torch.float64), dim=-1)


def build(name: str) -> Strategy:
    return STRATEGIES[name](**PARAMS.get(name, {}))


def offered_from(pool: str) -> tuple[Pool, Tensor | None]:
    """A pool with half of its rows offered: per anchor (batch), along one order (store), all of it, or few rows."""
    instance = torch.arange(ROWS) % 45  # rows 0 … 5 and 45 … 50 show the anchors themselves
    rows = Pool(unit(ROWS, 8, seed=1), instance, torch.arange(ROWS) % CLASSES)
    draw = torch.Generator().manual_seed(5)
    if pool == "batch":
        own = torch.arange(B)[:, None] == instance[None, :]
        return rows, offer_from_batch(own, ROWS // 2, generator=draw)
    if pool == "few":
        return offer_from_store(rows, torch.arange(B), 4, own=ROWS, generator=draw)
    if pool == "store":
        return offer_from_store(rows, torch.arange(B), ROWS // 2, own=ROWS, generator=draw)
    return Pool(rows.keys, instance + B, rows.labels), None


def by_hand(similarities: list[float], k: int, same: list[bool], same_offered: list[bool]) -> dict[str, float]:
    """One anchor's: the list of all that it met; `same` of those that are no synthetic points."""
    shares = {"k": k, "k_eff": len(similarities), "collision_rate.pool": sum(same_offered) / k}
    if not similarities:
        return shares | {"empty_share": 1}
    total = math.fsum(math.exp(s / T) for s in similarities)
    r = sorted((math.exp(s / T) / total for s in similarities), reverse=True)
    return shares | {
        "empty_share": 0,
        "similarity.negative": math.fsum(similarities) / len(r),
        "penalty.entropy": -math.fsum(x * math.log(x) for x in r),
        "penalty.hardest_5pct_share": math.fsum(r[: max(len(r) * 5 // 100, 1)]),
        "collision_rate.selection": sum(same) / len(same),
    }


@pytest.mark.parametrize("pool", ["batch", "store", "whole", "few"])
@pytest.mark.parametrize("name", STRATEGIES.names())
def test_penalties_and_collisions_of_every_strategy_and_pool(name: str, pool: str) -> None:
    anchors, positive, labels = unit(B, 8, seed=0), unit(B, 8, seed=2), torch.arange(B) % CLASSES
    rows, offered = offered_from(pool)
    similarity = torch.eye(CLASSES, dtype=torch.float64) + 0.1
    contrast = Contrast(build(name), OBJECTIVES["info_nce"], class_similarity=similarity)
    context = StepContext(torch.Generator().manual_seed(7), T, epoch=3, epochs=9, observe=True)
    observed = contrast(anchors, positive, rows, offered, context, labels=labels).observed

    given = Candidates(
        anchors @ rows.keys.T, anchors, rows.keys, offered, labels, rows.labels, epoch=3, epochs=9,
        class_similarity=similarity, positive=(anchors * positive).sum(1),
    )  # fmt: skip
    selection = build(name).select(given, generator=torch.Generator().manual_seed(7))
    found = []
    for i in range(B):
        mine = [j for j in range(len(rows.keys)) if offered is None or offered[i, j]]
        weight = selection.log_weight
        met = [j for j in mine if weight is None or weight[i, j] == 0]
        keys = [rows.keys[j] for j in met] + ([] if selection.synthetic is None else list(selection.synthetic[i]))
        same = [bool(rows.labels[j] == labels[i]) for j in met]
        every = [bool(rows.labels[j] == labels[i]) for j in mine]
        found.append(by_hand([float(anchors[i] @ key) for key in keys], len(mine), same, every))
    if not name.startswith("semi_hard"):  # empties an anchor by how similar its positive is, in any pool
        assert (0 < sum(one["empty_share"] for one in found) < B) is (pool == "few" and name in EMPTIED)
    of = {key: [one[key] for one in found if key in one] for one in found for key in one}
    expected = {key: math.fsum(values) / len(values) for key, values in of.items()}
    expected["similarity.positive"] = (anchors * positive).sum(1).mean().item()
    defined = {key: value.item() for key, value in observed.items() if not value.isnan()}
    assert defined == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("name", "beta"), [("debiased", 0.0), ("hard", 1.0)])
def test_the_clamped_fraction_counts_anchors_at_the_floor_of_what_the_strategy_leaves(name: str, beta: float) -> None:
    anchors, keys = unit(B, 8, seed=0), unit(40, 8, seed=1)
    positive = F.normalize(anchors + torch.linspace(0, 2, B, dtype=torch.float64)[:, None] * unit(B, 8, seed=3), dim=1)
    contrast = Contrast(STRATEGIES["easiest_95pct"](), OBJECTIVES[name])
    context = StepContext(torch.Generator(), T, observe=True)
    observed = contrast(anchors, positive, Pool(keys, torch.arange(40) + B), None, context).observed
    clamped = 0
    for a, p in zip(anchors, positive, strict=True):
        s = sorted((keys @ a).tolist())[:38]  # 40 without the hardest two
        e = [math.exp(x / T) for x in s]
        importance = [x**beta for x in e]
        weighted = 38 * math.fsum(i * x for i, x in zip(importance, e, strict=True)) / math.fsum(importance)
        ng = (weighted - 38 * 0.1 * math.exp(float(a @ p) / T)) / 0.9
        clamped += ng <= 38 * math.exp(-1 / T)
    assert 0 < clamped < B
    assert observed["clamped_fraction"].item() == pytest.approx(clamped / B)

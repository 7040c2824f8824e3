import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.contrast import Contrast, StepContext, attraction
from models.negatives import STRATEGIES, Candidates, Selection, Strategy
from models.objectives import OBJECTIVES
from models.pools import Pool


def unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def context(**fields: object) -> StepContext:
    return StepContext(torch.Generator().manual_seed(0), 0.2, **fields)


def pool(rows: int = 30) -> Pool:
    return Pool(unit(rows, 8, seed=2), torch.arange(rows), torch.arange(rows) % 3)


def contrast(strategy: Strategy | None = None) -> Contrast:
    return Contrast(strategy or STRATEGIES["all"](), OBJECTIVES["info_nce"])


class Given(Strategy):
    """A selection made beforehand."""

    def __init__(self, selection: Selection) -> None:
        object.__setattr__(self, "selection", selection)

    def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
        return self.selection


def test_what_is_not_offered_never_counts() -> None:
    a, p, keys = unit(4, 8), unit(4, 8, seed=1), pool()
    offered = torch.zeros(4, 30, dtype=torch.bool)
    offered[:, :5] = True
    some = Pool(keys.keys[:5], keys.instance[:5])
    expected = contrast()(a, p, some, None, context()).loss
    for strategy in (None, Given(Selection.keep(torch.ones(4, 30, dtype=torch.bool)))):
        torch.testing.assert_close(contrast(strategy)(a, p, keys, offered, context()).loss, expected)


def test_synthetic_keys_are_met_besides_the_pools() -> None:
    a, p, points = unit(4, 8), unit(4, 8, seed=1), unit(4, 3, 8, seed=3)
    loss = contrast(Given(Selection(synthetic=points)))(a, p, pool(), None, context()).loss
    losses = [
        contrast()(
            a[i : i + 1], p[i : i + 1], Pool(torch.cat([pool().keys, points[i]]), torch.arange(33)), None, context()
        )
        for i in range(4)
    ]
    torch.testing.assert_close(loss, torch.stack([step.loss for step in losses]).mean())


def test_attraction_makes_positives_of_what_it_finds() -> None:
    """The attraction loss of Huynh 2020, term by term."""
    a, p, keys = unit(4, 8), unit(4, 8, seed=1), pool()
    found = torch.rand(4, 30, generator=torch.Generator().manual_seed(0)) < 0.2
    found[0] = False
    loss = contrast(Given(Selection(attract=found)))(a, p, keys, None, context()).loss
    total = 0.0
    for i in range(4):
        positives = [a[i] @ p[i], *(a[i] @ keys.keys[j] for j in found[i].nonzero()[:, 0])]
        denominator = ((a[i] @ p[i]) / 0.2).exp() + ((keys.keys @ a[i]) / 0.2).exp().sum()
        total -= sum((s / 0.2 - denominator.log()) for s in positives) / len(positives)
    torch.testing.assert_close(loss, total / 4)


def test_nothing_found_attracts_nothing() -> None:
    found = torch.zeros(4, 30, dtype=torch.bool)
    assert attraction(torch.rand(4), torch.rand(4, 30), found, temperature=0.2).item() == 0


def test_similarities_are_not_rounded_under_autocast() -> None:
    a, p, keys = unit(4, 8).float(), unit(4, 8, seed=1).float(), pool()
    keys = Pool(keys.keys.float(), keys.instance)
    expected = contrast()(a, p, keys, None, context()).loss
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrast()(a, p, keys, None, context()).loss, expected)


def test_a_step_observes_only_when_asked() -> None:
    a, p = unit(4, 8), unit(4, 8, seed=1)
    assert contrast()(a, p, pool(), None, context()).observed == {}
    observed = contrast()(a, p, pool(), None, context(observe=True), labels=torch.arange(4) % 3).observed
    s, labels = a @ pool().keys.T, torch.arange(4) % 3
    r = (s / 0.2).softmax(dim=1)
    expected = {
        "k": 30.0,
        "k_eff": 30.0,
        "empty_share": 0.0,
        "similarity.positive": (a * p).sum(1).mean().item(),
        "similarity.negative": s.mean().item(),
        "penalty.entropy": -(r * r.log()).sum(1).mean().item(),
        "penalty.hardest_5pct_share": r.max(dim=1).values.mean().item(),  # one of thirty
        "collision_rate.pool": (labels[:, None] == pool().labels).double().mean().item(),
        "collision_rate.selection": (labels[:, None] == pool().labels).double().mean().item(),
    }
    assert {name: value.item() for name, value in observed.items()} == pytest.approx(expected)


def test_entropy_of_the_penalty_reaches_log_k_at_a_high_temperature() -> None:
    hot = StepContext(torch.Generator(), 1e4, observe=True)
    observed = contrast()(unit(4, 8), unit(4, 8, seed=1), pool(), None, hot).observed
    assert observed["penalty.entropy"].item() == pytest.approx(math.log(30), rel=1e-6)
    assert observed["penalty.hardest_5pct_share"].item() == pytest.approx(1 / 30, rel=1e-3)


def test_a_strategy_gets_the_matrix_that_it_needs() -> None:
    labels, keys = torch.arange(4) % 3, pool()
    strategy = STRATEGIES["semantic"](measure="wup", lo=0.5, hi=0.9)
    assert strategy.needs_similarity == "wup"
    with pytest.raises(ValueError, match="class_similarity"):
        contrast(strategy)(unit(4, 8), unit(4, 8, seed=1), keys, None, context(), labels=labels)
    matrix = torch.tensor([[1.0, 0.6, 0.2], [0.6, 1.0, 0.7], [0.2, 0.7, 1.0]])
    given = Candidates(
        unit(4, 8) @ keys.keys.T, unit(4, 8), keys.keys, None, labels, keys.labels, class_similarity=matrix
    )  # fmt: skip
    for hi, met in [(0.9, [{1}, {0, 2}, {1}, {1}]), (0.7, [{1}, {0}, set(), {1}])]:  # up to hi, and not hi itself
        band = STRATEGIES["semantic"](measure="wup", lo=0.6, hi=hi)
        kept = band.select(given, generator=torch.Generator()).log_weight == 0
        for anchor, classes in enumerate(met):
            assert set(keys.labels[kept[anchor]].tolist()) == classes or (not classes and kept[anchor].sum() == 1)


def test_under_autocast_similarities_are_not_rounded() -> None:
    """A cosine in bfloat16, divided by a low temperature, is off by a tenth of a nat."""
    a, p, keys = (unit(n, 8, seed=seed).float() for n, seed in [(4, 0), (4, 1), (30, 2)])
    losses = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(contrast()(a, p, Pool(keys, torch.arange(30)), None, context()).loss.item())
    assert losses[0] == losses[1]


def masses(kept: Tensor, labels: Tensor, key_labels: Tensor) -> list[list[float]]:
    """Pair by pair."""
    found = [[0.0] * 3 for _ in range(3)]
    for i, row in enumerate(kept.tolist()):
        for j, weight in enumerate(row):
            if key_labels[j] >= 0:
                found[labels[i]][key_labels[j]] += weight
    return found


@pytest.mark.parametrize("everything", [True, False], ids=["the whole pool", "some of it"])
def test_a_step_tells_which_classes_were_selected_for_which(everything: bool) -> None:
    labels, keys, draw = torch.arange(4) % 3, pool(), torch.Generator().manual_seed(0)
    keys = Pool(keys.keys, keys.instance, torch.cat([keys.labels[:25], torch.full((5,), -1)]))  # some have no class
    offered = None if everything else torch.rand(4, 30, generator=draw) < 0.6
    weight = torch.rand(4, 30, generator=draw, dtype=torch.float64) * (torch.rand(4, 30, generator=draw) < 0.7)
    given = Given(Selection(weight.log(), synthetic=unit(4, 2, 8, seed=5)))
    step = replace(contrast(given), classes=3)(
        unit(4, 8), unit(4, 8, seed=1), keys, offered, context(observe=True), labels=labels
    )
    among = torch.ones(4, 30) if offered is None else offered.double()
    torch.testing.assert_close(step.observed["mass.offered"].tolist(), masses(among, labels, keys.labels))
    torch.testing.assert_close(step.observed["mass.selected"].tolist(), masses(weight * among, labels, keys.labels))


def test_without_labels_no_classes_meet() -> None:
    step = replace(contrast(), classes=3)(unit(4, 8), unit(4, 8, seed=1), pool(), None, context(observe=True))
    assert not {name for name in step.observed if name.startswith("mass")}


@pytest.mark.parametrize(
    ("selection", "rule"),
    [
        (torch.ones(4, 30), "Given.select must return a Selection, such as Selection.keep"),
        (None, "not a NoneType"),
        (Selection.keep(torch.ones(4, 29)), r"log_weight of shape \[4, 29\]; it must have .* \[4, 30\]"),
        (Selection(attract=torch.ones(30, dtype=torch.bool)), r"attract of shape \[30\]"),
    ],
    ids=["mask", "nothing", "log-weight", "attract"],
)
def test_a_strategy_that_gives_no_selection_of_the_pool_is_told_so(selection: object, rule: str) -> None:
    with pytest.raises((TypeError, ValueError), match=rule):
        contrast(Given(selection))(unit(4, 8), unit(4, 8, seed=1), pool(), None, context())

"""Conformance of every strategy, of this repository or user-defined."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.contrast import Contrast, StepContext
from models.negatives import STRATEGIES, Candidates, Filter, Selection, Strategy
from models.negatives.rank import band
from models.objectives import OBJECTIVES
from models.pools import Pool, Queue, offer_from_batch, offer_from_store

CLASSES = 5
FITTED = {"uniform": {"fraction": 0.25}, "semi_hard": {"margin": 2.0}, "semi_hard_other_class": {"margin": 2.0}}
"""A margin that leaves an anchor candidates even where it is its own positive."""


def build(name: str) -> Strategy:
    return STRATEGIES[name](**FITTED.get(name, {}))


def unit(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=-1)


def candidates(rows: int = 120, *, masked: bool = True, labelled: bool = True) -> Candidates:
    anchors, keys = unit(8, 16), unit(rows, 16, seed=1)
    instance = torch.arange(8)
    own = instance[:, None] == torch.arange(rows)[None, :] % 40
    offered = offer_from_batch(own, rows // 2, generator=torch.Generator().manual_seed(0)) if masked else None
    labels = (instance % CLASSES, torch.arange(rows) % CLASSES) if labelled else (None, None)
    similarity = torch.eye(CLASSES) + 0.1 * torch.arange(CLASSES)
    return Candidates(
        anchors @ keys.T, anchors, keys, offered, *labels, epoch=50, epochs=100, class_similarity=similarity,
        positive=torch.linspace(0.1, 0.3, 8),
    )  # fmt: skip


def select(name: str, given: Candidates, seed: int = 0) -> Selection:
    return build(name).select(given, generator=torch.Generator().manual_seed(seed))


def mask(selection: Selection, given: Candidates) -> Tensor:
    kept = torch.ones_like(given.similarity, dtype=torch.bool)
    if selection.log_weight is not None:
        kept = selection.log_weight > float("-inf")
    return kept if given.offered is None else kept & given.offered


every_strategy = pytest.mark.parametrize("name", STRATEGIES.names())


@every_strategy
@pytest.mark.parametrize("masked", [True, False])
def test_selection_has_the_candidates_shape_and_is_never_empty(name: str, masked: bool) -> None:
    given = candidates(masked=masked)
    selection = select(name, given)
    if selection.log_weight is not None:
        assert selection.log_weight.shape == given.similarity.shape
        assert not selection.log_weight.isnan().any()
    kept = mask(selection, given)
    assert kept.any(dim=1).all()
    assert (kept.sum(1) <= given.count()).all()
    if selection.synthetic is not None:
        assert selection.synthetic.shape[::2] == (8, 16)
        torch.testing.assert_close(selection.synthetic.norm(dim=2), torch.ones_like(selection.synthetic[..., 0]))
    if selection.attract is not None:
        assert not (selection.attract & ~mask(Selection(), given)).any(), "only what is offered is attracted"


@every_strategy
def test_selection_repeats_under_the_same_generator(name: str) -> None:
    given = candidates()
    first, second = select(name, given, seed=3), select(name, given, seed=3)
    for field in ("log_weight", "synthetic", "attract"):
        one, two = getattr(first, field), getattr(second, field)
        assert (one is None and two is None) or torch.equal(one, two), field


@every_strategy
def test_selection_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    select(name, candidates())
    assert torch.equal(before, torch.get_rng_state())


@every_strategy
def test_only_strategies_marked_so_use_labels(name: str) -> None:
    given = candidates(labelled=False)
    if build(name).uses_labels:
        with pytest.raises(ValueError, match="no labels"):
            select(name, given)
    else:
        labelled = candidates()
        one, two = select(name, given), select(name, labelled)
        assert torch.equal(mask(one, given), mask(two, labelled))


@every_strategy
def test_the_mark_is_visible_without_an_instance(name: str) -> None:
    assert bool(STRATEGIES.trait(name, "uses_labels")) == build(name).uses_labels
    assert STRATEGIES.describe(name).endswith(".")


@every_strategy
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_gradients_are_finite_at_a_low_temperature(name: str, dtype: torch.dtype, objective: str) -> None:
    raw = torch.randn(8, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    given = candidates()
    contrast = Contrast(
        build(name), OBJECTIVES[objective], class_similarity=given.class_similarity
    )  # fmt: skip
    pool = Pool(given.keys.float(), torch.arange(120) % 40, given.key_labels)
    context = StepContext(torch.Generator().manual_seed(0), 0.02, epoch=50, epochs=100, observe=True)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        z = F.normalize((raw @ torch.eye(16)).float(), dim=1)
        step = contrast(z, z.roll(1, 0), pool, given.offered, context, labels=given.anchor_labels)
    step.loss.backward()
    assert step.loss.isfinite()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
    assert all(value.isfinite() for value in step.observed.values())


@every_strategy
def test_loss_does_not_depend_on_the_order_of_anchors_or_pool(name: str) -> None:
    strategy = build(name)
    if name in ("uniform", "mixing") or name.endswith("_control"):
        pytest.skip("random by definition")
    given = candidates(masked=False)
    contrast = Contrast(strategy, OBJECTIVES["info_nce"], class_similarity=given.class_similarity)
    g = torch.Generator().manual_seed(0)
    a, p = torch.randperm(8, generator=g), torch.randperm(120, generator=g)

    def loss(rows: Tensor, columns: Tensor) -> Tensor:
        pool = Pool(given.keys[columns], columns, given.key_labels[columns])
        z = given.anchors[rows]
        return contrast(z, z.roll(1, 1), pool, None, StepContext(g, 0.2), labels=given.anchor_labels[rows]).loss

    torch.testing.assert_close(loss(a, p), loss(torch.arange(8), torch.arange(120)), rtol=1e-12, atol=0)


@every_strategy
def test_every_pool_serves_every_strategy(name: str) -> None:
    """K is honoured and the own instance is never met, whatever the strategy does."""
    queue = Queue(60, 16, generator=torch.Generator().manual_seed(0)).double()
    queue.enqueue(unit(40, 16, seed=2), torch.arange(40), torch.arange(40) % CLASSES)
    instance, g = torch.arange(8), torch.Generator().manual_seed(0)
    pool, offered = offer_from_store(queue.rows(), instance, 30, own=1, generator=g)
    given = candidates()
    contrast = Contrast(build(name), OBJECTIVES["info_nce"], class_similarity=given.class_similarity)
    context = StepContext(g, 0.2, epoch=50, epochs=100, observe=True)
    step = contrast(given.anchors, given.anchors, pool, offered, context, labels=instance % CLASSES)
    assert step.observed["k"].item() == 30
    extra = 768 if name == "mixing" else 0
    assert 1 <= step.observed["k_eff"].item() <= 30 + extra
    assert 0 <= step.observed["penalty.entropy"].item() <= torch.tensor(30.0 + extra).log().item() + 1e-9
    assert 0 <= step.observed["penalty.hardest_5pct_share"].item() <= 1


@every_strategy
@pytest.mark.parametrize("classes", [5, 300])
def test_similarities_in_bfloat16_are_selected_from_alike(name: str, classes: int) -> None:
    """Scores are rounded first, so both types rank alike; labels are not: 256 and 257 are one number in bfloat16."""
    given = candidates(300)
    rounded = given.similarity.bfloat16()
    labels = {"anchor_labels": torch.arange(8) + classes - 9, "key_labels": torch.arange(300) % classes}
    similarity = torch.eye(classes)
    wide, narrow = (
        replace(given, similarity=s, anchors=a, keys=k, class_similarity=similarity, **labels)
        for s, a, k in [
            (rounded.float(), given.anchors.float(), given.keys.float()),
            (rounded, given.anchors.bfloat16(), given.keys.bfloat16()),
        ]
    )
    one, two = select(name, wide), select(name, narrow)
    assert torch.equal(mask(one, wide), mask(two, narrow))
    if one.attract is not None:
        assert torch.equal(one.attract, two.attract)
    if two.synthetic is not None:
        assert two.synthetic.isfinite().all()


@every_strategy
def test_what_is_not_offered_does_not_bear_on_what_is_selected(name: str) -> None:
    given = candidates()
    assert given.offered is not None
    near = torch.where(given.offered, given.similarity, 1.0)
    one, two = select(name, given), select(name, replace(given, similarity=near))
    assert torch.equal(mask(one, given), mask(two, given))
    for field in ("synthetic", "attract"):
        first, second = getattr(one, field), getattr(two, field)
        assert (first is None and second is None) or torch.equal(first, second), field


@every_strategy
def test_a_selection_is_unharmed_by_those_that_follow(name: str) -> None:
    given = candidates()
    first = select(name, given, seed=3)
    before = {field: None if value is None else value.clone() for field, value in vars(first).items()}
    for other in STRATEGIES.names():
        select(other, given, seed=4)
    for field, value in before.items():
        assert value is None or torch.equal(getattr(first, field), value), field


@every_strategy
def test_similarities_that_are_not_numbers_reach_the_loss(name: str) -> None:
    """It is the loss that tells of a training that diverged."""
    given = candidates()
    anchors = given.anchors.index_fill(0, torch.tensor([1]), torch.nan)
    contrast = Contrast(build(name), OBJECTIVES["info_nce"], class_similarity=given.class_similarity)
    context = StepContext(torch.Generator().manual_seed(0), 0.2, epoch=50, epochs=100)
    pool = Pool(given.keys, torch.arange(120), given.key_labels)
    assert contrast(anchors, given.anchors, pool, given.offered, context, labels=given.anchor_labels).loss.isnan()


class BothEnds(Filter):
    """The hardest five and the easiest five, from two bands that are held at once."""

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        easiest = band(candidates.ranked_by(-candidates.similarity), 0, 5)
        return band(candidates.ranked_by(candidates.similarity), 0, 5) + easiest


class Overlapping(BothEnds):
    """The same, where each candidate is marked a second time: not 0 is kept, whatever it is."""

    def kept(self, candidates: Candidates, *, generator: torch.Generator) -> Tensor:
        return super().kept(candidates, generator=generator) * 2


@pytest.mark.parametrize("strategy", [BothEnds(), Overlapping()], ids=["disjoint", "overlapping"])
@pytest.mark.parametrize("masked", [True, False])
def test_a_filter_of_the_users_own_may_join_two_bands(strategy: Filter, masked: bool) -> None:
    given = candidates(masked=masked)
    selection = strategy.select(given, generator=torch.Generator())
    for row in range(8):
        columns = range(120) if given.offered is None else given.offered[row].nonzero()[:, 0].tolist()
        order = sorted(columns, key=given.similarity[row].tolist().__getitem__)
        assert selection.log_weight is not None
        assert selection.log_weight[row].eq(0).nonzero()[:, 0].tolist() == sorted(order[:5] + order[-5:])


def test_a_strategy_of_the_users_own_needs_one_method() -> None:
    class Every(Strategy):
        def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
            return Selection.keep(candidates.similarity > -2)

    given = candidates()
    pool = Pool(given.keys, torch.arange(120))
    context = StepContext(torch.Generator(), 0.2)
    losses = [
        Contrast(s, OBJECTIVES["info_nce"])(given.anchors, given.anchors, pool, given.offered, context).loss
        for s in (Every(), build("all"))
    ]
    torch.testing.assert_close(*losses)

"""Semi-hard negatives, against the distances of the embeddings one by one."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.negatives import STRATEGIES, Candidates
from models.objectives import OBJECTIVES

B, P, CLASSES = 12, 60, 4


def batch(*, masked: bool = False) -> tuple[Candidates, Tensor]:
    """The candidates, and the positives' embeddings [B, D]."""
    g = torch.Generator().manual_seed(0)
    anchors, positives, keys = (
        F.normalize(torch.randn(n, 6, generator=g, dtype=torch.float64), dim=1) for n in (B, B, P)
    )
    offered = torch.rand(B, P, generator=g) < 0.5 if masked else None
    labels = torch.arange(B) % CLASSES, torch.arange(P) % CLASSES
    s = (anchors * positives).sum(dim=1)
    return Candidates(anchors @ keys.T, anchors, keys, offered, *labels, positive=s), positives


def kept(given: Candidates, name: str = "semi_hard", **params: object) -> list[list[int]]:
    weight = STRATEGIES[name](**params).select(given, generator=torch.Generator()).log_weight
    assert weight is not None
    met = weight == 0 if given.offered is None else (weight == 0) & given.offered
    return [row.nonzero()[:, 0].tolist() for row in met]


def by_distance(
    given: Candidates, positives: Tensor, margin: float, *, count: int | None = None, other_class: bool = False
) -> list[list[int]]:
    found = []
    for i in range(B):
        reference = float((given.anchors[i] - positives[i]).square().sum())
        distance = [float((given.anchors[i] - key).square().sum()) for key in given.keys]
        met = [j for j in range(P) if reference < distance[j] < reference + margin]
        met = [j for j in met if given.offered is None or given.offered[i, j]]
        met = [j for j in met if not other_class or j % CLASSES != i % CLASSES]
        found.append(sorted(sorted(met, key=distance.__getitem__)[:count]))
    return found


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("margin", [0.2, 0.7])
def test_negatives_are_further_than_the_positive_by_less_than_the_margin(margin: float, masked: bool) -> None:
    given, positives = batch(masked=masked)
    expected = by_distance(given, positives, margin)
    assert kept(given, margin=margin) == expected
    assert [] in expected or max(map(len, expected)) > 1


def test_an_anchor_without_any_has_no_negatives() -> None:
    given, positives = batch()
    assert [] in by_distance(given, positives, 0.02)
    assert kept(given, margin=0.02) == by_distance(given, positives, 0.02)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("count", [1, 5])
def test_the_hardest_of_all_further_ones_are_those_of_xuan(count: int, masked: bool) -> None:
    given, positives = batch(masked=masked)
    assert kept(given, margin=None, count=count) == by_distance(given, positives, 9.0, count=count)


def test_labelled_triplets_leave_the_anchors_class_out() -> None:
    given, positives = batch()
    expected = by_distance(given, positives, 0.7, other_class=True)
    assert kept(given, "semi_hard_other_class", margin=0.7) == expected
    assert expected != by_distance(given, positives, 0.7)


def test_of_semi_hard_triplets_each_violates_the_margin_and_none_is_misplaced() -> None:
    given, _ = batch()
    assert given.positive is not None
    weight = STRATEGIES["semi_hard"]().select(given, generator=torch.Generator()).log_weight
    each = [
        OBJECTIVES["triplet"](given.positive[[i]], given.similarity[[i]][:, [j]], temperature=1.0).item()
        for i, row in enumerate(kept(given)) for j in row
    ]  # fmt: skip
    assert all(0 < loss < 0.2 for loss in each)
    means = [sum(each[a:b]) / (b - a) if b > a else 0.0 for a, b in spans(list(map(len, kept(given))))]
    found = OBJECTIVES["triplet"](given.positive, given.similarity, temperature=1.0, log_weight=weight)
    assert found.item() == pytest.approx(sum(means) / B)


def spans(lengths: list[int]) -> list[tuple[int, int]]:
    ends = torch.tensor(lengths).cumsum(0).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def test_what_it_needs_and_takes_is_said() -> None:
    with pytest.raises(ValueError, match=r"margin must be above 0, or null for any, got 0\.0; FaceNet has 0\.2"):
        STRATEGIES["semi_hard"](margin=0.0)
    with pytest.raises(ValueError, match="count must be at least 1, got 0; null keeps all"):
        STRATEGIES["semi_hard"](count=0)
    given, _ = batch()
    alone = Candidates(given.similarity, given.anchors, given.keys)
    with pytest.raises(ValueError, match="give Candidates its similarity"):
        kept(alone)

"""Random subsets: exact counts, whatever is offered, and every candidate as likely as any other."""

import pytest
import torch
from torch import Tensor

from models.negatives.strategy import Candidates
from models.negatives.uniform import random_subset


def candidates(anchors: int, rows: int, offered: Tensor | None = None) -> Candidates:
    return Candidates(torch.zeros(anchors, rows), torch.zeros(anchors, 2), torch.zeros(rows, 2), offered)


def subset(given: Candidates, n: Tensor, seed: int = 0) -> Tensor:
    kept = random_subset(given, n, generator=torch.Generator().manual_seed(seed)).clone() == 1
    return kept if given.offered is None else kept & given.offered


@pytest.mark.parametrize("rows", [1, 2, 30, 97, 2310, 4096])
def test_counts_are_exact_for_any_number_of_rows(rows: int) -> None:
    for n in {1, (rows + 1) // 3, rows - 1, rows}:
        counts = torch.full((5,), max(n, 1))
        assert torch.equal(subset(candidates(5, rows), counts).sum(1), counts)


@pytest.mark.parametrize("share", [0.02, 0.6, 0.99])
def test_counts_are_exact_among_what_is_offered_to_each(share: float) -> None:
    offered = torch.rand(6, 1000, generator=torch.Generator().manual_seed(1)) < share
    offered[:, 0] = True
    for part in (0.1, 0.5, 0.95):
        n = (offered.sum(1) * part).long().clamp(min=1)
        assert torch.equal(subset(candidates(6, 1000, offered), n).sum(1), n)


@pytest.mark.parametrize(("rows", "n"), [(30, 4), (30, 26), (16, 8)])
def test_every_candidate_is_as_likely_as_any_other_alone_and_in_pairs(rows: int, n: int) -> None:
    times = 3000
    draws = torch.stack([subset(candidates(2, rows), torch.full((2,), n), seed)[0] for seed in range(times)]).double()
    once, pair = n / rows, n * (n - 1) / (rows * (rows - 1))
    assert ((draws.mean(0) - once).abs() < 4.5 * (once * (1 - once) / times) ** 0.5).all()
    together = (draws.T @ draws / times)[~torch.eye(rows, dtype=torch.bool)]
    assert ((together - pair).abs() < 5 * (pair * (1 - pair) / times) ** 0.5).all()


def test_anchors_draw_apart() -> None:
    """Two anchors share as many candidates as two independent draws would, on average."""
    given, n = candidates(64, 1024), torch.full((64,), 102)
    kept = subset(given, n).double()
    shared = (kept @ kept.T)[~torch.eye(64, dtype=torch.bool)]
    assert shared.mean().item() == pytest.approx(102**2 / 1024, rel=0.1)
    assert shared.max() < 102, "no two anchors have the same subset"

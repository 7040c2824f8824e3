import pytest
import torch

from models.negatives.rank import band, edges, hardest, share


def test_share_is_not_off_by_one_from_rounding() -> None:
    assert share(0.29, torch.tensor([100])).tolist() == [share(0.29, 100)] == [29]
    assert share(0.07, torch.tensor([100])).tolist() == [share(0.07, 100)] == [7]


@pytest.mark.parametrize(
    ("lo", "hi", "k", "expected"),
    [(0.0, 0.05, 100, (0, 5)), (0.001, 1.0, 4096, (4, 4096)), (0.0, 0.05, 10, (0, 1)), (0.99, 1.0, 3, (2, 3)),
     (0.5, 0.51, 1, (0, 1))],
)  # fmt: skip
def test_edges_hold_at_least_one_rank(lo: float, hi: float, k: int, expected: tuple[int, int]) -> None:
    first, last = edges(lo, hi, torch.tensor([k]))
    assert (first.item(), last.item()) == edges(lo, hi, k) == expected


def slow_order(scores: torch.Tensor, offered: torch.Tensor) -> list[int]:
    """The columns of one row that are offered, hardest first, by a stable sort of Python's own."""
    values = scores.tolist()
    return sorted(offered.nonzero()[:, 0].tolist(), key=lambda j: -values[j])


@pytest.mark.parametrize("size", [7, 300, 20_000])
@pytest.mark.parametrize("kind", ["distinct", "ties", "equal", "bfloat16"])
@pytest.mark.parametrize("masked", [False, True])
def test_band_is_exactly_what_a_stable_sort_says(size: int, kind: str, masked: bool) -> None:
    g = torch.Generator().manual_seed(0)
    scores = torch.randn(6, size, generator=g)
    if kind == "ties":
        scores = scores.round()
    elif kind == "equal":
        scores = torch.zeros(6, size)
    elif kind == "bfloat16":
        scores = scores.bfloat16()
    offered = torch.rand(6, size, generator=g) < 0.7 if masked else torch.ones(6, size, dtype=torch.bool)
    offered[:, 0] = True
    k = offered.sum(1)
    orders = [slow_order(*row) for row in zip(scores, offered, strict=True)]
    for lo, hi in [(0.0, 0.05), (0.001, 1.0), (0.05, 0.3), (0.97, 1.0), (0.0, 1.0)]:
        first, last = edges(lo, hi, k)
        kept = band(scores.masked_fill(~offered, -1e4), first, last)
        for row in range(6):
            expected = sorted(orders[row][first[row] : last[row]])
            assert kept[row].eq(1).nonzero()[:, 0].tolist() == expected, f"row {row}, band [{lo}, {hi})"
            if lo == 0 and last.eq(last[0]).all():
                columns = hardest(scores.masked_fill(~offered, -1e4), int(last[0]))
                assert columns[row].tolist() == expected

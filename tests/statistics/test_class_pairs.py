"""The correlation of difficulty and meaning over pairs of classes: its interval is about other classes of the kind."""

import numpy as np
import pytest

from study.analysis.class_pairs import association, difference
from tests.statistics.measured import STUDIES, Measured

WIDTH = 8
GROUPS = 4


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


CENTRES = unit(np.random.default_rng(5).normal(size=(GROUPS, WIDTH)))


def classes(draw: np.random.Generator, count: int, kind: str, share: float) -> tuple[np.ndarray, ...]:
    """Similarity of meaning, and two difficulties that follow it with this share of their spread, [count, count]."""
    noise = [np.sqrt(1 - share**2) * draw.normal(size=(count, WIDTH)) for _ in range(2)]
    if kind == "a tree of four groups":
        group = draw.integers(0, GROUPS, count)
        meaning, base = 0.3 + 0.5 * (group[:, None] == group), CENTRES[group]
    else:
        base = draw.normal(size=(count, WIDTH))
        meaning = unit(base) @ unit(base).T
    rows = [unit(share * base + of) for of in noise]
    return meaning, *(of @ of.T for of in rows)


@pytest.mark.parametrize("count", [10, 100])
@pytest.mark.parametrize("kind", ["directions", "a tree of four groups"])
@pytest.mark.parametrize("share", [0.0, 0.8])
def test_correlation_over_pairs_of_classes(measured: Measured, kind: str, count: int, share: float) -> None:
    draw = np.random.default_rng(count)
    truth = np.mean([association(*classes(draw, 1500, kind, share)[:2]).rho for _ in range(2)])
    correlation, lead = [], []
    for _ in range(STUDIES):
        meaning, one, other = classes(draw, count, kind, share)
        if np.ptp(meaning[np.triu_indices(count, k=1)]) == 0:
            continue
        found, beside = association(one, meaning), difference(one, other, meaning)
        correlation.append(found.low <= truth <= found.high)
        lead.append(beside.low <= 0 <= beside.high)
    where = f"{count} classes, {kind}, ρ = {truth:.2f}"
    measured.coverage("ρ over pairs of classes, jackknife over classes", where, correlation)
    measured.coverage("difference of two ρ over the same classes", where, lead)

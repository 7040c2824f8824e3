"""Differences between the cells of two studies hold their promises, by trial and unpaired."""

import numpy as np
import pytest

from study.analysis.two_studies import Trials, differences_of_studies
from tests.statistics.measured import STUDIES, Measured

CELLS = 8
CASES = {"each trial has its own noise": (0.0, 1.0), "a seed moves all cells as much besides": (1.0, 1.0)}
"""How far a seed moves all cells of its study alike, and the noise of a trial."""

SIZE = 2.62
"""The difference that 4 seeds each find in 80 % of studies, in σ of a trial."""


def study(draw: np.random.Generator, seeds: int, shared: float, own: float) -> np.ndarray:
    return shared * draw.normal(size=seeds) + own * draw.normal(size=(CELLS, seeds))


def trials(values: np.ndarray) -> Trials:
    cells, seeds = np.indices(values.shape)
    return Trials(values.ravel(), cells.ravel(), seeds.ravel())


@pytest.mark.parametrize(("first", "second", "paired"), [(3, 3, True), (2, 2, False), (3, 5, False)])
@pytest.mark.parametrize("case", CASES)
def test_differences_of_two_studies_hold_together(
    measured: Measured, case: str, first: int, second: int, paired: bool
) -> None:
    draw, (shared, own) = np.random.default_rng(first + second), CASES[case]
    pairs = np.tile(np.arange(CELLS)[:, None], 2)
    twins = np.tile(np.arange(CELLS * first)[:, None], 2) if paired else np.empty((0, 2), dtype=int)
    held = []
    for _ in range(STUDIES):
        same = study(draw, first, 5.0, 5.0) if paired else 0.0
        one, other = (trials(same + study(draw, n, shared, own)) for n in (first, second))
        found = differences_of_studies(one, other, pairs, twins)
        held.append(((found["low"] <= 0) & (found["high"] >= 0)).all())
    how = "by trial" if paired else "unpaired"
    where = f"{CELLS} cells, {first} and {second} seeds, {case}"
    measured.coverage(f"differences of two studies, {how}, all at once", where, held)


def test_a_difference_of_the_detectable_size_is_found(measured: Measured) -> None:
    draw, pairs = np.random.default_rng(1), np.tile(np.arange(CELLS)[:, None], 2)
    twins, size, hits = np.empty((0, 2), dtype=int), 0.0, []
    for _ in range(STUDIES):
        one, other = (study(draw, 4, 0.0, 1.0) for _ in range(2))
        other[0] += SIZE
        found = differences_of_studies(trials(one), trials(other), pairs, twins)
        hits.append(found["verdict"][0] == "higher")
        size += found["detectable"].mean() / STUDIES
    assert size == pytest.approx(SIZE, rel=0.05)
    measured.power("a difference of two studies of the detectable size, unpaired", f"{CELLS} cells, 4 seeds each", hits)

"""Intervals of cells, their differences, and which is the best: studies of known truth."""

import itertools

import numpy as np
import pytest

from study.analysis.intervals import half_width
from study.analysis.paired import (
    BlockDesign,
    Family,
    block_design,
    detectable_by,
    detectable_ratio,
    tukey,
    unequal_noise,
)
from tests.statistics.measured import MANY, STUDIES, Measured

DESIGNS = {"8 cells × 2 seeds": (8, 2), "12 cells × 3 seeds": (12, 3), "4 cells × 5 seeds": (4, 5)}
WITH_HOLES = "12 cells × 3 seeds, 5 trials missing"
UNEQUAL = "12 cells × 3 seeds, every fourth cell with 3 times the noise"
HEAVY = "12 cells × 3 seeds, noise of Student's t with 3 degrees of freedom"
ASSUMED = (UNEQUAL, HEAVY)
"""Cases outside the model."""


@pytest.mark.parametrize("n", [2, 3, 5])
def test_students_interval(measured: Measured, n: int) -> None:
    y = np.random.default_rng(n).normal(size=(MANY, n))
    half = half_width(y.std(axis=1, ddof=1) / np.sqrt(n), np.full(MANY, n))
    measured.coverage("mean, Student's t", f"{n} seeds", np.abs(y.mean(axis=1)) <= half)


def trials(name: str) -> tuple[np.ndarray, np.ndarray]:
    cells, seeds = DESIGNS.get(name, (12, 3))
    of_cells, of_seeds = np.repeat(np.arange(cells), seeds), np.tile(np.arange(seeds), cells)
    kept = np.delete(np.arange(len(of_cells)), [4, 9, 17, 25, 32] if name == WITH_HOLES else [])
    return of_cells[kept], of_seeds[kept]


def studies(name: str, effects: np.ndarray | float = 0.0) -> tuple[BlockDesign, np.ndarray, np.ndarray, np.ndarray]:
    """(design, outcomes [studies, trials], seeds' shared parts, each trial's cell); residuals have variance 1."""
    cells, seeds = trials(name)
    draw = np.random.default_rng(len(name))
    noise = draw.normal(size=(MANY, len(cells)))
    if name == UNEQUAL:
        noise *= np.where(cells % 4 == 0, 3, 1)
    if name == HEAVY:
        noise = draw.standard_t(3, size=noise.shape)
    shared = 5 * draw.normal(size=(MANY, seeds.max() + 1))
    at = np.broadcast_to(effects, cells.max() + 1)[cells]
    return block_design(cells, seeds), at + shared[:, seeds] + noise, shared, cells


@pytest.mark.parametrize("name", [*DESIGNS, UNEQUAL, HEAVY])
def test_mean_of_a_cell_under_the_studys_seeds(measured: Measured, name: str) -> None:
    design, y, shared, cells = studies(name)
    means = np.stack([y[:, cells == cell].mean(axis=1) for cell in range(cells.max() + 1)], axis=1)
    held = np.abs(means - shared.mean(axis=1, keepdims=True)) <= design.half_widths(y)
    if name != UNEQUAL:
        (measured.tell if name == HEAVY else measured.coverage)("mean of a cell, seeds as blocks", name, held)
        return
    for which, loud in (("the loud cells", True), ("the others", False)):
        measured.tell(f"mean of a cell, seeds as blocks: {which}", name, held[:, (np.arange(12) % 4 == 0) == loud])


def largest_t(design: BlockDesign, y: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, Family]:
    """|t| of each pair [studies, pairs], and their family."""
    contrasts = design.weights[pairs[:, 0]] - design.weights[pairs[:, 1]]
    family = Family(contrasts, design.df, np.random.default_rng(0))
    return np.abs(y @ contrasts.T) / (design.sigma(y)[:, None] * family.norms), family


def against_the_first(design: BlockDesign) -> np.ndarray:
    return np.array([[cell, 0] for cell in range(1, len(design.weights))])


@pytest.mark.parametrize("name", [*DESIGNS, WITH_HOLES, UNEQUAL, HEAVY])
def test_differences_from_a_baseline_hold_together(measured: Measured, name: str) -> None:
    design, y, _, _ = studies(name)
    t, family = largest_t(design, y, against_the_first(design))
    found = (t > family.critical()).any(axis=1)
    if name in ASSUMED:
        measured.tell("any cell told from an equal baseline (Dunnett)", name, found)
        return
    measured.size("any cell told from an equal baseline (Dunnett)", name, found)
    measured.coverage("all differences from a baseline together", name, ~found)


@pytest.mark.parametrize("name", [*DESIGNS, WITH_HOLES])
def test_the_detectable_difference_is_detected(measured: Measured, name: str) -> None:
    design = studies(name)[0]
    pairs = against_the_first(design)
    family = Family(design.weights[pairs[:, 0]] - design.weights[0], design.df, np.random.default_rng(0))
    effect = np.zeros(len(design.weights))
    effect[1] = detectable_ratio(family.critical(), design.df) * family.norms[0]
    t, _ = largest_t(design, studies(name, effect)[1], pairs)
    measured.power("the smallest detectable difference is found", name, t[:, 0] > family.critical())


@pytest.mark.parametrize("name", DESIGNS)
def test_what_the_plan_says_of_two_cells_is_found(measured: Measured, name: str) -> None:
    cells, seeds = DESIGNS[name]
    effect = np.where(np.arange(cells) == 1, detectable_by(cells, seeds)[0], 0.0)
    design, y, _, _ = studies(name, effect)
    t, family = largest_t(design, y, np.array([[1, 0]]))
    measured.power("the plan's difference between two cells is found", name, t[:, 0] > family.critical())


def from_best(design: BlockDesign, y: np.ndarray) -> np.ndarray:
    """Whether each cell is distinguished from the best mean [studies, cells], as `differences_from_best` does it."""
    effects = y @ design.weights.T
    contrasts = design.weights[:, None] - design.weights
    norms = np.linalg.norm(contrasts, axis=2)[np.argmax(effects, axis=1)]
    return (
        effects.max(axis=1)[:, None] - effects
        > tukey(len(design.weights), design.df) * design.sigma(y)[:, None] * norms
    )


@pytest.mark.parametrize("name", [*DESIGNS, WITH_HOLES, UNEQUAL, HEAVY])
def test_equal_cells_are_said_to_be_not_told_apart(measured: Measured, name: str) -> None:
    design, y, _, _ = studies(name)
    found = from_best(design, y).any(axis=1)
    (measured.tell if name in ASSUMED else measured.size)("any of equal cells told from the best (Tukey)", name, found)


@pytest.mark.parametrize("name", DESIGNS)
def test_the_true_best_is_among_those_that_may_be(measured: Measured, name: str) -> None:
    cells = DESIGNS[name][0]
    design, y, _, _ = studies(name, np.linspace(0, 2, cells))
    excluded = from_best(design, y)
    measured.coverage("the best cell is among those that may be as good", f"{name}, effects 0 to 2 σ", ~excluded[:, -1])
    measured.tell("the worst is told from the best", f"{name}, effects 0 to 2 σ", excluded[:, 0])


def test_all_pairs_have_their_differences_within_the_intervals(measured: Measured) -> None:
    for name in DESIGNS:
        design, y, _, _ = studies(name)
        pairs = np.array(list(itertools.combinations(range(len(design.weights)), 2)))
        t, _ = largest_t(design, y, pairs)
        held = (t <= tukey(len(design.weights), design.df)).all(axis=1)
        measured.coverage("all differences between cells together (Tukey)", name, held)


@pytest.mark.parametrize("name", [*DESIGNS, UNEQUAL])
def test_a_cell_with_more_noise_is_noticed(measured: Measured, name: str) -> None:
    design, y, _, cells = studies(name)
    draw = np.random.default_rng(1)
    noticed = np.array([unequal_noise(design, cells, of, generator=draw) for of in y[:STUDIES]]) <= 0.01
    if name == UNEQUAL:
        measured.tell("more noise in some cells is noticed", name, noticed)
    else:
        measured.size("more noise in some cells is noticed", f"{name}, equal noise", noticed, promised=0.01)

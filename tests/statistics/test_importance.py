"""Effects told from chance among parameters of grids and of random searches, and responses to one of them."""

import itertools

import numpy as np
import pandas as pd
import pytest

from study.analysis.importance import response_curve, search_p_values
from study.analysis.paired import detectable_by
from study.analysis.variance import LEVEL, design_of, holm, permutation_p_values
from tests.statistics.measured import STUDIES, Measured

PARAMETERS = ["k", "strategy"]
LINEAR, STEP, PEAK = (np.array(of) for of in ([0, 2 / 3, 4 / 3, 2], [0, 0, 2, 2], [0, 2, 2, 0]))
BATCH = 50
"""Studies that share their permutations."""


def grid(seeds: int) -> pd.DataFrame:
    rows = itertools.product((16, 64, 256, 1024), ("all", "hard"), range(seeds))
    return pd.DataFrame(rows, columns=["k", "strategy", "seed"])


def found(frame: pd.DataFrame, effect: np.ndarray | float, seed: int) -> np.ndarray:
    """[studies, 3]: whether K, the strategy (adjusted) and the interactions (alone) are told from chance; σ = 1."""
    p = p_values(frame, effect, seed)
    return np.column_stack([holm(p[:, :2]), p[:, 2]]) <= LEVEL


def alone(frame: pd.DataFrame, effect: np.ndarray, seed: int) -> np.ndarray:
    """The same, none adjusted for the others."""
    return p_values(frame, effect, seed) <= LEVEL


def p_values(frame: pd.DataFrame, effect: np.ndarray | float, seed: int, sigma: np.ndarray | float = 1.0) -> np.ndarray:
    draw, design = np.random.default_rng(seed), design_of(frame, PARAMETERS)
    shared = 2 * draw.normal(size=(STUDIES, frame["seed"].nunique()))
    outcomes = effect + shared[:, frame["seed"]] + sigma * draw.normal(size=(STUDIES, len(frame)))
    batches = np.split(outcomes, STUDIES // BATCH)
    return np.concatenate([permutation_p_values(batch, design, generator=draw) for batch in batches])


def of_k(frame: pd.DataFrame, means: np.ndarray) -> np.ndarray:
    return means[np.unique(frame["k"], return_inverse=True)[1]]


@pytest.mark.parametrize("seeds", [2, 3])
def test_noise_of_a_grid(measured: Measured, seeds: int) -> None:
    told = found(grid(seeds), 0.0, seed=seeds)
    where = f"4 K × 2 strategies × {seeds} seeds, noise"
    measured.size("any parameter told from chance, by permutation (Holm)", where, told[:, :2].any(axis=1))
    measured.size("interactions told from chance", where, told[:, 2])


@pytest.mark.parametrize("seeds", [2, 3])
def test_noise_of_a_grid_in_which_some_cells_are_loud(measured: Measured, seeds: int) -> None:
    frame = grid(seeds)
    loud = frame.groupby(PARAMETERS, sort=False).ngroup().to_numpy() % 4 == 0
    p = p_values(frame, 0.0, seed=50 + seeds, sigma=np.where(loud, 3.0, 1.0))
    measured.tell(
        "any parameter told from chance, by permutation (Holm)",
        f"4 K × 2 strategies × {seeds} seeds, noise, every fourth cell with 3 times as much",
        (holm(p[:, :2]) <= LEVEL).any(axis=1),
    )


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_difference_of_two_sigma_between_two_values(measured: Measured, seeds: int) -> None:
    frame = grid(seeds)
    told = found(frame, 2.0 * (frame["strategy"] == "hard").to_numpy(), seed=10 + seeds)
    where = f"4 K × 2 strategies × {seeds} seeds, strategies differ by 2 σ"
    measured.power("a parameter of two values is found", where, told[:, 1])
    measured.size("the other parameter is found", where, told[:, 0])


@pytest.mark.parametrize("seeds", [2, 3])
def test_what_the_plan_says_of_parameters_is_found(measured: Measured, seeds: int) -> None:
    frame, (_, halves, ends) = grid(seeds), detectable_by(8, seeds)
    where = f"4 K × 2 strategies × {seeds} seeds"
    two = alone(frame, halves * (frame["strategy"] == "hard").to_numpy(), seed=30 + seeds)
    measured.power("the plan's difference between two halves is found", f"{where}, {halves:.1f} σ", two[:, 1])
    four = alone(frame, of_k(frame, ends / 2 * LINEAR), seed=40 + seeds)
    measured.power("the plan's difference from end to end is found", f"{where}, {ends:.1f} σ", four[:, 0])


@pytest.mark.parametrize(("name", "means"), [("linear in log K", LINEAR), ("a step", STEP), ("a peak", PEAK)])
@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_a_range_of_two_sigma_over_four_values(measured: Measured, seeds: int, name: str, means: np.ndarray) -> None:
    frame = grid(seeds)
    told = found(frame, of_k(frame, means), seed=20 + seeds)
    what, where = "a parameter of four values is found", f"4 K × 2 strategies × {seeds} seeds, {name}, range 2 σ"
    if seeds < 4:
        measured.tell(what, where, told[:, 0])
    else:
        measured.power(what, where, told[:, 0])
    measured.size("the other parameter is found", where, told[:, 1])


def search(count: int, draw: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({
        "lr": draw.uniform(size=count), "temperature": draw.uniform(size=count), "k": 2 ** draw.integers(4, 10, count),
        "strategy": draw.choice(["all", "hard", "easy"], count), "accuracy": draw.normal(size=count),
    })  # fmt: skip


@pytest.mark.parametrize("count", [16, 40])
def test_random_searches(measured: Measured, count: int) -> None:
    draw, names = np.random.default_rng(count), ["lr", "temperature", "k", "strategy"]

    def told(effect: bool) -> np.ndarray:
        """[studies, parameters]: told from chance, with or without an optimum at a temperature of a half."""
        p = []
        for _ in range(STUDIES):
            cells = search(count, draw)
            cells["accuracy"] -= effect * 12 * (cells["temperature"] - 0.5) ** 2
            p.append(search_p_values(cells, names, "accuracy", generator=draw, permutations=199))
        return holm(np.array(p)) <= LEVEL

    where = f"{count} cells, 4 parameters"
    measured.size(
        "any parameter of a random search told from chance (Holm)", f"{where}, noise", told(False).any(axis=1)
    )
    optimum = told(True)
    where += ", an optimum of 3 σ at a temperature"
    measured.tell("a parameter of a random search is found", where, optimum[:, 1])
    measured.size("another parameter is found", where, optimum[:, [0, 2, 3]].any(axis=1))


def test_responses_over_seeds_and_over_cells(measured: Measured) -> None:
    draw, frame, held = np.random.default_rng(0), grid(3), []
    strategy = (frame["strategy"] == "hard").to_numpy()
    for _ in range(STUDIES):
        seeds = draw.normal(size=3)[frame["seed"]]
        y = of_k(frame, LINEAR) + strategy + seeds + draw.normal(size=len(frame))
        curve = response_curve(frame.assign(accuracy=y), PARAMETERS, "k", "accuracy")
        held.append(((curve["low"] <= LINEAR + 0.5) & (curve["high"] >= LINEAR + 0.5)).to_numpy())
    measured.coverage("mean at a value of a parameter, over seeds", "4 K × 2 strategies × 3 seeds", held)
    held = []
    for _ in range(STUDIES):
        cells = search(40, draw).assign(seed=0)
        curve = response_curve(cells, ["k", "strategy", "lr"], "strategy", "accuracy")
        held.append(((curve["low"] <= 0) & (curve["high"] >= 0)).to_numpy())
    measured.coverage("mean at a value of a parameter, over cells", "random search of 40 cells", held)

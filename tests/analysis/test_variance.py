"""Variance components: by hand, by another route, and how often the test errs on simulated studies."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study.analysis.variance import (
    CHANCE,
    FOUND,
    LEVEL,
    TOO_FEW,
    design_of,
    holm,
    is_grid,
    omega_squared,
    permutation_p_values,
    variance_components,
)

PARAMETERS = ["k", "strategy"]


def grid(seeds: int = 2, ks: int = 4, strategies: int = 2) -> pd.DataFrame:
    rows = itertools.product([2.0 ** (4 + i) for i in range(ks)], ["all", "hard", "easy"][:strategies], range(seeds))
    return pd.DataFrame(rows, columns=["k", "strategy", "seed"])


def rejected(effect: np.ndarray, studies: int, *, generator: np.random.Generator) -> np.ndarray:
    """(studies, 2): whether K and strategy are told from chance; noise and blocks have standard deviation 1."""
    frame = grid()
    design = design_of(frame, PARAMETERS)
    blocks = generator.normal(size=(studies, 2))[:, frame["seed"]]
    outcomes = effect + blocks + generator.normal(size=(studies, len(frame)))
    batches = np.split(outcomes, studies // 50)  # each its own permutations, whose luck would be shared otherwise
    p = np.concatenate([permutation_p_values(batch, design, generator=generator) for batch in batches])
    return holm(p[:, :2]) <= LEVEL


def test_shares_are_those_of_the_table_of_the_analysis_of_variance():
    frame = grid(seeds=3)
    y = np.random.default_rng(0).normal(size=len(frame)) + np.log2(frame["k"]) + frame["seed"]
    frame["accuracy"] = y
    found = variance_components(frame, PARAMETERS, "accuracy", generator=np.random.default_rng(0))
    found = found.set_index("parameter")

    def squares(*names: str) -> float:
        return ((y.groupby([frame[name] for name in names]).transform("mean") - y.mean()) ** 2).sum()

    total = ((y - y.mean()) ** 2).sum()
    of = {"k": squares("k"), "strategy": squares("strategy"), "seed": squares("seed")}
    of["interactions"] = squares("k", "strategy") - of["k"] - of["strategy"]
    df = {"k": 3, "strategy": 1, "interactions": 3, "seed": 2}
    residual = (total - sum(of.values())) / 14
    for name, degrees in df.items():
        share = max(0, (of[name] - degrees * residual) / (total + residual))
        assert found.loc[name, "share"] == pytest.approx(share), name
        assert found.loc[name, "df"] == degrees
    assert found["df"]["unexplained"] == 14
    assert found["share"].sum() == pytest.approx(1)


def test_p_values_approach_those_of_the_f_distribution():
    frame = grid(seeds=6)
    y = np.random.default_rng(4).normal(size=len(frame)) + 0.35 * (frame["strategy"] == "hard").to_numpy()
    design = design_of(frame, PARAMETERS)
    alone = design._replace(trends={})
    p = permutation_p_values(y, alone, generator=np.random.default_rng(0), permutations=4999)
    bases = [*design.effects.values(), design.others["interactions"]]
    residual = ((y @ design.residual) ** 2).mean()
    f = [((y @ basis) ** 2).mean() / residual for basis in bases]
    tails = [stats.f.sf(x, basis.shape[1], design.residual.shape[1]) for x, basis in zip(f, bases, strict=True)]
    assert p == pytest.approx(tails, abs=0.025)


def test_what_rises_with_k_is_found_by_its_trend_and_what_peaks_by_the_f_test():
    frame = grid(seeds=3)
    design, draw = design_of(frame, PARAMETERS), np.random.default_rng(0)
    assert list(design.trends) == ["k"]
    of_k = pd.Series(design.trends["k"][:, 0]).groupby(frame["k"]).mean()
    assert np.diff(of_k) == pytest.approx([np.ptp(of_k) / 3] * 3)  # equal steps
    rising, peaking = (np.array(means)[np.log2(frame["k"]).astype(int) - 4] for means in ([0, 1, 2, 3], [0, 3, 3, 0]))
    noise = draw.normal(size=(20, len(frame)))
    for effect, better in ((0.7 * rising, np.less), (0.7 * peaking, np.greater)):
        both, by_f = (
            permutation_p_values(effect + noise, of, generator=np.random.default_rng(1), permutations=199)[:, 0]
            for of in (design, design._replace(trends={}))
        )
        assert better(np.median(both), np.median(by_f))
        assert np.median(both) < 0.05


def test_holm_multiplies_the_smallest_by_their_number_and_keeps_the_order():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([[0.5, 0.9], [0.9, 0.01]])) == pytest.approx(np.array([[1, 1], [0.9, 0.02]]))


def test_what_moves_the_metric_is_found_and_the_rest_is_not():
    frame = grid()
    noise = np.random.default_rng(1).normal(size=len(frame))
    frame["accuracy"] = 4 * (frame["strategy"] == "hard") + 3 * frame["seed"] + noise
    table = variance_components(frame, PARAMETERS, "accuracy", generator=np.random.default_rng(0))
    assert table["parameter"].tolist() == ["strategy", "k", "interactions", "seed", "unexplained"]
    assert table["verdict"].tolist() == [FOUND, CHANCE, CHANCE, "", ""]
    again = variance_components(frame, PARAMETERS, "accuracy", generator=np.random.default_rng(0))
    pd.testing.assert_frame_equal(table, again)


def test_a_grid_with_holes_gives_each_parameter_what_only_it_explains():
    frame = grid(seeds=3).drop(index=[0, 7, 8])
    effects = np.log2(frame["k"]) + 2 * (frame["strategy"] == "hard")
    frame["accuracy"] = effects + frame["seed"] + 0.1 * np.random.default_rng(1).normal(size=len(frame))
    assert is_grid(frame, PARAMETERS, "accuracy")
    table = variance_components(frame, PARAMETERS, "accuracy", generator=np.random.default_rng(0))
    assert table["verdict"].tolist()[:2] == [FOUND, FOUND]
    design = design_of(frame, PARAMETERS)
    assert np.abs(design.effects["k"].T @ (frame["strategy"] == "hard").to_numpy(float)).max() < 1e-9


def test_one_seed_is_tested_against_what_parameters_explain_together():
    design = design_of(grid(seeds=1), PARAMETERS)
    assert design.residual.shape[1] == 3
    assert not design.others


def test_a_design_in_which_nothing_could_be_found_says_so():
    frame = grid(ks=2, strategies=1).assign(accuracy=[0.0, 0.1, 9.0, 9.2])
    table = variance_components(frame, PARAMETERS, "accuracy", generator=np.random.default_rng(0))
    assert table["verdict"][0] == TOO_FEW
    assert table["p_value"][0] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (grid(seeds=1, strategies=1), "one cell more than terms"),
        (grid().assign(k=np.random.default_rng(0).permutation(16)).assign(strategy="all"), "one value per trial"),
        (grid(seeds=5).assign(k=np.random.default_rng(0).uniform(size=40)), "a range"),
        (grid().assign(strategy=lambda f: f["k"].astype(str)), "two parameters that vary as one"),
        (grid().assign(seed=range(16)), "no two trials of a seed"),
    ],
)  # fmt: skip
def test_what_is_no_grid_is_refused(frame, why):
    frame = frame.assign(accuracy=np.random.default_rng(0).normal(size=len(frame)))
    assert not is_grid(frame, PARAMETERS, "accuracy"), why
    with pytest.raises(ValueError, match="take `importance` for a random search"):
        variance_components(frame, PARAMETERS, "accuracy", generator=np.random.default_rng(0))


def test_a_constant_metric_has_nothing_to_explain():
    with pytest.raises(ValueError, match=r"accuracy is 0\.5 in every trial"):
        variance_components(grid().assign(accuracy=0.5), PARAMETERS, "accuracy", generator=np.random.default_rng(0))


def test_shares_of_noise_are_zero_on_average_before_the_floor():
    design = design_of(grid(), PARAMETERS)
    outcomes = np.random.default_rng(0).normal(size=(4000, 16))
    whole = design._replace(others={})
    assert omega_squared(outcomes, whole).mean(axis=0) == pytest.approx([0.05, 0.03], abs=0.03)


EFFECTS = {
    "strategy by 2": (2.0 * (grid()["strategy"] == "hard"), 1),
    "strategy by 10": (10.0 * (grid()["strategy"] == "hard"), 1),
    "K by 10": (10.0 * (grid()["k"] > 32), 0),
}

STUDIES = 200


def at_most(rate: float, studies: int) -> float:
    """Three standard errors of a simulated rate above it."""
    return rate + 3 * np.sqrt(rate * (1 - rate) / studies)


def test_pure_noise_is_told_from_chance_in_one_study_in_twenty():
    found = rejected(np.zeros(16), STUDIES, generator=np.random.default_rng(0))
    assert found.any(axis=1).mean() <= at_most(LEVEL, STUDIES)


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_of_two_standard_deviations_is_found_and_the_other_parameter_is_not(name):
    effect, at = EFFECTS[name]
    found = rejected(effect.to_numpy(), STUDIES, generator=np.random.default_rng(1)).mean(axis=0)
    assert found[at] >= 0.8
    assert found[1 - at] <= at_most(LEVEL, STUDIES)

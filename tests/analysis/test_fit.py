"""Fits against synthetic truth: losses made from each bound with known L_sup, L_sub, d and noise."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls

from study.analysis.fit import fit_bound
from study.analysis.least_squares import corrected_akaike, nonnegative_least_squares, null_space
from study.bounds import BOUNDS

TRUTH = {"L_sup": 1.5, "L_sub": 1.2, "d": -0.8}
KS = (8, 16, 32, 64, 128, 256)


def losses(bound: str, rng: np.random.Generator, *, ks=KS, seeds=5, noise=0.01, shared=0.0, classes=10) -> pd.DataFrame:
    """A table of trials; `shared` is noise that all trials of one seed have in common."""
    curve = BOUNDS[bound]().curve(np.array(ks), classes, 0.5)
    truth = curve.sup * TRUTH["L_sup"] + curve.sub * TRUTH["L_sub"] + curve.gap * TRUTH["d"] + curve.constant
    offset = shared * rng.normal(size=seeds)
    return pd.DataFrame(
        {"k": k, "seed": s, "temperature": 0.5, "contrastive_loss": v + offset[s] + noise * rng.normal(), "gap": -0.8}
        for s in range(seeds)
        for k, v in zip(ks, truth, strict=True)
    )


def fit_one(frame, bound, *, seed=0, **options):
    options = {"priors": 10, "fixed": {"d": "gap"}} | options
    return fit_bound(frame, bound, generator=np.random.default_rng(seed), **options)[0]


@pytest.mark.parametrize("bound", BOUNDS.names())
@pytest.mark.parametrize("fixed", [{"d": "gap"}, {"d": -0.8}])
def test_noiseless_losses_give_the_truth_back(bound, fixed):
    fit = fit_one(losses(bound, np.random.default_rng(0), noise=0.0), bound, fixed=fixed)
    assert {p.name: p.value for p in fit.parameters} == pytest.approx(
        {name: TRUTH[name] for name in BOUNDS[bound].parameters if name != "d"}, rel=1e-6
    )
    assert fit.rmse < 1e-9
    assert fit.r2 == pytest.approx(1)
    assert fit.leave_one_k_out < 1e-6


@pytest.mark.parametrize(("bound", "tied"), [("nozawa2021", {"L_sup", "L_sub", "d"}), ("bao2021", {"L_sup", "d"})])
def test_unknowns_that_only_appear_together_are_said_to_be_unidentified(bound, tied):
    """½υ L_sup + ½(1−υ) L_sub + d: any change of d is undone by the two others."""
    fit = fit_one(losses(bound, np.random.default_rng(0)), bound, fixed={})
    assert {p.name for p in fit.parameters if not p.identified} == tied
    assert all(np.isnan([p.value, p.low, p.high]).all() for p in fit.parameters)
    assert "not identified" in str(fit)
    assert fit.rmse < 0.02  # the curve itself is determined
    assert (
        np.ptp(fit.curve(KS)["value"] - losses(bound, np.random.default_rng(0), noise=0)["contrastive_loss"][:6]) < 0.02
    )


def test_where_all_classes_are_always_present_only_their_loss_is_identified():
    fit = fit_one(losses("nozawa2021", np.random.default_rng(0), ks=(1024, 2048, 4096)), "nozawa2021")
    assert {p.name: p.identified for p in fit.parameters} == {"L_sup": True, "L_sub": False}


def test_arora_does_not_identify_the_loss_at_large_k():
    fit = fit_one(losses("arora2019", np.random.default_rng(0), ks=(512, 1024, 2048)), "arora2019", fixed={})
    assert {p.name: p.identified for p in fit.parameters} == {"L_sup": False, "L_sub": False, "d": True}


def coverage_of_intervals(bound: str, repetitions: int, *, known=("d",), **noise: float) -> dict[str, float]:
    rng, hits, fixed = np.random.default_rng(7), {}, {"d": "gap"} if known else {}
    for _ in range(repetitions):
        fit = fit_bound(losses(bound, rng, **noise), bound, priors=10, generator=rng, fixed=fixed, resamples=300)[0]
        for p in fit.parameters:
            hits.setdefault(p.name, []).append(p.low <= TRUTH[p.name] <= p.high)
    return {name: float(np.mean(hit)) for name, hit in hits.items()}


@pytest.mark.parametrize("bound", BOUNDS.names())
def test_intervals_cover_the_truth_in_most_repetitions(bound):
    """40 repetitions: a 95 % interval covers 33 of them but once in 10,000 runs."""
    for name, share in coverage_of_intervals(bound, 40, noise=0.005).items():
        assert share >= 0.825, name


@pytest.mark.slow
@pytest.mark.parametrize("noise", [{"noise": 0.005}, {"noise": 0.003, "shared": 0.01}])
@pytest.mark.parametrize("bound", BOUNDS.names())
def test_intervals_cover_the_truth_in_93_to_97_percent_of_400_repetitions(bound, noise):
    for name, share in coverage_of_intervals(bound, 400, **noise).items():
        assert 0.93 <= share <= 0.97, name


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["arora2019", "ash2021"])
def test_intervals_cover_the_truth_also_where_d_is_fitted_too(bound):
    """The bounds whose curves determine every unknown; 1,600 repetitions: the share's own error is 0.5 %."""
    covered = coverage_of_intervals(bound, 1_600, known=(), noise=0.005)
    assert set(covered) == set(BOUNDS[bound].parameters)
    for name, share in covered.items():
        assert 0.93 <= share <= 0.97, name


def test_unknowns_stay_physical():
    frame = losses("nozawa2021", np.random.default_rng(0))
    frame["contrastive_loss"] -= 1.5  # below what any L_sup ≥ 0 explains
    fit = fit_one(frame, "nozawa2021")
    assert all(p.value >= 0 and p.low >= 0 for p in fit.parameters)
    assert any("at its physical limit 0" in note for note in fit.notes)


def test_the_fitted_curve_covers_what_was_observed_and_widens_with_noise():
    quiet, loud = (
        fit_one(losses("nozawa2021", np.random.default_rng(1), noise=n), "nozawa2021").curve([20, 100])
        for n in (0.005, 0.05)
    )
    assert (quiet["low"] < quiet["value"]).all()
    assert ((loud["high"] - loud["low"]) > 3 * (quiet["high"] - quiet["low"])).all()


def test_groups_are_fitted_apart():
    first, second = (
        losses("nozawa2021", np.random.default_rng(s)).assign(temperature=t) for s, t in ((0, 0.5), (1, 0.1))
    )
    second["contrastive_loss"] += 1
    fits = fit_bound(
        pd.concat([first, second]), "nozawa2021", priors=10, generator=np.random.default_rng(0), by=["temperature"]
    )
    assert [fit.group for fit in fits] == [{"temperature": 0.1}, {"temperature": 0.5}]
    assert fits[0].curve(32)["value"][0] == pytest.approx(fits[1].curve(32)["value"][0] + 1, abs=0.03)


def test_one_seed_has_no_interval_and_says_what_it_needs():
    fit = fit_one(losses("nozawa2021", np.random.default_rng(0), seeds=1), "nozawa2021")
    assert all(np.isnan(p.low) and np.isfinite(p.value) for p in fit.parameters)
    assert str(fit).count("(no interval: it needs two seeds or more)") == len(fit.parameters)
    assert "nan" not in str(fit)


def test_a_fit_prints_what_it_found_what_was_given_and_what_is_missing():
    fit = fit_one(losses("nozawa2021", np.random.default_rng(0), ks=(16, 64)), "nozawa2021")
    assert repr(fit) == str(fit)
    assert "nozawa2021: 10 trials, 5 seeds, K = 16, 64" in str(fit)
    assert "d = -0.8 (given)" in str(fit)
    assert "2 values of K and 2 free unknowns: the curve passes through the means" in str(fit)
    assert "nan" not in str(fit)


def test_an_unfinished_trial_is_left_out():
    frame = losses("nozawa2021", np.random.default_rng(0))
    frame.loc[3, "contrastive_loss"] = np.nan
    assert fit_one(frame, "nozawa2021").trials == 29


def test_a_fit_is_written_as_json():
    loaded = json.loads(json.dumps(fit_one(losses("arora2019", np.random.default_rng(0)), "arora2019").as_dict()))
    assert loaded["parameters"]["L_sub"]["low"] < 1.2 < loaded["parameters"]["L_sub"]["high"]
    assert loaded["parameters"]["L_sub"]["identified"] is True
    assert loaded["given"] == pytest.approx({"d": -0.8})
    assert loaded["ks"] == list(KS)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda f: f[f["k"] == 32], r"at least two values of K, but the table has \[.*32.*\]"),
        (lambda f: f.assign(temperature=np.where(f["k"] > 32, 0.1, 0.5)), "mix temperatures"),
        (lambda f: f.drop(columns="seed"), r"lacks the columns \['seed'\]"),
        (lambda f: f.drop(columns="gap"), "column 'gap', which the table lacks"),
    ],
)
def test_tables_that_cannot_be_fitted_are_refused_with_what_is_missing(change, rule):
    with pytest.raises(ValueError, match=rule):
        fit_one(change(losses("nozawa2021", np.random.default_rng(0))), "nozawa2021")


def test_unknown_names_are_refused():
    frame = losses("bao2021", np.random.default_rng(0))
    with pytest.raises(ValueError, match="has the unknowns"):
        fit_one(frame, "bao2021", fixed={"L_sub": 1.0})
    with pytest.raises(ValueError, match="did you mean 'bao2021'"):
        fit_one(frame, "bao2022")


def test_nonnegative_least_squares_agree_with_scipy():
    rng = np.random.default_rng(0)
    for _ in range(50):
        design, target = rng.normal(size=(8, 3)), rng.normal(size=8)
        ours = nonnegative_least_squares((design.T @ design)[None], (design.T @ target)[None])[0]
        np.testing.assert_allclose(ours, nnls(design, target)[0], atol=1e-9)


def test_dependent_columns_are_found_and_the_others_are_not():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6))
    rank, loose = null_space(np.column_stack([a, b, 2 * a]))
    assert rank == 2
    assert loose.tolist() == [True, False, True]


def test_corrected_akaike_follows_its_formula_and_is_infinite_with_too_few_trials():
    assert corrected_akaike(2.0, 10, 3) == pytest.approx(10 * np.log(0.2) + 6 + 24 / 6)
    assert corrected_akaike(2.0, 4, 3) == np.inf

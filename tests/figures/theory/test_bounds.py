"""The theory figures' numbers without a renderer, and that each can be drawn."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from study.analysis.fit import fit_bound
from study.figures import FIGURES
from study.figures.theory.bounds import bounds_info
from study.figures.theory.fit import fit_info
from study.figures.theory.groups import Panel
from study.figures.theory.slack import slack_info
from tests.analysis.test_fit import KS, losses


def trials() -> pd.DataFrame:
    frame = losses("arora2019", np.random.default_rng(0), ks=(4, *KS))
    frame["contrastive_loss"] += 1.0  # so that the closed forms, which take d = 0, are positive
    return frame.assign(linear=0.5 + 0.01 * np.log2(frame["k"]))


def test_bounds_that_do_not_exist_are_left_out_of_the_line_and_named():
    info = bounds_info(trials(), priors=10, accuracies=["linear"], bounds=["arora2019", "nozawa2021"])
    arora, nozawa = info.bounds
    assert (arora.label, nozawa.label) == ("arora2019", "nozawa2021")
    assert nozawa.x == tuple(k for k in KS if k + 1 >= 10)
    missing = "none at K = 4, 8 (υ = 0: the 9 draws cannot contain all 10 classes)"
    assert info.absent == (f"arora2019: {missing}", f"nozawa2021: {missing}")
    assert arora.mean[-1] > 1e6 > 10 > nozawa.mean[-1]
    assert info.accuracies[0].mean[0] == pytest.approx(0.52)


def test_a_bound_too_large_for_a_number_is_named_beside_those_that_do_not_exist():
    frame = losses("arora2019", np.random.default_rng(0), ks=(4, 64, 65_536))
    info = bounds_info(frame, priors=10, accuracies=[], bounds=["arora2019", "nozawa2021"])
    assert info.bounds[0].x == (64,)
    assert info.absent == (
        "arora2019: none at K = 4 (υ = 0: the 5 draws cannot contain all 10 classes)",
        "arora2019: none at K = 65536 (1 − τ or υ is 0 for these classes, or so small that it is beyond 1e308)",
        "nozawa2021: none at K = 4 (υ = 0: the 5 draws cannot contain all 10 classes)",
    )


def test_a_bound_has_the_same_colour_in_every_figure_also_where_it_is_not_registered():
    frame = trials()
    slack = pd.DataFrame({"k": [8, 16], "bound": ["nozawa2021", "mine2030"], "slack": 0.4})
    bounds, slacks = bounds_info(frame, priors=10, accuracies=["linear"]), slack_info(slack)
    drawn = []
    for name, info in (("bounds", bounds), ("slack", slacks)):
        axes = FIGURES[name]().draw((Panel("", info, ""),)).axes[0]
        drawn.append({one.get_label(): one.lines[0].get_color() for one in axes.containers})
    assert drawn[0]["nozawa2021"] == drawn[1]["nozawa2021"] != drawn[1]["mine2030"]


def test_lines_are_means_with_intervals_over_seeds():
    frame = trials()
    observed = fit_info(frame, []).observed
    at_16 = frame.loc[frame["k"] == 16, "contrastive_loss"]
    i = observed.x.index(16)
    assert observed.mean[i] == pytest.approx(at_16.mean())
    assert observed.high[i] - observed.mean[i] == pytest.approx(student.ppf(0.975, 4) * at_16.sem())


def test_fitted_losses_are_those_of_the_fits_at_the_measured_k_and_at_no_other():
    frame = trials()
    options = {"priors": 10, "generator": np.random.default_rng(0), "fixed": {"d": "gap"}, "resamples": 50}
    fits = [fit_bound(frame, name, **options)[0] for name in ("arora2019", "nozawa2021")]
    info = fit_info(frame, fits)
    assert [line.label for line in info.fitted] == ["arora2019", "nozawa2021"]
    assert info.fitted[1].x == info.observed.x == (4, *KS)
    assert info.fitted[1].mean == pytest.approx(list(fits[1].curve([4, *KS])["value"]))


def test_points_are_joined_by_straight_lines_between_neighbours_alone():
    info = bounds_info(trials(), priors=10, accuracies=["linear"])
    for axes in FIGURES["bounds"]().draw((Panel("", info, ""),)).axes:
        for container in axes.containers:
            line = container.lines[0]
            assert set(line.get_xdata()) <= {4, *KS}
            assert line.get_drawstyle() == "default"
            assert line.get_linewidth() < 1
        assert not axes.collections or all(type(one).__name__ == "LineCollection" for one in axes.collections)


def test_panels_share_their_scales():
    info = bounds_info(trials(), priors=10, accuracies=["linear"])
    higher = bounds_info(trials().assign(linear=0.9), priors=10, accuracies=["linear"])
    axes = FIGURES["bounds"]().draw((Panel("a", info, ""), Panel("b", higher, ""))).axes
    assert [one.get_title() for one in axes[:2]] == ["a", "b"]
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert axes[2].get_ylim() == axes[3].get_ylim()
    assert len({one.get_xlim() for one in axes}) == 1


def test_every_figure_can_be_drawn(tmp_path):
    frame = trials()
    fits = fit_bound(frame, "nozawa2021", priors=10, generator=np.random.default_rng(0), resamples=20)
    slack = pd.DataFrame({"k": [8, 16, 8, 16], "bound": ["arora2019", "arora2019", "bao2021", "bao2021"], "slack": 0.4})
    assert [line.label for line in slack_info(slack).slacks] == ["arora2019", "bao2021"]
    infos = {
        "bounds": bounds_info(frame, priors=10, accuracies=["linear"]),
        "slack": slack_info(slack),
        "fit": fit_info(frame, fits),
    }
    for name, info in infos.items():
        FIGURES[name]().draw((Panel("", info, ""),)).savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000

"""The figures of the theory from a study's results: which there are, and what is in them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from study.bounds import BOUNDS, Bound, Curve
from study.figures import FIGURES, Picture, Records
from study.results import Results
from study.storage.store import Store


def results(ks=(16, 64, 256), strategies=("all", "difficulty(hi=0.25)")) -> Results:
    draw, rows = np.random.default_rng(0), []
    for strategy in strategies:
        for k in ks:
            curve = BOUNDS["nozawa2021"]().curve(np.array([k]), 10, 0.5)
            for seed in (0, 1):
                loss = float((1.5 * curve.sup + 1.2 * curve.sub - curve.gap + curve.constant)[0])
                rows.append({
                    "trial_id": f"{strategy}{k}{seed}", "status": "finished", "reason": None, "seed": seed,
                    "class_counts": str([100] * 10), "k": k, "negatives": strategy, "seconds": 1.0, "train.k": k,
                    "train.temperature": 0.5, "bounds.gap": -1.0, "mean_classifier.top1": 50.0 + k / 100,
                    "bounds.contrastive_loss": loss + 0.002 * draw.normal(), "bounds.nozawa2021.slack": 0.3,
                    "bounds.nozawa2021.slack_se": 0.01,
                })  # fmt: skip
    return Results(pd.DataFrame(rows))


def pictures(kind: str, of: Results, profiles: dict | None = None) -> list[Picture]:
    records = Records(of, Store(Path("nowhere")))
    vars(records)["profiles"] = profiles or {}  # as if it were read from the store
    return list(FIGURES[kind]().of_study(records))


def panel(kind: str, of: Results, profiles: dict | None = None, place: int = 0) -> Any:
    """The info of one panel of the only picture."""
    (picture,) = pictures(kind, of, profiles)
    return picture.info[place].info


def test_each_curve_has_a_panel_of_bounds_with_accuracy_of_slack_and_of_fits() -> None:
    of = results(ks=(16, 32, 64, 256))
    for kind in ("bounds", "slack", "fit"):
        (picture,) = pictures(kind, of)
        assert picture.name == kind
        assert [one.title for one in picture.info] == ["negatives=all", "negatives=difficulty(hi=0.25)"]
    bounds, slack, fit = (panel(kind, of) for kind in ("bounds", "slack", "fit"))
    assert [curve.label for curve in bounds.bounds] == list(BOUNDS.names())
    assert bounds.accuracies[0].mean == pytest.approx([50.16, 50.32, 50.64, 52.56])
    assert slack.slacks[0].x == (16, 32, 64, 256)
    assert fit.fitted
    assert all(curve.x == (16, 32, 64, 256) for curve in fit.fitted)


def test_a_fit_with_fewer_k_than_unknowns_and_two_is_not_drawn_and_the_caption_says_why() -> None:
    (three,) = pictures("fit", results(ks=(16, 64, 256)))
    two_unknowns = [name for name in BOUNDS.names() if len(BOUNDS[name].parameters) == 3]  # d is measured
    drawn = [curve.label for curve in three.info[0].info.fitted]
    assert two_unknowns
    assert not set(two_unknowns) & set(drawn)
    assert three.info[0].info.observed.x == (16, 64, 256)
    for name in two_unknowns:
        assert f"{name} has 2 unknowns, and 3 K of the 4 that it needs" in three.caption or (
            f"{name} does not determine" in three.caption
        )
    (one,) = pictures("fit", results(ks=(16, 64)))
    assert one.info[0].info.fitted == ()


def test_trials_at_one_k_are_held_against_the_bounds_at_others() -> None:
    one = results(ks=(64,), strategies=("all",))
    profile = [
        {"k": k, "bound": name, "slack": 0.1 * k, "supervised_upper": 2.0 + k} for k in (4, 64) for name in BOUNDS
    ]
    profiles = {"all640": profile, "all641": profile}
    (bounds,), slack = pictures("bounds", one, profiles), panel("slack", one, profiles)
    assert pictures("fit", one, profiles) == []
    assert "trained at K = 64" in bounds.alt
    info = bounds.info[0].info
    nozawa = info.bounds[list(BOUNDS).index("nozawa2021")]
    assert (nozawa.x, nozawa.mean) == ((4, 64), (6.0, 66.0))
    assert info.accuracies[0].x == (64,)
    assert {curve.label for curve in slack.slacks} == set(BOUNDS.names())


def test_groups_are_in_order_of_their_values_and_the_caption_says_how_many_are_shown() -> None:
    strategies = [f"difficulty(hi={hi:g})" for hi in (1, 0.5, 0.25, 0.05, 0.005)]
    (shown,) = pictures("bounds", results(strategies=strategies))
    assert [one.title.partition("hi=")[2] for one in shown.info] == ["0.005)", "0.05)", "0.25)", "0.5)"]
    assert "4 of 5 groups of trials shown" in shown.caption
    assert "shown" not in pictures("bounds", results())[0].caption


def test_results_without_losses_have_no_figures() -> None:
    with pytest.raises(ValueError, match="no finished trial has a contrastive loss"):
        pictures("bounds", Results(results().frame.assign(status="failed")))


@pytest.fixture
def half_of_the_loss() -> Iterator[str]:
    """A user's bound, registered by one decorator: L_cont ≥ ½ L_sup."""

    @BOUNDS.register("half2030")
    class Half(Bound):
        """L_cont ≥ ½ L_sup."""

        assumptions = "none that are known"
        parameters = ("L_sup",)

        def contrastive_lower(self, terms):
            return terms.supervised_loss / 2

        def supervised_upper(self, terms):
            return 2 * terms.contrastive_loss

        def closed(self, k, priors, temperature):
            return np.full(np.shape(k), 0.5), np.zeros(np.shape(k))

        def curve(self, k, priors, temperature):
            half, none = np.full(len(k), 0.5), np.zeros(len(k))
            return Curve(half, none, none, none)

        def nonexistent(self, k, classes):
            return ""

    yield "half2030"
    del BOUNDS._entries["half2030"], BOUNDS._traits["half2030"]


def test_a_users_bound_is_in_every_figure_of_the_theory(half_of_the_loss: str) -> None:
    of = results(strategies=("all",))
    of.frame["bounds.supervised_loss"] = 1.0
    losses = of.frame.groupby("k")["bounds.contrastive_loss"].mean()
    bounds, slack, fit = (panel(kind, of) for kind in ("bounds", "slack", "fit"))
    upper = {curve.label: curve for curve in bounds.bounds}[half_of_the_loss]
    assert upper.mean == pytest.approx(2 * losses.to_numpy())
    below = {curve.label: curve for curve in slack.slacks}[half_of_the_loss]
    assert below.mean == pytest.approx(losses.to_numpy() - 0.5)
    fitted = {curve.label: curve for curve in fit.fitted}[half_of_the_loss]
    assert fitted.mean == pytest.approx([losses.mean()] * len(fitted.x))
    assert all(half_of_the_loss in pictures(kind, of)[0].alt for kind in ("bounds", "slack", "fit"))


def test_a_bound_that_no_worker_knew_is_held_against_the_loss_at_each_k_of_the_profile(half_of_the_loss: str) -> None:
    one = results(ks=(64,), strategies=("all",))
    profile = [
        {"k": k, "bound": "bao2021", "slack": 1.0, "contrastive_lower": k / 16, "supervised_upper": 2.0}
        for k in (16, 64)
    ]
    bounds = panel("bounds", one, {"all640": profile, "all641": profile})
    upper = {curve.label: curve for curve in bounds.bounds}[half_of_the_loss]
    assert upper.mean == pytest.approx([2 * 2.0, 2 * 5.0])  # twice L_cont, which is the lower bound and its slack

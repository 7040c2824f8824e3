"""The figures of the field from a study's results: which there are, and what is in them."""

import numpy as np
import pandas as pd
import pytest

from study.analysis.bound_figures import BoundsInfo, FitInfo, SlackInfo
from study.bounds import BOUNDS
from study.report.figures.theory import draw_theory, theory_figures
from study.results import Results


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


def test_each_curve_has_bounds_with_accuracy_slack_and_fits():
    figures = theory_figures(results(), {})
    assert [figure.name for figure in figures[:3]] == [
        "bounds.negatives=all",
        "slack.negatives=all",
        "fit.negatives=all",
    ]
    assert [type(figure.info) for figure in figures] == [BoundsInfo, SlackInfo, FitInfo] * 2
    bounds, slack, fit = (figure.info for figure in figures[:3])
    assert [line.label for line in bounds.bounds] == ["arora2019", "nozawa2021"]
    assert bounds.accuracies[0].value == pytest.approx([50.16, 50.64, 52.56])
    assert slack.slacks[0].k == [16, 64, 256]
    assert [line.label for line in fit.fitted] == list(BOUNDS.names())  # whichever explains it best is to be seen
    assert figures[5].name == "fit.negatives=difficulty_hi=0.25"


def test_trials_at_one_k_are_held_against_the_bounds_at_others():
    one = results(ks=(64,), strategies=("all",))
    profile = [
        {"k": k, "bound": name, "slack": 0.1 * k, "supervised_upper": 2.0 + k} for k in (4, 64) for name in BOUNDS
    ]
    figures = theory_figures(one, {"all640": profile, "all641": profile})
    assert [type(figure.info) for figure in figures] == [BoundsInfo, SlackInfo]
    assert "trained at K = 64" in figures[0].caption
    bounds, slack = (figure.info for figure in figures)
    assert (bounds.bounds[1].k, bounds.bounds[1].value) == ([4, 64], [6.0, 66.0])
    assert bounds.accuracies[0].k == [64]
    assert {line.label for line in slack.slacks} == set(BOUNDS.names())


def test_results_without_losses_have_no_figures():
    with pytest.raises(ValueError, match="no finished trial has a contrastive loss"):
        theory_figures(Results(results().frame.assign(status="failed")), {})


def test_figures_are_drawn_into_files_of_their_names(tmp_path):
    paths = draw_theory(theory_figures(results(strategies=("all",)), {}), tmp_path / "theory")
    assert [path.name for path in paths] == [f"{kind}.negatives=all.png" for kind in ("bounds", "slack", "fit")]
    assert all(path.stat().st_size > 5_000 for path in paths)

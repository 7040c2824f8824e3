"""Plots of a session: a study's figure by its name, and curves by epoch in axes of one's own."""

import math

import numpy as np
import pytest
import scipy.stats
from matplotlib.figure import Figure as Drawing

from models.registry import UnknownName
from study import plot, plot_curves
from study.results import Results
from study.storage.store import Store
from study.storage.trial_result import TrialResult

TOP1 = "linear.features.top1"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    store = Store.of("s", tmp_path_factory.mktemp("runs"))
    for k in (8, 64):
        for seed in (0, 1):
            trial = store.trial(f"k{k}s{seed}")
            trial.write_config({"config": {"k": k, "seed": seed, "epochs": 2}, "cell": {"k": k}, "seed": seed})
            for epoch in (1, 2):
                trial.append({"epoch": epoch, "time": 1.0, "metrics": {"train.loss": math.log(k) / epoch + seed}})
            metrics = {"train.loss": 1.0, TOP1: 50.0 + k / 8 + seed}
            trial.write_result(TrialResult(status="finished", metrics=metrics, seconds=9.0, started=1.0, ended=9.0))
    return Results.load(store)


def test_a_figure_is_drawn_by_its_own_name_or_by_that_of_its_picture(results: Results) -> None:
    for name in ("training_loss", "accuracy.k", "accuracy"):
        drawing = plot(results, name)
        assert isinstance(drawing, Drawing)
        assert drawing.axes[0].lines, name
    assert TOP1 in plot(results, "accuracy").get_supylabel()


def test_a_name_that_is_no_figure_and_a_figure_without_anything_to_show_are_told(results: Results) -> None:
    with pytest.raises(UnknownName, match=r"unknown figure 'acuracy\.k'; did you mean 'accuracy\.k'\?"):
        plot(results, "acuracy.k")
    with pytest.raises(ValueError, match=r"^bands has nothing to show of this study$"):
        plot(results, "bands")
    with pytest.raises(ValueError, match=r"^slack: no finished trial has a contrastive loss .* run the study first"):
        plot(results, "slack")
    with pytest.raises(ValueError, match="a table holds no figures"):
        plot(Results(results.frame), "training_loss")


def test_curves_are_the_means_over_seeds_with_students_band_in_the_axes_that_are_given(results: Results) -> None:
    mine = Drawing().subplots()
    axes = plot_curves(results, "train.loss", ax=mine)
    assert axes is mine
    assert [line.get_label() for line in axes.lines] == ["k=8", "k=64"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [math.log(8) + 0.5, math.log(8) / 2 + 0.5])
    low, high = scipy.stats.t.interval(0.95, 1, loc=math.log(8) + 0.5, scale=scipy.stats.sem([0.0, 1.0]))
    band = axes.collections[0].get_paths()[0].vertices
    first = band[band[:, 0] == 1][:, 1]
    np.testing.assert_allclose([first.min(), first.max()], [low, high])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "train.loss")


def test_curves_without_axes_make_a_figure_of_their_own(results: Results) -> None:
    assert isinstance(plot_curves(results).figure, Drawing)

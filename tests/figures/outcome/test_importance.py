"""The numbers of the figures on importance, and that they are drawn."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from study.analysis.variance import CHANCE, FOUND
from study.figures.outcome.importance import PALE, Importance, importance_info
from study.figures.outcome.response import Responses, ResponsesInfo, responses_info
from study.figures.records import Records
from study.results import Results

METRIC = "linear.features.top1"


def results(seeds: int = 2) -> Results:
    rows = [
        {
            "trial_id": f"{k}{strategy}{seed}", "status": "finished", "reason": None, "seed": seed,
            "class_counts": "[]", "k": k, "negatives": strategy, "seconds": 1.0,
            METRIC: 40 + math.log2(k) + seed + (strategy == "all"),
        }
        for k, strategy, seed in itertools.product((8, 32, 128), ("all", "difficulty(hi=0.25)"), range(seeds))
    ]  # fmt: skip
    return Results(pd.DataFrame(rows), "s", {METRIC: "max"})


def test_a_response_is_told_for_each_parameter_that_varies():
    k, negatives = responses_info(results(), METRIC).responses
    assert (k.curve.label, k.curve.x, k.names, k.over) == ("k", (8, 32, 128), (), "seeds")
    assert k.curve.mean == pytest.approx((44, 46, 48))
    assert (negatives.curve.x, negatives.names) == ((0, 1), ("all", "difficulty(hi=0.25)"))
    assert negatives.curve.n == (2, 2)
    half = [high - mean for high, mean in zip(negatives.curve.high, negatives.curve.mean, strict=True)]
    assert half == pytest.approx((12.706204736 / 2,) * 2)


def test_importance_of_results_is_of_the_studys_first_metric():
    info = importance_info(results().importance(), METRIC)
    assert info.parameters[0] == "k"
    assert info.parameters[2:] == ("interactions", "seed", "unexplained")
    assert sum(info.share) == pytest.approx(1)
    assert info.words[0].startswith(FOUND + " (p = 0.0")
    assert info.words[3:] == ("", "")
    assert all(math.isnan(low) for low in info.low)
    assert "999 permutations" in info.caption
    with pytest.raises(ValueError, match="only k varies"):
        Results(results().frame.query("seed == 0 and negatives == 'all'")).importance()


def test_the_caption_says_what_the_seeds_of_a_grid_find():
    """6 cells × 2 seeds: the t of 5 degrees of freedom, 2.57, is passed in 80 % of studies where an effect has 3.51
    standard errors, and a difference of two halves of 12 trials has an error of 2 σ / √12."""
    (picture,) = Importance().of_study(Records(results(), None))
    assert "of 6 cells × 2 seeds a difference of 2.0 σ between two halves of the cells is found" in picture.caption
    assert "or one of 3.0 σ from end to end of four values" in picture.caption
    (alone,) = Importance().of_study(Records(results(seeds=1), None))
    assert "σ between" not in alone.caption


def test_noise_is_said_not_to_be_told_from_chance():
    frame = results().frame.assign(**{METRIC: np.random.default_rng(0).normal(size=12)})
    info = importance_info(Results(frame, "s", {METRIC: "max"}).importance(), METRIC)
    assert all(words.startswith(CHANCE + " (p = ") for words in info.words[:2])
    drawn = Importance().draw(info).axes[0]
    assert [text.get_text() for text in drawn.texts] == list(info.words)
    assert {bar.get_facecolor()[:3] for bar in drawn.patches} == {to_rgb(PALE)}


def test_a_search_has_intervals_and_its_own_caption():
    table = pd.DataFrame({"parameter": ["lr", "width"], "share": [0.9, 0.1], "low": [0.8, 0.0], "high": [1.0, 0.2]})
    table = table.assign(p_adjusted=[0.02, 0.7], permutations=99, verdict=[FOUND, CHANCE])
    info = importance_info(table, METRIC)
    assert (info.low, info.high) == ((0.8, 0.0), (1.0, 0.2))
    assert "Functional ANOVA" in info.caption
    assert "99 permutations" in info.caption
    Importance().draw(info)


def test_figures_can_be_drawn_also_without_intervals():
    info = importance_info(results().importance(), METRIC)
    assert [text.get_text() for text in Importance().draw(info).axes[0].get_yticklabels()] == list(info.parameters)
    figure = Responses().draw(responses_info(results(seeds=1), METRIC))
    assert [axes.get_title() for axes in figure.axes] == [
        "k (intervals over seeds)",
        "negatives (intervals over seeds)",
    ]


def test_only_a_parameter_of_names_is_said_not_to_be_joined():
    named, numbers = (responses_info(results(), METRIC).responses[i] for i in (1, 0))
    assert "not joined" in ResponsesInfo(METRIC, (numbers, named)).caption
    assert "not joined" not in ResponsesInfo(METRIC, (numbers,)).caption


def test_wrong_names_are_refused_with_the_right_ones():
    with pytest.raises(ValueError, match="temperature does not vary in this study; choose one of k, negatives"):
        results().response("temperature")
    with pytest.raises(ValueError, match=r"no finished trial has the metric 'top1'; there are linear\.features\.top1"):
        results().importance("top1")

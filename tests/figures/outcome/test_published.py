"""Accuracies beside the published ones: where they may be, and what is said of it."""

import re
from pathlib import Path
from typing import Any

import pytest

from study.figures import Records
from study.figures.outcome.published import Published, published, published_info
from study.results import Results
from study.storage.store import Store
from study.storage.trial_result import TrialResult

LIKE_THEIRS = {
    "data": {"name": "cifar10", "train_size": 5000}, "encoder": {"name": "conv-small", "width": 16}, "epochs": 12,
    "method": {"name": "simclr", "k_counts": "instances"}, "objective": {"name": "nt_xent"}, "batch_size": 128,
    "negatives": {"name": "all"}, "temperature": {"name": "constant", "value": 0.5}, "optimizer": {"name": "sgd"},
}  # fmt: skip
FIGURE = Published()


def records(folder: Path, ks: tuple[int | None, ...] = (31, None), **changed: Any) -> Records:
    """Two seeds of each K, whose accuracies are 40 + K/10 + seed."""
    store = Store.of("mine", folder)
    for k in ks:
        for seed in (0, 1):
            trial, top1 = store.trial(f"k{k}s{seed}"), 40 + (k or 127) / 10 + seed
            config = LIKE_THEIRS | changed | {"k": k, "seed": seed}
            trial.write_config({"config": config, "cell": {"k": k}, "seed": seed})
            metrics = {"linear.embeddings.top1": top1, "linear.features.top1": top1}
            trial.write_result(TrialResult(status="finished", metrics=metrics, started=0.0, ended=1.0, seconds=1.0))
    return Records(Results.load(store), store)


def test_a_metric_is_held_beside_its_published_values_over_k(tmp_path: Path) -> None:
    info = published_info(records(tmp_path))
    assert info is not None
    (panel,) = info.panels  # linear.features was not published, mean_classifier not measured
    assert panel.metric == "linear.embeddings.top1"
    assert (panel.here.x, panel.here.n) == ((31, 127), (2, 2))  # K + 1 = the batch where K is the batch's
    assert panel.here.mean == pytest.approx((43.6, 53.2))
    assert panel.published.x == (31, 63, 127, 255, 511)
    assert panel.published.mean == pytest.approx((77.13, 79.70, 81.33, 82.85, 84.13))


def test_the_caption_says_what_differs_and_the_words_what_is_drawn(tmp_path: Path) -> None:
    (picture,) = FIGURE.of_study(records(tmp_path))
    assert "Nozawa & Sato 2021, arXiv 2102.06866, cifar10" in picture.caption
    assert "ResNet-18, all 50,000 images, 500 epochs" in picture.caption
    assert "conv-small(width=16), 5,000 images, 12 epochs, SGD" in picture.caption
    assert re.search(r"here: 43.6 at K = 31, .*; published: 77.13 at K = 31, 84.13 at K = 511", picture.alt)
    (axes,) = FIGURE.draw(picture.info).axes
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["published", "measured here"]


@pytest.mark.parametrize(
    "changed",
    [
        {"data": {"name": "shapes"}},
        {"temperature": {"name": "constant", "value": 0.2}},
        {"method": {"name": "simclr", "k_counts": "candidates"}},
        {"method": {"name": "moco"}},
        {"objective": {"name": "debiased"}},
        {"negatives": {"name": "uniform", "count": 4}},
    ],
)
def test_nothing_is_drawn_of_what_does_not_compare(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert published_info(records(tmp_path, **changed)) is None


def test_one_k_is_no_trend(tmp_path: Path) -> None:
    assert published_info(records(tmp_path, ks=(31,))) is None


def test_a_study_without_a_published_metric_has_no_figure(tmp_path: Path) -> None:
    full = records(tmp_path)
    fewer = Results(full.results.frame.drop(columns="linear.embeddings.top1"))
    assert published_info(Records(fewer, full.store)) is None


def test_every_row_says_where_it_is_from() -> None:
    assert {row["data"] for row in published()} == {"cifar10", "cifar100"}
    assert all("arXiv 2102.06866" in row["source"] and row["n"] == "3" for row in published())

"""Histograms of difficulty over epochs and cells."""

import json

import pytest

from study.figures.negatives.histograms import Histograms, histogram_info, summed


def table(same, near, far=(0, 0, 0, 4)):
    rows = [("same class", same), ("near classes", near), ("far classes", far)]
    return [
        {"pairs": name, "measure": "wup", "threshold": 0.4, "number": sum(counts), "counts": json.dumps(list(counts))}
        for name, counts in rows if sum(counts)
    ]  # fmt: skip


def test_epochs_come_in_their_order_and_the_last_measurement_is_the_last_epoch():
    tables = {
        "negatives.histogram.epoch_10": table((1, 1, 0, 2), (0, 2, 2, 0)),
        "negatives.histogram.epoch_2": table((0, 0, 0, 1), (0, 1, 0, 0)),
        "negatives.histogram": table((0, 0, 1, 3), (0, 3, 1, 0)),
    }
    meaning, *others = Histograms().of_trial(tables, [{"epoch": 11}, {"epoch": 12}])
    assert not others  # no pairs of queries
    assert [row.label for row in meaning.info.rows] == ["epoch 2", "epoch 10", "epoch 12"]
    assert meaning.info.edges == (-1, -0.5, 0, 0.5, 1)
    assert meaning.info.rows[1].shares == ((0.25, 0.25, 0, 0.5), (0, 0.5, 0.5, 0), (0, 0, 0, 1))
    assert meaning.info.rows[1].medians == pytest.approx((-0.25, -0.25, 0.75))
    assert "near: wup above 0.4, its mean over pairs of different classes" in meaning.caption
    assert "epoch 10: same class -0.25, near classes -0.25, far classes 0.75" in meaning.alt


def test_of_many_epochs_the_first_the_last_and_some_between_are_drawn():
    tables = {f"negatives.histogram.epoch_{i}": table((0, 0, 0, 1), (0, 1, 0, 0)) for i in range(1, 40)}
    tables["negatives.histogram"] = tables["negatives.histogram.epoch_1"]
    (picture,) = Histograms().of_trial(tables, [{"epoch": 40}])
    labels = [row.label for row in picture.info.rows]
    assert (len(labels), labels[0], labels[-1]) == (8, "epoch 1", "epoch 40")


def test_features_are_drawn_where_no_embeddings_were_measured():
    tables = {"negatives.features.histogram": table((0, 0, 0, 1), (0, 1, 0, 0))}
    assert len(list(Histograms().of_trial(tables, [{"epoch": 1}]))) == 1
    assert not list(Histograms().of_trial({}, [{"epoch": 1}]))


def test_seeds_are_counted_together():
    found = {
        row["pairs"]: row for row in summed([table((1, 0, 0, 1), (0, 1, 0, 0)), table((0, 0, 0, 3), (0, 2, 1, 0))])
    }
    assert json.loads(found["same class"]["counts"]) == [1, 0, 0, 4]
    assert json.loads(found["near classes"]["counts"]) == [0, 3, 1, 0]


def test_ends_where_hardly_any_pair_lies_are_left_out_of_the_drawing(tmp_path):
    info = histogram_info({"a": table((1, 0, 0, 0, 2000, 3000), (0, 0, 0, 0, 1, 1), (0, 0, 0, 0, 0, 1))}, "meaning")
    assert info is not None
    assert info.edges == pytest.approx((0, 1 / 3, 2 / 3, 1))
    Histograms().draw(info).savefig(tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 5000


def test_no_pair_of_a_family_is_no_picture():
    assert histogram_info({"a": table((0, 0, 0, 1), (0, 1, 0, 0))}, "queries") is None

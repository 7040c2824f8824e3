"""The contents of the figures of negatives, without a renderer, and that each can be drawn."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from study.figures.negatives.bands import Bands, band_info
from study.figures.negatives.class_maps import ClassMaps, map_info
from study.figures.negatives.consistency import Consistency, consistency_info
from study.figures.negatives.epochs import Epochs, epoch_info
from study.semantics import CLASS_MAPS, class_semantics, negative_statistics


def band_table(shift: float = 0.0) -> list[dict]:
    rows = [{"band": f"band{i}", "wup": 0.9 - 0.1 * i + shift, "wup_se": 0.01} for i in range(3)]
    return [*rows, {"band": "all", "wup": 0.6 + shift, "wup_se": 0.001}]


def test_bands_of_several_seeds_have_intervals_over_seeds() -> None:
    info = band_info({"uniform": [band_table(shift) for shift in (-0.1, 0.0, 0.1)]})
    assert info.bands == ("band0", "band1", "band2")
    assert info.chance == pytest.approx(0.6)
    (line,) = info.curves
    assert line.mean == pytest.approx((0.9, 0.8, 0.7))
    lo, hi = stats.t.interval(0.95, 2, loc=0.9, scale=0.1 / np.sqrt(3))
    assert (line.low[0], line.high[0]) == (pytest.approx(lo), pytest.approx(hi))


def test_bands_of_one_seed_have_intervals_over_queries() -> None:
    (line,) = band_info({"uniform": [band_table()]}).curves
    assert line.low[0] == pytest.approx(0.9 - 1.96 * 0.01)


def test_map_is_ordered_by_the_tree_and_names_few_classes() -> None:
    names = ("dog", "truck", "cat", "automobile")
    difficulty = np.arange(16.0).reshape(4, 4)
    info = map_info(difficulty, names, ("dog.n.01", "truck.n.01", "cat.n.01", "car.n.01"))
    order = [names.index(name) for _, name in info.ticks]
    assert [name for _, name in info.ticks] == ["automobile", "truck", "dog", "cat"]
    np.testing.assert_array_equal(info.values, difficulty[np.ix_(order, order)])
    assert info.borders == ()


@pytest.mark.parametrize(("dataset", "classes"), [("cifar100", 100), ("tiny_imagenet", 200), ("imagenet", 1000)])
def test_map_of_many_classes_names_groups_that_do_not_overlap(dataset: str, classes: int) -> None:
    synsets = [names[0] for names in CLASS_MAPS[dataset].values()]
    info = map_info(np.zeros((classes, classes)), list(CLASS_MAPS[dataset]), synsets)
    positions = np.array([at for at, _ in info.ticks])
    assert 8 <= len(positions) <= 24
    assert np.diff(positions).min() >= classes / 45
    assert positions.min() >= 0
    assert positions.max() <= classes - 1
    assert len(info.borders) < 24


def test_class_names_with_markup_are_shown_as_they_are() -> None:
    names = ("$\\frac$", "a $ b $ c", "<b>bold</b>", "x_1^2")
    drawing = ClassMaps().draw(map_info(np.eye(4), names))
    drawing.canvas.draw()
    axes = drawing.axes[0]
    assert [label.get_text().replace(r"\$", "$") for label in axes.get_xticklabels()] == list(names)


def test_map_without_synsets_keeps_the_order() -> None:
    info = map_info(np.eye(2), ("b", "a"))
    assert info.ticks == ((0.0, "b"), (1.0, "a"))


def test_epochs_that_all_seeds_have_are_averaged() -> None:
    info = epoch_info({"hard": [{0: 0.1, 1: 0.2, 2: 0.9}, {0: 0.3, 1: 0.4}]})
    (line,) = info.curves
    assert line.x == (0, 1)
    assert line.mean == pytest.approx((0.2, 0.3))
    assert line.low[0] < 0.2 < line.high[0]


def test_figures_are_drawn_from_the_statistics_of_a_trial(tmp_path) -> None:
    semantics = class_semantics(list(CLASS_MAPS["cifar10"]), dataset="cifar10", measures=("wup",))
    generator = np.random.default_rng(0)
    embeddings, labels = generator.normal(size=(300, 8)), generator.integers(0, 10, 300)
    found = negative_statistics(
        embeddings, embeddings, own=np.arange(300), query_labels=labels, pool_labels=labels, semantics=semantics
    )
    bands = band_info({"a": [found.tables["bands"]], "b": [found.tables["bands"]]})
    consistency = consistency_info(found.tables["consistency_histogram"])
    assert sum(consistency.observed) == 300
    drawn = {
        "bands": Bands().draw(bands),
        "map": ClassMaps().draw(map_info(found.difficulty, semantics.names, semantics.synsets)),
        "consistency": Consistency().draw(consistency),
        "epochs": Epochs().draw(epoch_info({"a": [{0: 0.1, 1: 0.2}]})),
    }
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_matplotlib_is_loaded_only_to_draw() -> None:
    heavy = "{'matplotlib', 'torch', 'ray', 'mlflow'}"
    code = f"import sys, study.figures; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"

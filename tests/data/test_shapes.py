import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from study.data.shapes import SHAPES, Shapes, paint

PAIRS = np.triu_indices(len(SHAPES), 1)


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points, axis=-1)[PAIRS]


def drawn(count: int, colour_semantics: float) -> np.ndarray:
    """Images [C, count, 32, 32, 3] in 0 … 1."""
    labels = np.repeat(np.arange(len(SHAPES)), count)
    images = paint(labels, colour_semantics, generator=np.random.default_rng(0))
    return images.reshape(len(SHAPES), count, 32, 32, 3) / 255


def test_the_classes_are_those_of_the_shared_table(shared: Path) -> None:
    table = json.loads((shared / "shapes20.json").read_text())["classes"]
    assert [(name, shape.synset) for name, shape in SHAPES.items()] == [(c["name"], c["synset"]) for c in table]


def test_semantic_colours_lie_as_far_apart_as_the_meanings(shared: Path) -> None:
    wup = np.array(json.loads((shared / "shapes20.json").read_text())["wup"])
    colours = np.array([shape.colour for shape in SHAPES.values()])
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert spearmanr(distances(colours), 1 - wup[PAIRS]).statistic > 0.97


@pytest.mark.parametrize(("weight", "least", "most"), [(0.0, -0.25, 0.25), (0.6, 0.7, 1.0)])
def test_looks_follow_meaning_by_the_weight(shared: Path, weight: float, least: float, most: float) -> None:
    """Spearman ρ over the class pairs of wup and the closeness of the classes' mean colours."""
    wup = np.array(json.loads((shared / "shapes20.json").read_text())["wup"])
    centre = drawn(80, weight)[:, :, 12:20, 12:20].mean(axis=(1, 2, 3))
    assert least < spearmanr(-distances(centre), wup[PAIRS]).statistic < most


def test_the_same_seed_draws_the_same_and_another_one_draws_others() -> None:
    small = {"train_size": 40, "test_size": 20}
    one, again, other = (Shapes(drawing_seed=seed, **small).decode() for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.train.inputs, again.train.inputs)
    assert not np.array_equal(one.train.inputs, other.train.inputs)
    assert not np.array_equal(one.train.inputs[:20], one.test.inputs)


def test_every_image_is_its_own() -> None:
    data = Shapes(train_size=200, test_size=100).decode()
    images = np.concatenate([data.train.inputs, data.test.inputs]).reshape(300, -1)
    assert len(np.unique(images, axis=0)) == 300


def test_every_shape_can_be_told_from_its_background() -> None:
    """The shape's colour differs from its background's by more than the noise, whatever they are."""
    images = drawn(60, 0.6)
    contrast = images.std(axis=(2, 3)).mean(axis=-1)
    assert contrast.min() > 0.05


def test_uniform_priors_make_balanced_splits() -> None:
    data = Shapes(train_size=400, test_size=100).decode()
    assert set(np.bincount(data.train.labels)) == {20}
    assert set(np.bincount(data.test.labels)) == {5}


def test_zipf_priors_are_met_in_both_splits() -> None:
    source = Shapes(train_size=600, test_size=300, class_priors=1.0)
    expected = 1 / np.arange(1, 21) / (1 / np.arange(1, 21)).sum()
    np.testing.assert_allclose(source.priors(), expected)
    data = source.decode()
    for split in (data.train, data.test):
        assert np.abs(np.bincount(split.labels) - expected * len(split)).max() <= 1


def test_priors_can_be_listed() -> None:
    weights = (20.0, *([1.0] * 19))
    counts = np.bincount(Shapes(train_size=390, test_size=39, class_priors=weights).decode().train.labels)
    assert list(counts) == [200] + [10] * 19
    np.testing.assert_array_equal(Shapes(class_priors=list(weights)).priors(), Shapes(class_priors=weights).priors())


@pytest.mark.parametrize("priors", ["zipf", 0, -1.0, float("nan"), (1.0, 2.0), (0.0,) * 20])
def test_impossible_priors_are_refused(priors: object) -> None:
    with pytest.raises(ValueError, match='class_priors must be "uniform", a Zipf exponent above 0, or 20 weights'):
        Shapes(class_priors=priors)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"train_size": 19}, r"train_size must be at least 20 \(one image per class\), not 19"),
        ({"test_size": 0}, r"test_size must be at least 1, not 0"),
        ({"colour_semantics": 1.2}, r"colour_semantics must lie between 0 and 1, not 1.2"),
        ({"clutter": 2}, r"clutter must lie between 0 and 1, not 2"),
        ({"turn": -0.1}, r"turn must lie between 0 and 1, not -0.1"),
        (
            {"classes": ("circle", "circle")},
            r"classes must be two or more different shapes, not \['circle', 'circle'\]",
        ),
        ({"classes": ("circle", "sqare")}, r"unknown shape 'sqare'; did you mean 'square'"),
        ({"classes": ("circle", "cube"), "class_priors": (1.0,) * 20}, "or 2 weights above 0"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shapes(**parameters)


def test_the_shape_is_known_without_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shapes, "decode", lambda self: pytest.fail("drawn"))
    shape = Shapes(train_size=10**6).shape()
    assert (shape.train, shape.test, shape.classes, shape.size) == (10**6, 1000, 20, (32, 32))


def test_outlines_stay_within_reach_of_the_frame() -> None:
    for name, shape in SHAPES.items():
        for parameter in (0.0, 0.5, 0.999):
            reach = max(np.abs(face.points).max() for face in shape.outline(parameter))
            assert 0.7 < reach < 1.15, name


def test_some_of_the_shapes_are_a_data_set_of_their_own() -> None:
    chosen = ("cube", "circle", "wave")
    source = Shapes(classes=chosen, train_size=9, test_size=6, validation_size=3)
    data = source.decode()
    assert (data.classes, source.shape().classes, data.train.labels.max()) == (chosen, 3, 2)
    assert data.notes["synsets"] == ["cube.n.01", "circle.n.01", "wave.n.07"]


def slanted(turn: float) -> float:
    """Of the edges of squares: Σ |∂x ∂y| over Σ ∂x² + ∂y², 0 where every edge is upright or level."""
    draw = {"shapes": (SHAPES["square"],), "generator": np.random.default_rng(0)}
    image = paint(np.zeros(100, dtype=int), 1.0, turn=turn, **draw).mean(axis=-1)
    down, right = np.diff(image, axis=1)[:, :, 1:], np.diff(image, axis=2)[:, 1:]
    return float(np.abs(down * right).sum() / (down**2 + right**2).sum())


def test_shapes_are_turned_by_as_much_as_is_asked() -> None:
    assert slanted(0.0) < 0.15 < 0.23 < slanted(1.0)


def test_a_background_is_as_mottled_as_is_asked() -> None:
    def spread(clutter: float) -> float:
        images = paint(np.arange(20), 0.6, clutter=clutter, generator=np.random.default_rng(0)) / 255
        return float(images[:, :4, :, :].std(axis=(1, 2)).mean())  # along the upper edge, which few shapes reach

    assert spread(0.0) < 0.7 * spread(0.12)

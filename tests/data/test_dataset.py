import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from study.data import DATASETS, Dataset, DataShape, DataSource, Split
from study.data.dataset import hold_out, proportional_counts, subset


def splits(train: int = 60, test: int = 20, classes: int = 3) -> tuple[Split, Split]:
    """Every image is filled with its own index, so that it can be recognised; test images with 200 and more."""

    def one(size: int, start: int) -> Split:
        values = np.arange(start, start + size, dtype=np.uint8)
        return Split(np.tile(values[:, None, None, None], (1, 4, 4, 3)), np.arange(size) % classes)

    return one(train, 0), one(test, 200)


@dataclass(frozen=True, kw_only=True)
class Mine(DataSource):
    """A user's own data set."""

    validation_size: int | None = 0
    colours: int = 3
    """Decides the contents."""

    def decode(self) -> Dataset:
        return Dataset("mine", "image", *splits(), classes=("a", "b", "c"), notes={"source": "made up"})


def values(split: Split) -> np.ndarray:
    """By which each image can be recognised."""
    return split.take(slice(None))[:, 0, 0, 0]


@dataclass(frozen=True, kw_only=True)
class Unlabelled(DataSource):
    """Without labels."""

    def decode(self) -> Dataset:
        train, test = (Split(split.inputs, None) for split in splits())
        return Dataset("unlabelled", "image", train, test, classes=())


def test_a_users_own_data_set_is_one_class_with_one_method() -> None:
    source = Mine()
    source.check()
    assert source.shape() == DataShape(60, 20, ("a", "b", "c"), (4, 4))
    assert source.shape().classes == 3
    data = source.load()
    assert (data.name, data.classes, data.notes) == ("mine", ("a", "b", "c"), {"source": "made up"})
    assert len(data.digest) == 64
    np.testing.assert_array_equal(data.train.inputs, splits()[0].inputs)


def test_a_users_own_data_set_is_registered_by_a_decorator() -> None:
    try:
        DATASETS.register("mine")(Mine)
        assert DATASETS["mine"](train_size=6).shape().train == 6
        assert DATASETS.describe("mine") == "A user's own data set."
    finally:
        del DATASETS._entries["mine"]


def test_a_subset_is_stratified_the_same_each_time_and_of_its_own_split_only() -> None:
    whole, part = Mine().load(), Mine(train_size=10, test_size=6).load()
    assert (len(part.train), len(part.test)) == (10, 6)
    np.testing.assert_array_equal(np.bincount(part.test.labels), [2, 2, 2])
    assert sorted(np.bincount(part.train.labels)) == [3, 3, 4]
    chosen, chosen_test = values(part.train), values(part.test)
    assert len(set(chosen)) == 10
    assert set(chosen) <= set(range(60))
    assert set(chosen_test) <= set(range(200, 220))
    np.testing.assert_array_equal(whole.train.labels[chosen], part.train.labels)
    np.testing.assert_array_equal(values(Mine(train_size=10).load().train), chosen)
    np.testing.assert_array_equal(Mine(train_size=10).load().test.inputs, whole.test.inputs)
    assert not part.train.inputs.flags.writeable
    assert part.train.inputs is whole.train.inputs or part.train.inputs.base is not None  # no copy


def test_subsets_of_unlabelled_data_are_spread_evenly() -> None:
    source = Unlabelled(train_size=4)
    assert not source.shape().labelled
    np.testing.assert_array_equal(values(source.load().train), [0, 15, 30, 45])


def test_the_digest_follows_the_contents() -> None:
    whole = Mine().load().digest
    assert Mine(train_size=60).load().digest == whole
    assert Mine(colours=4).load().digest == whole  # the same pixels
    assert len({whole, Mine(train_size=10).load().digest, Mine(test_size=10).load().digest}) == 3
    assert Unlabelled().load().digest != whole


@pytest.mark.parametrize(
    ("name", "size", "most"), [("train_size", 61, 60), ("train_size", 2, 60), ("test_size", 21, 20)]
)
def test_sizes_that_the_data_does_not_have_are_refused(name: str, size: int, most: int) -> None:
    source = Mine(**{name: size})
    rule = rf"{name} must lie between 3 \(one a class\) and {most} \(all there are\), not {size}; set data.{name}"
    for refuse in (source.check, source.shape, source.load):
        with pytest.raises(ValueError, match=rule):
            refuse()


def test_a_mistake_in_a_source_of_ones_own_is_refused_with_its_name() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Mistaken(DataSource):
        def decode(self) -> Dataset:
            raise KeyError("images")

    with pytest.raises(ValueError, match=r"Mistaken cannot be decoded \(KeyError: 'images'\); mend it"):
        Mistaken().check()


def test_sizes_below_one_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="train_size must be at least 1, not 0; leave it out"):
        Mine(train_size=0)


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), np.zeros(2, np.int64), r"train inputs must be uint8 .* not float32"),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2, np.int64), r"must be uint8 \[N, H, W, 3\]"),
        (np.zeros((0, 4, 4, 3), np.uint8), np.zeros(0, np.int64), "N ≥ 1"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, np.int32), r"labels must be int64 \[2\], not int32"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int64), r"labels must be int64 \[2\], not int64 \[3\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 2]), "labels must lie in 0 … 1"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([-1, 0]), "labels must lie in 0 … 1"),
    ],
)
def test_arrays_of_another_form_are_refused(inputs: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset("wrong", "image", Split(inputs, labels), splits(classes=2)[1], classes=("a", "b"))


@pytest.mark.parametrize("total", [20, 21, 37, 1000, 50_000])
def test_proportional_counts_are_whole_positive_and_within_one_of_the_exact_share(total: int) -> None:
    weights = np.arange(1.0, 21.0) ** -1
    counts = proportional_counts(weights, total)
    assert counts.sum() == total
    assert counts.min() >= 1
    if total >= 1000:
        assert np.abs(counts - total * weights / weights.sum()).max() < 1


def test_a_subset_never_takes_more_of_a_class_than_there_is() -> None:
    labels = np.repeat(np.arange(5), [1, 1, 2, 50, 900])
    whole = Split(np.arange(len(labels), dtype=np.int32)[:, None], labels)
    for size in range(5, len(labels) + 1, 7):
        part = subset(whole, size)
        assert len(np.unique(part.take(slice(None)))) == size
        assert np.all(np.bincount(part.labels) >= 1)


def test_the_data_package_loads_neither_torch_nor_ray_nor_mlflow() -> None:
    heavy = ("torch", "torchvision", "ray", "mlflow", "study.semantics", "study.evaluation")
    code = f"import sys, study.data; print([name for name in {heavy} if name in sys.modules])"
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert ran.stdout.strip() == "[]"


def test_what_is_held_out_is_stratified_never_trained_on_and_the_same_whatever_the_training_size() -> None:
    data, small = (Mine(validation_size=None, **sizes).load() for sizes in ({}, {"train_size": 12}))
    assert Mine(validation_size=None).shape() == data.shape == DataShape(54, 20, ("a", "b", "c"), (4, 4), validation=6)
    np.testing.assert_array_equal(np.bincount(data.validation.labels), [2, 2, 2])
    assert sorted([*values(data.train), *values(data.validation)]) == list(range(60))
    np.testing.assert_array_equal(values(small.validation), values(data.validation))
    assert set(values(small.train)) <= set(values(data.train))
    for split in (data.train, data.validation):
        np.testing.assert_array_equal(values(split) % 3, split.labels)
    assert len({Mine(validation_size=size).load().digest for size in (0, None, 9)}) == 3


def test_a_class_with_one_example_keeps_it_for_training() -> None:
    labels = np.repeat(np.arange(5), [1, 1, 2, 50, 900])
    rest, held = hold_out(Split(np.arange(len(labels), dtype=np.int32)[:, None], labels), 95)
    np.testing.assert_array_equal(np.bincount(held.labels, minlength=5)[:3], [0, 0, 1])
    assert (len(rest), len(held)) == (859, 95)
    assert np.all(np.bincount(rest.labels) >= 1)


def test_data_without_labels_or_with_too_few_examples_holds_none_out() -> None:
    assert Unlabelled().load().validation is None
    assert Mine(validation_size=0).load().validation is None


@pytest.mark.parametrize("size", [2, 58])
def test_validation_sizes_that_the_data_does_not_have_are_refused(size: int) -> None:
    rule = rf"validation_size must be 0, or lie between 3 .* and 57 .* not {size}; set data.validation_size"
    with pytest.raises(ValueError, match=rule):
        Mine(validation_size=size).check()
    with pytest.raises(ValueError, match=r"train_size must lie between 3 .* and 54 \(all there are beside 6 held out"):
        Mine(validation_size=None, train_size=55).check()


def test_a_data_set_with_a_validation_split_of_its_own_holds_nothing_out_of_train() -> None:
    from study.data.shapes import Shapes

    data = Shapes(train_size=200, test_size=40).load()
    assert (len(data.train), len(data.validation), len(data.test)) == (200, 20, 40)
    assert Shapes(train_size=200, test_size=40).shape() == data.shape
    without = Shapes(train_size=200, test_size=40, validation_size=0).load()
    assert without.validation is None
    np.testing.assert_array_equal(without.train.inputs, data.train.inputs)

"""Conformance of every registered data set."""

import json
import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from study.data import DATASETS, DataSource
from study.data.cifar import CIFAR10_CLASSES, CIFAR100_CLASSES

Make = Callable[[str], DataSource]


@pytest.fixture
def make(
    image_files: Callable[..., dict[str, bytes]], write_tar: Callable[..., Path], write_folder: Callable[..., Path]
) -> Make:
    """A small instance of each data set; one that is registered anew needs a line here."""
    news = b'"1","One title","a text"\n"4","Two","b"\n"2","3","c"\n"3","4","d"\n' * 3

    def build(name: str) -> DataSource:
        roots: dict[str, Callable[[], dict[str, object]]] = {
            "shapes": lambda: {"train_size": 60, "test_size": 40},
            "cifar10": lambda: {"root": str(write_tar(image_files(CIFAR10_CLASSES)))},
            "cifar100": lambda: {"root": str(write_folder(image_files(CIFAR100_CLASSES, count=1)))},
            "image_folder": lambda: {"root": str(write_tar(image_files()))},
            "ag_news": lambda: {"root": str(write_folder({"train.csv": news, "test.csv": news}))},
        }
        return DATASETS[name](**roots[name]())

    return build


@pytest.mark.parametrize("name", DATASETS.names())
class TestEveryDataSet:
    def test_contents_are_read_only_maps_of_the_promised_form(self, name: str, make: Make) -> None:
        data = make(name).load()
        assert data.name == name
        assert len(data.digest) == 64
        for split in (data.train, data.test):
            assert split.labels is not None
            assert isinstance(split.inputs, np.memmap)
            assert not split.inputs.flags.writeable
            assert set(np.unique(split.labels)) == set(range(len(data.classes)))
        json.dumps(dict(data.notes))
        assert (data.vocabulary_size is None) == (data.modality == "image")
        if data.vocabulary_size:
            assert max(data.train.inputs.max(), data.test.inputs.max()) < data.vocabulary_size

    def test_the_shape_at_plan_time_is_the_shape_of_the_contents(self, name: str, make: Make) -> None:
        source = make(name)
        source.check()
        assert source.shape() == source.load().shape

    def test_it_is_decoded_once(self, name: str, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        source = make(name)
        first = source.load()
        monkeypatch.setattr(type(source), "decode", lambda self: pytest.fail("decoded again"))
        assert source.load().digest == first.digest

    def test_decoding_is_deterministic(self, name: str, make: Make, tmp_path: Path) -> None:
        source = make(name)
        assert source.load(tmp_path / "one").digest == source.load(tmp_path / "two").digest

    def test_a_subset_of_train_leaves_test_alone(self, name: str, make: Make) -> None:
        source = make(name)
        classes = source.shape().classes
        part = replace(source, train_size=classes).load()
        assert sorted(part.train.labels) == list(range(classes))
        if name != "shapes":  # which draws as many as asked
            np.testing.assert_array_equal(part.test.inputs, source.load().test.inputs)

    def test_more_training_examples_than_there_are_are_refused(self, name: str, make: Make) -> None:
        source = make(name)
        if name != "shapes":
            with pytest.raises(ValueError, match="train_size must lie between"):
                replace(source, train_size=10**9).check()

    def test_it_travels_to_other_processes(self, name: str, make: Make) -> None:
        source = make(name)
        assert pickle.loads(pickle.dumps(source)) == source
        json.dumps(source.fingerprint())

    def test_every_field_has_a_default_and_the_entry_a_description(self, name: str, make: Make) -> None:
        assert all(parameter.default is not parameter.empty for parameter in DATASETS.parameters(name).values())
        assert DATASETS.describe(name)
        DATASETS[name]()


def test_where_cifar_lies_is_not_its_identity() -> None:
    for name in ("cifar10", "cifar100"):
        located = {f.name for f in fields(DATASETS[name]) if not f.metadata.get("identity", True)}
        assert located == {"root", "download"}


def test_relative_roots_do_not_depend_on_the_folder_a_trial_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cifar10", "cifar100", "image_folder", "ag_news"):
        assert DATASETS[name](root="here").root == str(tmp_path / "here")

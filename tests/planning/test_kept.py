"""Stored trials against what would be computed now: nothing stale or of another study counts in silence."""

import shutil
import sys
import tarfile
import types
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.negatives import STRATEGIES
from study import ConfigError, Results, Study, TrialConfig, grid, uniform
from study.planning.kept import record, settle
from study.planning.plan import check_study, make_plan
from study.status import status, stored_status
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.run import described, run_trial
from study.trial.trial import Trial
from tests.conftest import TINY, undrawn
from tests.end_to_end.test_ag_news import article_files

SOURCE = '''
from dataclasses import dataclass
from models.negatives import STRATEGIES, Strategy

@STRATEGIES.register("easier")
@dataclass(frozen=True, kw_only=True)
class Easier(Strategy):
    """Easier than the positive."""

    def select(self, similarities):
        return similarities < 1
'''


def define(source: str) -> None:
    module = types.ModuleType("of_a_user")
    sys.modules["of_a_user"] = module
    exec(compile(source, "of_a_user.py", "exec"), vars(module))


@pytest.fixture
def users_strategy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(STRATEGIES, "_entries", dict(STRATEGIES._entries))
    monkeypatch.setattr(STRATEGIES, "_traits", dict(STRATEGIES._traits))
    define(SOURCE)
    yield
    del sys.modules["of_a_user"]


def study(**arguments: object) -> Study:
    defaults = {"base": TrialConfig(**TINY), "space": {"temperature": grid(0.2, 0.5)}, "seeds": 2}
    return Study("s", **{**defaults, **arguments})


def finish(store: Store, trial: Trial, digest: str | None = None, top1: float = 50.0, status: str = "finished") -> None:
    folder = store.trial(trial.id)
    folder.write_config(described(trial))
    data = {"digest": digest or trial.parts.data.load().digest}
    metrics = {"linear.features.top1": top1, "memory.peak_mib": 1.0}
    folder.write_result(TrialResult(status=status, metrics=metrics, data=data, started=0, ended=1))


def run(of: Study, store: Store) -> list[Trial]:
    """Everything finished, as `study run` leaves it."""
    trials = settle(of, store, check_study(of))
    record(of, store, trials)
    for trial in trials:
        if store.trial(trial.id).result() is None:
            finish(store, trial)
    return trials


@pytest.mark.usefixtures("users_strategy")
class TestCodeOfTheUsers:
    def edited(self, tmp_path: Path, of: Study, status: str = "finished") -> tuple[Store, list[Trial]]:
        store = Store.of("s", tmp_path)
        for trial in check_study(of):
            finish(store, trial, status=status)
        define(SOURCE.replace("< 1", "> 1"))
        return store, check_study(of)

    def test_trials_of_edited_code_are_refused_until_something_is_decided(self, tmp_path: Path) -> None:
        of = study(base=TrialConfig(**TINY, negatives="easier"))
        self.edited(tmp_path, of)
        with pytest.raises(
            ConfigError, match=r"^`easier` has changed since these 4 trials: .*`study run … --anew`.*`--k"
        ):
            of.plan(storage=tmp_path)
        with pytest.raises(ConfigError, match="`easier` has changed"):
            status(of, tmp_path)

    def test_the_same_code_defined_again_is_no_change(self, tmp_path: Path) -> None:
        of = study(base=TrialConfig(**TINY, negatives="easier"))
        self.edited(tmp_path, of)
        define(SOURCE.replace("class Easier", "# a remark\nclass Easier"))
        assert of.plan(storage=tmp_path).done == 4

    def test_anew_sets_them_aside_as_they_were(self, tmp_path: Path) -> None:
        of = study(base=TrialConfig(**TINY, negatives="easier"))
        store, trials = self.edited(tmp_path, of)
        before = {trial.id: (store.trial(trial.id).path / "result.json").read_text() for trial in trials}
        settle(of, store, trials, "anew")
        assert of.plan(storage=tmp_path).done == 0
        assert list(store.trials()) == []
        aside = {path.parent.name: path.read_text() for path in store.path.glob("aside/*/result.json")}
        assert aside == {f"{trial}.0": text for trial, text in before.items()}

    def test_keep_counts_the_code_of_now_as_theirs(self, tmp_path: Path) -> None:
        of = study(base=TrialConfig(**TINY, negatives="easier"))
        store, trials = self.edited(tmp_path, of)
        settle(of, store, trials, "keep")
        assert of.plan(storage=tmp_path).done == 4
        define(SOURCE)
        with pytest.raises(ConfigError, match="`easier` has changed"):
            of.plan(storage=tmp_path)

    def test_a_failed_trial_is_repaired_by_an_edit(self, tmp_path: Path) -> None:
        of = study(base=TrialConfig(**TINY, negatives="easier"))
        self.edited(tmp_path, of, status="failed")
        assert of.plan(storage=tmp_path).failed == 4

    def test_trials_without_digests_and_studies_without_such_components_are_taken_as_they_are(
        self, tmp_path: Path
    ) -> None:
        of = study(base=TrialConfig(**TINY, negatives="easier"))
        store = Store.of("s", tmp_path)
        for trial in check_study(of):
            finish(store, trial)
            content = store.trial(trial.id).config()
            assert set(content.pop("code")) == {"negatives.easier"}
            store.trial(trial.id).write_config(content | {"code": {}})
        define(SOURCE.replace("< 1", "> 1"))
        assert of.plan(storage=tmp_path).done == 4
        assert {str(trial.code) for trial in check_study(study())} == {"{}"}

    def test_proposed_trials_of_edited_code_are_refused(self, tmp_path: Path) -> None:
        space = {"temperature": uniform(0.1, 0.9)}
        of = study(base=TrialConfig(**TINY, negatives="easier"), space=space, sampler="tpe", cells=2)
        self.edited(tmp_path, of)
        with pytest.raises(ConfigError, match="`easier` has changed since these 2 trials"):
            of.plan(storage=tmp_path)


def images(root: Path, value: int = 0) -> None:
    for split in ("train", "test"):
        for number, name in enumerate("ab"):
            for image in range(4):
                path = root / split / name / f"{image}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((8, 8, 3), 50 * number + image + value, np.uint8)).save(path)


def of_images(root: Path) -> Study:
    data = {"name": "image_folder", "root": str(root), "image_size": 8}
    return study(base=TrialConfig(**{**TINY, "data": data, "batch_size": 4, "evaluations": ["linear"]}), seeds=1)


def swap_classes(root: Path) -> None:
    for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
        (root / "train" / old).rename(root / "train" / new)


def run_formerly(of: Study, store: Store, status: str = "finished") -> list[Trial]:
    """As a version stored it that took the place of the images for a part of a trial's identity."""
    trials = [trial.formerly() for trial in check_study(of)]
    for trial in trials:
        finish(store, trial, status=status)
    return trials


def test_a_plan_decodes_nothing_and_a_run_all_that_it_will_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    root, store = tmp_path / "images", Store.of("s", tmp_path / "runs")
    images(root)
    (root / "train" / "a" / "9.png").write_bytes(b"no image")
    of = of_images(root)
    assert of.plan(storage=tmp_path / "runs").pending == 2
    with pytest.raises(ConfigError, match=r"^data: .* has unreadable images, 1 of them: train/a/9.png"):
        settle(of, store, check_study(of), decode=True)


def test_decoded_images_that_are_not_those_of_a_trial_are_refused(tmp_path: Path) -> None:
    """Of a set that is too large to be read as a whole, its id need not tell of every change."""
    root, store = tmp_path / "images", Store.of("s", tmp_path / "runs")
    images(root)
    of = of_images(root)
    for trial in check_study(of):
        trial.parts.data.load()
        finish(store, trial, digest="another")
    with pytest.raises(ConfigError, match=r"the images or texts of image_folder in .* have changed since these 2"):
        of.plan(storage=tmp_path / "runs")


def test_the_same_images_elsewhere_are_the_same_trials(tmp_path: Path) -> None:
    images(tmp_path / "images")
    shutil.copytree(tmp_path / "images", tmp_path / "top" / "copy")
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "images", "images")
    run(of_images(tmp_path / "images"), Store.of("s", tmp_path / "runs"))
    for root in ("top", "top/copy", "archive.tar.gz"):
        assert of_images(tmp_path / root).plan(storage=tmp_path / "runs").done == 2


def test_seeds_of_images_at_two_places_are_replicates(tmp_path: Path) -> None:
    images(tmp_path / "images")
    store = Store.of("s", tmp_path / "runs")
    run(of_images(tmp_path / "images"), store)
    (tmp_path / "images").rename(tmp_path / "moved")
    run(of_images(tmp_path / "moved").with_overrides({"seeds": 2}), store)
    results = Results.load(store)
    assert results.varying == ["temperature"]
    assert results.table()["n"].tolist() == [2, 2]


def test_images_that_were_changed_at_their_path_are_other_trials(tmp_path: Path) -> None:
    root, store = tmp_path / "images", Store.of("s", tmp_path / "runs")
    images(root)
    run(of_images(root), store)
    swap_classes(root)
    plan = of_images(root).plan(storage=tmp_path / "runs")
    assert (plan.done, plan.pending) == (0, 2)
    assert plan.notes[-1].startswith("2 trials of other definitions")
    swap_classes(root)
    assert of_images(root).plan(storage=tmp_path / "runs").done == 2


def test_trials_that_were_known_by_the_place_of_their_images_are_kept_under_their_ids(tmp_path: Path) -> None:
    root, store = tmp_path / "images", Store.of("s", tmp_path / "runs")
    images(root)
    before = run_formerly(of_images(root), store)
    assert {trial.id for trial in before}.isdisjoint(trial.id for trial in check_study(of_images(root)))
    assert of_images(root).plan(storage=tmp_path / "runs").done == 2
    assert {trial.id for trial in run(of_images(root), store)} == {trial.id for trial in before}
    assert [line.status for line in status(of_images(root), tmp_path / "runs").trials] == ["finished"] * 2
    wider = of_images(root).with_overrides({"seeds": 2})
    assert wider.plan(storage=tmp_path / "runs").done == 2, "only what is new is to be run"
    proposed = replace(wider, space={"temperature": uniform(0.1, 0.9)}, sampler="tpe", cells=2)
    assert make_plan(proposed, store).done == 2


def test_the_id_of_a_trial_by_its_place_is_what_it_was(tmp_path: Path) -> None:
    """The canonical config with every parameter of image_folder, its root too, as it was stored then."""
    images(tmp_path / "images")
    trial = check_study(of_images(tmp_path / "images"))[0]
    data = {"name": "image_folder", "root": str(tmp_path / "images"), "train_split": "train", "test_split": None,
            "image_size": 8, "skip_unreadable": False, "train_size": None, "test_size": None,
            "validation_size": None}  # fmt: skip
    formerly = trial.formerly()
    assert formerly is not None
    assert formerly.identity["data"] == data
    content = trial.parts.data.content()
    del data["root"]
    assert trial.identity == {**formerly.identity, "data": {**data, "content": content}}


def test_images_changed_since_a_trial_known_by_their_place_are_refused(tmp_path: Path) -> None:
    root, store = tmp_path / "images", Store.of("s", tmp_path / "runs")
    images(root)
    run_formerly(of_images(root), store)
    swap_classes(root)
    with pytest.raises(
        ConfigError, match=rf"^the images or texts of image_folder in {root} have changed since these 2"
    ):
        of_images(root).plan(storage=tmp_path / "runs")
    settle(of_images(root), store, check_study(of_images(root)), "keep")
    assert of_images(root).plan(storage=tmp_path / "runs").done == 2
    swap_classes(root)
    settle(of_images(root), store, check_study(of_images(root)), "anew")
    assert of_images(root).plan(storage=tmp_path / "runs").done == 2, "the first images count too"


def test_texts_too_are_known_by_their_content(tmp_path: Path) -> None:
    """The identity by the place is what it was when there was no other: trials that are stored so are kept."""
    root, store = article_files(tmp_path), Store.of("s", tmp_path / "runs")
    texts = {"encoder": "bag-of-embeddings", "augmentation": "erase-replace", "evaluations": ["linear"]}

    def of_texts(root: Path) -> Study:
        return study(base=TrialConfig(**{**TINY, **texts, "data": {"name": "ag_news", "root": str(root)}}), seeds=1)

    trial = check_study(of_texts(root))[0]
    data = {"name": "ag_news", "vocabulary": 20_000, "max_length": 64, "train_size": None, "test_size": None,
            "validation_size": None}  # fmt: skip
    assert trial.identity["data"] == data | {"content": trial.parts.data.content()}
    before = run_formerly(of_texts(root), store)
    assert before[0].identity == trial.identity | {"data": data | {"root": str(root)}}
    assert of_texts(root).plan(storage=tmp_path / "runs").done == 2
    with tarfile.open(tmp_path / "elsewhere.tar.gz", "w:gz") as archive:
        archive.add(root / "train.csv", "of/train_subset.csv")
        archive.add(root / "test.csv", "of/test.csv")
    assert check_study(of_texts(tmp_path / "elsewhere.tar.gz"))[0].id == trial.id
    with (root / "test.csv").open("a") as file:
        file.write('"1","a treaty","of today"\n')
    with pytest.raises(ConfigError, match=rf"^the images or texts of ag_news in {root} have changed since these 2"):
        of_texts(root).plan(storage=tmp_path / "runs")


def test_data_changed_since_a_trial_began_are_refused(tmp_path: Path) -> None:
    of, store = study(space={"temperature": grid(0.2)}, seeds=1), Store.of("s", tmp_path)
    (trial,) = check_study(of)
    for digest, refused in ((trial.parts.data.load().digest, False), ("another", True)):
        folder = store.trial(trial.id)
        folder.write_config(described(trial) | {"data": digest})
        folder.append({"epoch": 1, "time": 1.0, "metrics": {}})
        with pytest.raises(ConfigError, match="the images or texts of shapes have ch") if refused else nullcontext():
            assert of.plan(storage=tmp_path).started == 1
    settle(of, store, [trial], "keep")
    assert of.plan(storage=tmp_path).started == 1


def test_a_trial_goes_on_only_with_the_data_that_it_began_with(tmp_path: Path) -> None:
    trial = undrawn(*check_study(study(space={"temperature": grid(0.2)}, seeds=1)))
    folder = Store.of("s", tmp_path).trial(trial.id)

    def kill(epoch: int, metrics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, folder, threads=1, report=kill)
    begun = folder.config()
    assert begun["data"] == trial.parts.data.load().digest
    folder.write_config({**begun, "data": "another"})
    stopped = run_trial(trial, folder, threads=1)
    assert (stopped.status, stopped.reason) == (
        "failed", "data: they are others here than where this trial began; make them the same, then `study retry`",
    )  # fmt: skip
    folder.reset()
    folder.write_config({**begun, "data": "another", "same_data": [begun["data"]]})
    assert run_trial(trial, folder, threads=1).status == "finished"
    assert folder.config()["same_data"] == [begun["data"]]


def test_proposals_of_a_changed_base_are_of_another_study(tmp_path: Path) -> None:
    space = {"temperature": uniform(0.1, 0.9)}
    of, store = study(space=space, sampler="tpe", cells=1), Store.of("s", tmp_path)
    first = study(space={"temperature": grid(0.3)})
    for trial in check_study(first):
        finish(store, trial)
    assert of.plan(storage=tmp_path).done == 2
    for other in (
        of.with_overrides({"epochs": 4}),
        study(space={"temperature": uniform(0.4, 0.9)}, sampler="tpe", cells=1),
    ):
        plan = make_plan(other, store)
        assert (plan.done, plan.pending) == (0, 2)
        assert plan.notes[-1].startswith("2 trials of other definitions")


def test_results_are_of_the_plan_and_the_others_are_at_hand(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    wide = run(study(seeds=3, space={"temperature": grid(0.2, 0.5, 0.9)}), store)
    finish(store, wide[-1], top1=99.0)
    assert len(Results.load(store).frame) == 9
    small = run(study(seeds=1).with_overrides({"epochs": 4}), store)
    results = Results.load(store)
    assert sorted(results.frame["trial_id"]) == sorted(trial.id for trial in small)
    assert results.varying == ["temperature"]
    assert results.table()["n"].tolist() == [1, 1]
    assert "9 of other definitions" in str(results)
    every = Results.load(store, others=True)
    assert every.frame["planned"].value_counts().to_dict() == {False: 9, True: 2}
    assert "planned" not in every.varying


def test_removed_values_are_in_neither_table_nor_best(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    wide = run(study(space={"temperature": grid(0.2, 0.5, 0.9)}), store)
    for trial in wide:
        finish(store, trial, top1=99.0 if trial.config["temperature"]["value"] == 0.9 else 10.0 + trial.seed)
    run(study(), store)
    results = Results.load(store)
    assert set(results.table()["temperature"]) == {0.2, 0.5}
    assert results.finished["linear.features.top1"].max() < 99
    found = status(study(), tmp_path)
    assert (len(found.trials), len(found.others), found.counts()["finished"]) == (4, 2, 4)
    assert "of other definitions" in str(found)
    assert [line.trial_id for line in stored_status("s", tmp_path).others] == [line.trial_id for line in found.others]

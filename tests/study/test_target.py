"""The study that a command line names: a recipe, a file, or one of the storage, from any folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.registry import UnknownName
from study import Study, TrialConfig, grid
from study.cli import main
from study.cli.arguments import parse
from study.cli.target import name_of
from study.config import ConfigError
from study.planning.kept import record
from study.planning.plan import check_study
from study.recipes import load
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.run import described
from tests.conftest import TINY

FILE = """
from study import Study, TrialConfig, grid
study = Study("photos", base=TrialConfig(**{base!r}), space={{"k": grid(8, 32)}}, seeds=2)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: photos/ of images, photos.py of a study of them, and half of its trials in runs/."""
    monkeypatch.delenv("STUDY_STORAGE")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = tmp_path / "project"
    draw = np.random.default_rng(0)
    for split, name, i in ((s, n, i) for s in ("train", "test") for n in ("cat", "dog") for i in range(64)):
        place = project / "photos" / split / name / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(place)
    monkeypatch.chdir(project)
    base = TINY | {"data": {"name": "image_folder", "root": "photos", "image_size": 32}}
    (project / "photos.py").write_text(FILE.format(base=base))
    study = Study("photos", base=TrialConfig(**base), space={"k": grid(8, 32)}, seeds=2)
    store, trials = Store.of("photos"), check_study(study)
    record(study, store, trials)
    (store.path / "study.yaml").write_text(study.to_yaml())
    for number, trial in enumerate(trials[:2]):
        store.trial(trial.id).write_config(described(trial))
        metrics = {"linear.features.top1": 50.0 + number, "memory.peak_mib": 1.0}
        store.trial(trial.id).write_result(TrialResult(status="finished", metrics=metrics, started=0, ended=1))
    return project


def test_a_name_is_a_recipes_then_a_files_then_one_in_the_storage(project: Path) -> None:
    assert load("photos").name == load("photos.py").name == "photos"  # beside a folder of that name
    for name in ("quickstart", "mine.yaml"):
        shutil.copytree(project / "runs" / "photos", project / "runs" / name)
    assert load("quickstart").name == "quickstart"
    assert load("mine.yaml").name == "photos"  # what is stored under that name
    (project / "mine.yaml").write_text("name: of-the-file")
    assert load("mine.yaml").name == "of-the-file"
    with pytest.raises(UnknownName, match=r"unknown study 'photo'; did you mean 'photos'\?"):
        load("photo")
    (project / "runs" / "photos").rename(project / "runs" / "pictures")
    with pytest.raises(UnknownName, match=r"unknown study 'photos'; did you mean 'photos\.py'\?"):
        load("photos")
    with pytest.raises(UnknownName, match=r"photos is a folder; or give the path .* or the --storage that it ran in"):
        load("photos", project / "elsewhere")
    with pytest.raises(ConfigError, match=r"runs/pictures is a folder; give a Python file or study\.yaml"):
        load("runs/pictures")


@pytest.mark.parametrize("named", ["photos", "photos.py", "runs/photos/study.yaml"])
def test_verbs_take_a_stored_name_as_they_take_a_file(
    project: Path, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", named, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["finished"] == 2
    assert main(["plan", named, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2
    assert main(["compare", named, named]) == 0
    assert name_of(parse(["ui", named])) == "photos"


def test_the_pages_of_a_study_that_mlflow_alone_knows_can_be_asked_for(project: Path) -> None:
    assert name_of(parse(["ui", "theirs"])) == "theirs"
    assert name_of(parse(["ui"])) is None
    assert name_of(parse(["ui", "photos", "--storage", "elsewhere"])) == "photos"


def test_from_another_folder_the_storage_is_asked_for_and_states_need_no_images(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    for verb in (["features", "../project/photos.py", "../project/photos", "--out", "f.npz"],
                 ["report", "../project/photos.py"], ["findings", "../project/photos.py"]):  # fmt: skip
        assert main(verb) == 2
        said = capsys.readouterr().err
        assert f"no trial of photos is in {tmp_path / 'other' / 'runs'}; " in said
        assert said.endswith("name the storage that it ran in: --storage PATH\n")
    assert main(["status", "../project/photos.py", "--storage", "../project/runs"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("photos: 2 finished")
    assert f"one that is not absolute is looked for in the working directory, {tmp_path / 'other'}" in told.err
    assert told.err.endswith("what is stored is shown, of the study as it ran last\n")
    assert main(["status", "../project/photos.py"]) == 2  # nothing is stored here, so there is nothing to show


def test_a_definition_that_is_wrong_is_refused_although_states_are_stored(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "photos", "--set", "k=5000"]) == 2
    assert "k: 5000 candidates are more than" in capsys.readouterr().err


def test_a_report_tells_how_many_trials_it_leaves_out(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = load("photos.py").with_overrides({"k": 8, "seeds": 1})
    record(study, Store.of("photos"), check_study(study))
    assert main(["report", "photos.py"]) == 0
    said = "left out: 1 stored trial of other definitions of photos; --others shows them, told apart"
    assert capsys.readouterr().out.splitlines()[-1] == said
    assert main(["report", "photos.py", "--others"]) == 0
    assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize("named", ["nosuch", "quickstart"])
def test_a_bucket_that_cannot_be_read_is_refused_in_a_line(
    named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    assert main(["report", named, "--storage", "s3://nowhere/runs"]) == 2
    said = capsys.readouterr().err
    assert "storage: s3://nowhere/runs/" in said
    assert said.endswith("; check bucket, credentials and AWS_ENDPOINT_URL\n")


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "w.yaml").write_text("name: [")
    assert main(["plan", str(tmp_path / "w.yaml")]) == 2
    assert f"{tmp_path / 'w.yaml'} is not plain YAML: line 1" in capsys.readouterr().err

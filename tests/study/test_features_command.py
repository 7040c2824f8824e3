"""`study features`: a trained encoder's features of a folder, with the files' names."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from study.cli import main
from study.recipes import load
from tests.conftest import TINY

STUDY = f"""
from study import Study, TrialConfig

study = Study("tiny", base=TrialConfig(**{TINY | {"epochs": 1, "evaluations": ["knn"]}!r}))
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "tiny_study.py").write_text(STUDY)
    return str(tmp_path / "tiny_study.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of several sizes and formats, one damaged, one file that is none."""
    draw = np.random.default_rng(0)
    for name, size in (("b.png", (32, 32)), ("sub/a.JPG", (50, 40)), ("sub/é.bmp", (8, 8))):
        place = tmp_path / "images" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (*size, 3), np.uint8)).save(place)
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    (tmp_path / "images" / "notes.txt").write_text("none")
    return tmp_path / "images"


NAMES = ["b.png", "sub/a.JPG", "sub/é.bmp"]


def test_features_of_a_folder_are_the_encoders_of_each_file(
    file: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trial", file]) == 0
    out = tmp_path / "features.npz"
    assert main(["features", file, str(folder), "--out", str(out), "--embeddings"]) == 0
    assert "left out: broken.png: none of JPEG" in capsys.readouterr().out
    found = np.load(out)
    assert found["files"].tolist() == NAMES
    encoder = load(file).results().encoder()
    for name, h, z in zip(NAMES, found["features"], found["embeddings"], strict=True):
        x = encoder.preprocess(folder / name)[None]
        np.testing.assert_allclose(h, encoder(x)[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(z, encoder.embed(x)[0], rtol=1e-4, atol=1e-5)
    trial = load(file).results().frame["trial_id"][0]
    table = tmp_path / "features.parquet"
    assert main(["features", file, str(folder), "--out", str(table), "--trial", trial]) == 0
    frame = pd.read_parquet(table)
    assert frame["file"].tolist() == NAMES
    assert np.array_equal(frame.filter(regex=r"^h\d+$").to_numpy(), found["features"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["FOLDER", "--out", "features.txt"], "--out features.txt: it is a .npz or .parquet"),
        (["FOLDER/b.png", "--out", "f.npz"], "b.png is one image; name the folder that it is in"),
        (["nowhere", "--out", "f.npz"], "nowhere: there is no such folder"),
        (["FOLDER", "--out", "f.npz"], "no trial of tiny is in STORAGE; `study run "),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    file: str, folder: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["features", file, *[a.replace("FOLDER", str(folder)) for a in arguments]]) == 2
    assert message.replace("STORAGE", str(tmp_path / "runs")) in capsys.readouterr().err


def test_a_study_may_save_no_encoders(file: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trial", file, "--set", "save_encoders=none"]) == 0
    assert main(["features", file, str(folder), "--out", "f.npz"]) == 2
    assert "run it with save_encoders=all in another storage" in capsys.readouterr().err
    assert main(["features", file, str(folder), "--out", "f.npz", "--trial", "abc"]) == 2
    assert "no trial_id 'abc'" in capsys.readouterr().err

"""docs/python.md says what is so: its study.yaml loads as it stands, with a component of one's own."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.encoders import ENCODERS
from study import choice, grid, loguniform, randint, uniform
from study.cli import main
from study.recipes import load

DOCS = Path(__file__).parents[2] / "docs"


def block(page: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's study.yaml, beside photos and the encoder of docs/encoders.md in my_parts.py."""
    (tmp_path / "how-many.yaml").write_text(block("python.md", "yaml"))
    (tmp_path / "my_parts.py").write_text(block("encoders.md", "python"))
    for split, name, i in ((s, n, i) for s in ("train", "test") for n in ("cat", "dog") for i in range(40)):
        place = tmp_path / "photos" / split / name / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(place)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(ENCODERS, "_entries", dict(ENCODERS._entries))
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)
    return tmp_path


def test_the_study_yaml_of_the_page_loads_as_it_stands_and_can_be_planned(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load("how-many.yaml").space == {
        "k": grid(8, 32),
        "negatives": choice("all", {"name": "difficulty", "hi": 0.25}),
        "optimizer.momentum": uniform(0.8, 0.95),
        "temperature": loguniform(0.05, 1),
        "encoder.width": randint(8, 64, log=True),
    }
    assert main(["plan", "how-many.yaml"]) == 0
    assert capsys.readouterr().out.startswith("how-many: 10 cells × 2 seeds = 20 trials (random)")


def test_a_study_yaml_that_lacks_its_module_is_told_how_to_name_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (folder / "how-many.yaml").read_text().splitlines(keepends=True)
    (folder / "how-many.yaml").write_text("".join(line for line in lines if not line.startswith("modules:")))
    assert main(["plan", "how-many.yaml"]) == 2
    said = capsys.readouterr().err
    assert "encoder: unknown encoder 'two-layers'" in said
    assert "`modules: [my_parts]` in study.yaml" in said

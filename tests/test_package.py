"""The package as users install it: what they see of its types."""

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = """
from dataclasses import dataclass

import torch
from pandas import DataFrame
from torch import Tensor, nn

from models.encoders import ENCODERS
from models.negatives import STRATEGIES, Candidates, Selection, Strategy
from study import Study, TrialConfig, choice, grid, loguniform, plot, plot_curves


@STRATEGIES.register("easier_than_positive")
@dataclass(frozen=True, kw_only=True)
class EasierThanPositive(Strategy):
    limit: float = 0.9

    def select(self, candidates: Candidates, *, generator: torch.Generator) -> Selection:
        return Selection.keep(candidates.similarity < self.limit)


@ENCODERS.register("two-layers", modality="image")
def two_layers(*, width: int = 32) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


study = Study(
    "typed",
    base=TrialConfig(data={"name": "shapes"}, encoder={"name": "two-layers"}, evaluations=["knn"]),
    space=[{"k": grid(8, 16)}, {"negatives": choice("all"), "temperature": loguniform(0.1, 1)}],
    seeds=2,
    sampler="tpe",
    cells=3,
)
results = study.run(max_hours=1.0)
encoder = results.encoder(results.best())
assert encoder.preprocess is not None
z: Tensor = encoder.embed(encoder.preprocess(["a.jpg"]))
frame: DataFrame = results.curves(["train.loss"])
plot_curves(results, "train.loss").set_title("loss")
plot(results, "accuracy.k").savefig("k.pdf")
study.run(max_hour=1)  # wrong
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the package, and what an editable installation of it puts into site-packages."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("models", "study", "search_spaces"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import sys; from setuptools.build_meta import build_editable; build_editable(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(site)], cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = site.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return source, site


def test_an_editable_installation_is_a_path_that_type_checkers_follow(installed: tuple[Path, Path]) -> None:
    source, site = installed
    (path,) = site.glob("*.pth")
    assert path.read_text().split() == [str(source)]
    assert not list(site.glob("*.py")), "no import hook"
    assert all((source / name / "py.typed").exists() for name in ("models", "study"))


@pytest.mark.slow
def test_a_users_script_is_checked_strictly(installed: tuple[Path, Path], tmp_path: Path) -> None:
    _, site = installed
    venv.create(tmp_path / "venv", symlinks=True)
    (theirs,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (theirs / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    shutil.copy(next(site.glob("*.pth")), theirs)
    (tmp_path / "mine.py").write_text(SCRIPT)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        str(tmp_path / "venv/bin/python"),
        "mine.py",
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    (line,) = (row for row in ran.stdout.splitlines() if ": error: " in row)
    assert 'Unexpected keyword argument "max_hour"; did you mean "max_hours"' in line

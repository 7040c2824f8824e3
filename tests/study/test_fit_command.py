"""`study fit` and `study trial` where theory and trials do not fit together: refused, or said, with the reason."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from study.cli import main
from tests.conftest import TINY

MEASURED = Path(__file__).parents[2] / "docs" / "results" / "cifar10_small.csv"
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ray", "torch", "torchvision", "mlflow", "optuna", "sklearn"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
"""


def table(path: Path, change) -> str:
    change(pd.read_csv(MEASURED, dtype={"class_counts": object})).to_csv(path / "results.csv", index=False)
    return str(path / "results.csv")


def test_a_results_file_is_fitted_without_ray_torch_mlflow_and_optuna() -> None:
    command = f"{BLOCKED}\nfrom study.cli import main; sys.exit(main(['fit', {str(MEASURED)!r}, '--json']))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert set(content["fits"]) == {"arora2019", "ash2021", "bao2021", "nozawa2021"}
    assert content["fits"]["nozawa2021"][0]["parameters"]["L_sup"]["identified"] is True
    assert (content["lower_bounds"], content["violated"]) == (64, [])
    assert {"rank_correlation", "rank_low", "rank_high"} <= content["comparison"][0].keys()


def test_options_of_a_study_are_refused_for_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path, lambda frame: frame)
    for option in (["--set", "k=4"], ["--storage", str(tmp_path)]):
        assert main(["fit", path, *option]) == 2
        assert "leave them out" in capsys.readouterr().err


def test_fits_of_one_seed_are_printed_and_are_json_without_nan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path, lambda frame: frame[frame["seed"] == 0])
    assert main(["fit", path, "--bound", "nozawa2021"]) == 0
    text = capsys.readouterr().out
    assert "no interval: it needs two seeds or more" in text
    assert "nan" not in text.lower()
    assert main(["fit", path, "--bound", "nozawa2021", "--json"]) == 0
    fit = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["fits"]["nozawa2021"][0]
    assert fit["parameters"]["L_sup"]["low"] is None
    assert fit["parameters"]["L_sup"]["value"] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[f["k"] == 16], "a curve over K needs at least two values of K"),
        (lambda f: f.assign(**{"train.temperature": [0.1, 0.2] * 8}), "mix temperatures [0.1, 0.2]"),
        (lambda f: f.assign(class_counts="[1000, 0, 1000]"), "classes [1] (by number, from 0) are absent"),
        (lambda f: f.assign(class_counts=["[5, 5]", "[6, 4]"] * 8), "2 different test splits"),
        (lambda f: f.assign(status="failed"), "no finished trial has a contrastive loss"),
        (lambda f: f.drop(columns="seed"), "it has no column seed"),
        (lambda f: f.assign(seed="a"), "column seed holds whole numbers, got 'a'"),
        (lambda f: f.assign(seconds="1,5"), "column seconds holds numbers, got '1,5'; write them as 12.5"),
        (lambda f: f.iloc[[0, *range(len(f))]], "is in it more than once; keep one row per trial"),
        (lambda f: f.assign(class_counts="3"), "column class_counts holds lists such as [500, 500], got '3'"),
    ],
)
def test_a_table_that_cannot_be_fitted_is_refused_with_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change, message: str
) -> None:
    assert main(["fit", table(tmp_path, change)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("name", "content"), [("a.csv", b""), ("b.csv", bytes(range(256))), ("c.parquet", b"x")])
def test_a_file_that_is_no_table_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["fit", str(tmp_path / name)]) == 2
    assert "is no table of results" in capsys.readouterr().err


def test_a_folder_and_a_missing_file_are_no_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert main(["fit", str(tmp_path / "folder.csv")]) == 2
    assert "is a folder; give the table in it" in capsys.readouterr().err
    assert main(["fit", str(tmp_path / "none.csv")]) == 2
    assert f"no such file: {tmp_path / 'none.csv'}" in capsys.readouterr().err


def test_a_trial_says_why_bounds_are_left_out_at_k_beyond_the_test_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = TINY | {"evaluations": ["bounds"], "epochs": 1}
    recipe = f"from study import Study, TrialConfig\nstudy = Study('mine', base=TrialConfig(**{base!r}), space={{}})"
    (tmp_path / "mine.py").write_text(recipe)
    assert main(["trial", str(tmp_path / "mine.py"), "--set", "k=126"]) == 0
    out = capsys.readouterr().out
    assert "left out: bounds: at K = 126, 128, 256, 512, 1024: more than the 99 other test samples" in out
    assert "bounds.contrastive_loss" not in out

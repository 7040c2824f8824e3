"""`study theory`: the published numbers, both schemes, bad input, and no torch."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from study.cli import main
from study.cli.theory import scientific

PUBLISHED = 4.5e-4  # a notebook's υ of 100 classes and 128 draws, from inclusion–exclusion in floating point
EXACT = 1.5036205078197799e-22


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["theory", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_coverage_is_the_exact_one_and_not_the_published_figure(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = asked(capsys, "--classes", "100", "--k", "127")["rows"]
    assert math.exp(row["log_coverage"]) == pytest.approx(EXACT, rel=1e-12, abs=0)
    assert PUBLISHED / math.exp(row["log_coverage"]) > 1e18
    page = (Path(__file__).parents[2] / "docs" / "theory.md").read_text(encoding="utf-8")
    assert "1.5036·10⁻²²" in page
    assert "4.5·10⁻⁴" in page


def test_inclusion_exclusion_in_floating_point_is_off_as_the_published_figure_is() -> None:
    terms = [(-1) ** j * float(math.comb(100, j)) * (1 - j / 100) ** 128 for j in range(101)]
    assert abs(sum(terms)) > 1e6 * EXACT


def test_a_thousand_equal_classes_take_7485_draws(capsys: pytest.CaptureFixture[str]) -> None:
    expected = asked(capsys, "--classes", "1000", "--k", "1")["expected_draws"]
    assert expected == pytest.approx(1000 * sum(1 / i for i in range(1, 1001)), rel=1e-12)
    assert expected == pytest.approx(7485.47, abs=0.005)


def test_both_schemes_are_offered_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--counts", ",".join(["50"] * 20), "--k", "512"]
    free = asked(capsys, *options)
    finite = asked(capsys, *options, "--draws", "without_replacement")
    assert (free["scheme"], finite["scheme"]) == ("with_replacement", "without_replacement")
    ratio = math.exp(free["rows"][0]["log_no_collision"] - finite["rows"][0]["log_no_collision"])
    assert ratio == pytest.approx(28_000, rel=0.01)


def test_the_bounds_are_inverted_at_an_observed_loss(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = asked(capsys, "--classes", "10", "--k", "511", "--loss", "4.64")["rows"]
    upper = {bound["bound"]: bound["supervised_upper"] for bound in row["bounds"]}
    assert upper["nozawa2021"] == pytest.approx(2 * 4.64 - 3.94, abs=0.01)


def test_numbers_that_underflow_are_printed() -> None:
    assert scientific(-1000 * math.log(10) + math.log(2.5)) == "2.5000e-1000"
    assert scientific(-math.inf) == "0"


def test_the_figure_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["theory", "--classes", "10", "--out", str(tmp_path / "theory.svg")]) == 0
    assert "29.29 draws" in capsys.readouterr().out
    assert (tmp_path / "theory.svg").stat().st_size > 5_000


def test_no_torch_is_imported() -> None:
    code = (
        "import sys; from study.cli import main; main(['theory', '--classes', '10']); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["--classes", "x"], "--classes takes whole numbers"),
        (["--classes", "0"], "at least 1"),
        (["--priors", ".5,.4"], "sum to 1, not 0.9"),
        (["--counts", "5,0"], "is 0 for class 1"),
        (["--classes", "5", "--draws", "without_replacement"], "give --counts or --data"),
        (["--counts", "5,5", "--draws", "without_replacement", "--k", "10"], "at most 9 without replacement"),
        (["--classes", "5", "--loss", "2"], "add --k"),
        (["--classes", "5", "--k", "1,2", "--loss", "2"], "1 losses for 2 values of K"),
        (["--classes", "5", "--temperature", "0"], "above 0"),
        (["--classes", "5", "--out", "theory.txt"], "--out must end in"),
        (["--data", "nope"], "unknown data set 'nope'"),
    ],
)
def test_bad_input_gets_its_rule(arguments: list[str], rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["theory", *arguments]) == 2
    assert rule in capsys.readouterr().err

"""The command: quick help, JSON for scripts, and wrong input refused before anything starts."""

import itertools
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from study.cli import main
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.study import Study
from tests.conftest import TINY

RECIPE = f"""
from study import Study, TrialConfig, grid
study = Study("mine", base=TrialConfig(**{TINY!r}), space={{"k": grid(8, 32)}}, seeds=2)
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(RECIPE)
    return str(tmp_path / "mine.py")


def nothing_started(tmp_path: Path) -> bool:
    return not list((tmp_path / "runs").glob("*")) if (tmp_path / "runs").exists() else True


def test_plan_reports_cells_seeds_trials_done_and_pending(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", recipe, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert {name: plan[name] for name in ("cells", "seeds", "trials", "done", "pending")} == {
        "cells": 2, "seeds": 2, "trials": 4, "done": 0, "pending": 4,
    }  # fmt: skip


def test_list_names_everything_that_a_config_can_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {"studies", "data", "encoder", "method", "negatives", "objective", "bounds", "measures"} <= set(content)
    assert "quickstart" in content["studies"]
    assert content["negatives"]["without_same_class"]["uses_labels"] is True
    assert content["negatives"]["difficulty"]["parameters"]["hi"] == 1.0
    assert all(entry["description"] for kind in content.values() for entry in kind.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "tempreture=1"], "tempreture: no such key; did you mean 'temperature'?"),
        (["--set", "temperature=0"], "temperature: input should be greater than 0, such as 0.5, got 0"),
        (["--set", "encoder=conv-smal"], "did you mean 'conv-small'?"),
        (["--set", "k=500"], "k: 500 candidates are more than the 126 rows of simclr's pool"),
        (["--set", "data={name: cifar10, root: /nowhere/at/all}"], "/nowhere/at/all"),
        (["--set", "encoder=two-layers"], "one of your own needs its module: `modules: [my_parts]` in study.yaml"),
        (["--set", "optimizer={name: sgd, lr: 0.1}"], "optimizer.lr: no such key; did you mean 'learning_rate'?"),
        (["--set", "tau=0.1"], "tau: no such key; did you mean 'temperature'?"),
        (["--set", "augmentation={name: none, x: 1}"], "augmentation.x: no such key (there is none)"),
        (["--set", "epochs"], "--set takes PATH=VALUE"),
        (["--set", "k="], "--set k=null"),
        (["--set", "=5"], "--set takes PATH=VALUE"),
        (["--set", "k=8", "--set", "k=16"], "--set k: given twice"),
        (["--set", "negatives={name: difficulty, hi: 0.1, hi: 0.2}"], 'found duplicate key "hi"; keep one'),
        (["--storage", "/dev/null"], "/dev/null is a file, not a folder; give another --storage"),
        (["--storage", "s3://"], "names no bucket; write a folder, or s3://BUCKET/PREFIX"),
    ],
)
def test_wrong_input_is_refused_with_the_fix_and_nothing_is_started(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["run", recipe, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "nothing was started" in error
    assert nothing_started(tmp_path)


def test_a_misspelt_study_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "quickstrat"]) == 2
    assert "did you mean 'quickstart'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("study = Study(", "broken.py, line 1: '(' was never closed"),
        ("import not_a_module_anywhere", "No module named 'not_a_module_anywhere'; install it"),
        ("x = 1", "must define `study = Study(…)`"),
        ("x = 1\n1 / 0", "broken.py, line 2: ZeroDivisionError: division by zero"),
        ("from study import grid\ngrid()", "broken.py, line 2: ValueError: grid needs at least one value"),
        (
            "from study import Study\nStudy('a', spcae={})",
            "spcae: no such key; did you mean 'space'?",
        ),
        ("import sys\nsys.exit(3)", "broken.py, line 2: SystemExit: 3"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_named_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (tmp_path / "broken.py").write_text(content)
    assert main(["plan", str(tmp_path / "broken.py")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize("name", ["study", "json", "torch"])
def test_a_study_file_that_would_hide_a_module_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / f"{name}.py").write_text("from study import Study\nstudy = Study('a')")
    before = sys.modules.get(name)
    assert main(["plan", str(tmp_path / f"{name}.py")]) == 2
    assert f"rename it, such as my_{name}.py" in capsys.readouterr().err
    assert sys.modules.get(name) is before


def test_a_study_yaml_in_another_encoding_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.yaml").write_bytes("name: x".encode("utf-16"))
    assert main(["plan", str(tmp_path / "study.yaml")]) == 2
    assert "is not a text in UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ui", "--port", "0"], "--port must lie between 1 and 65535"),
        (["bench", "--seconds", "nan"], "--seconds must be above 0"),
    ],
)
def test_numbers_of_options_are_checked(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_options_are_not_abbreviated(recipe: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["plan", recipe, "--st", "k=8"])


def test_a_folder_is_refused_as_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(tmp_path)]) == 2
    assert "is a folder; give a Python file or study.yaml in it" in capsys.readouterr().err


@pytest.mark.parametrize("uri", ["127.0.0.1:5000", "http://127.0.0.1:9"])
def test_a_tracking_server_that_cannot_be_used_is_refused_before_any_trial(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    assert main(["run", recipe, "--tracking-uri", uri]) == 2
    assert "nothing was started" in capsys.readouterr().err
    assert not list(Store.of("mine", tmp_path / "runs").trials())


def test_a_class_folder_without_images_and_a_truncated_image_are_named(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for i in range(64):
                Image.new("RGB", (32, 32), (i, 0, 0)).save(tmp_path / "images" / split / name / f"{i:03}.png")
    (tmp_path / "images" / "train" / "owl").mkdir()
    wanted = ["--set", f"data={{name: image_folder, root: {tmp_path / 'images'}}}"]
    assert main(["plan", recipe, *wanted]) == 2
    assert "owl" in capsys.readouterr().err
    (tmp_path / "images" / "train" / "owl").rmdir()
    cut = tmp_path / "images" / "train" / "cat" / "007.png"
    cut.write_bytes(cut.read_bytes()[:40])
    assert main(["plan", recipe, *wanted, "--set", "data.skip_unreadable=true"]) == 0
    assert nothing_started(tmp_path)
    beside = ["--set", f"transfer=[{{name: image_folder, root: {tmp_path / 'images'}}}]"]
    for verb, data in itertools.product(("trial", "run"), (wanted, beside)):  # a plan reads no image
        assert main([verb, recipe, *data]) == 2
        assert f"{data[1].partition('=')[0]}: " in (error := capsys.readouterr().err)
        assert "007.png" in error
    assert not (tmp_path / "runs").exists()


def test_one_trial_runs_in_this_process_and_status_and_report_show_it(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trial", recipe, "--cell", "1", "--seed", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == "finished"
    assert found["metrics"]["train.k"] == 32
    assert main(["status", recipe, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["counts"] == {"finished": 1, "started": 0, "failed": 0, "pending": 3}
    assert main(["report", recipe, "--out", str(tmp_path / "out")]) == 0
    assert {"report.html", "results.csv", "results.parquet"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert main(["report", recipe, "--out", str(tmp_path / "paper"), "--format", "md", "--figures"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "paper" / "report.md")
    assert {"report.md", "figures", "tables"} <= {path.name for path in (tmp_path / "paper").iterdir()}
    assert not (tmp_path / "paper" / "report.html").exists()
    assert main(["trial", recipe, "--cell", "9"]) == 2
    assert "cell must lie between 0 and 1, got 9" in capsys.readouterr().err
    assert main(["trial", recipe, "--seed", str(2**63)]) == 2
    assert "seed must lie between 0 and 2**63 - 1, got 9223372036854775808" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # of MLflow's tables
def test_a_run_leaves_the_report_and_names_it_unless_another_session_tracks(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = [recipe, "--set", "k=32", "--set", "seeds=1", "--set", "save_encoders=none"]
    assert main(["trial", *study]) == 0
    report = tmp_path / "runs" / "mine" / "report.html"
    assert main(["run", *study, "--tracking-uri", "off"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"next: study report {recipe}"
    assert not report.exists()
    assert main(["run", *study]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [f"report: {report}", "next: study ui mine"]
    assert "1 of 1" in report.read_text()


def test_a_retry_that_is_refused_keeps_why_trials_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from study.recipes import load

    (tmp_path / "mine.py").write_text(RECIPE)
    study: Study = load(str(tmp_path / "mine.py"))
    folder = Store.of("mine", tmp_path / "runs").trial(study.trials()[0].id)
    folder.write_config({"config": {}, "cell": {}, "seed": 0})
    failure = TrialResult.failure("x")
    folder.write_result(failure)
    retry = ["retry", str(tmp_path / "mine.py"), "--storage", str(tmp_path / "runs")]
    assert main([*retry, "--tracking-uri", "http://127.0.0.1:1"]) == 2
    assert main([*retry, "--address", "127.0.0.1:1"]) == 2
    assert "no Ray cluster answers" in capsys.readouterr().err
    assert folder.result() == failure
    folder.reset()
    assert study.plan(storage=tmp_path / "runs").failed == 0


@pytest.mark.parametrize(
    ("sampler", "evaluations", "metric", "refused"),
    [
        ("grid", ["contrastive"], "linear.features.top1", False),  # the default: shown where there is one
        ("grid", ["linear"], "train.loss", False),
        ("grid", ["linear"], "linear.features.top2", True),
        ("tpe", ["contrastive"], "linear.features.top1", True),
    ],
)
def test_a_metric_that_no_trial_logs_is_refused_by_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sampler: str, evaluations: list[str], metric: str, refused: bool
) -> None:
    (tmp_path / "mine.py").write_text(RECIPE)
    arguments = ["plan", str(tmp_path / "mine.py"), "--storage", str(tmp_path), "--set", f"metrics={{{metric}: max}}"]
    arguments += ["--set", f"evaluations={json.dumps(evaluations)}", "--set", f"sampler={sampler}"]
    arguments += ["--set", "cells=3"] if sampler == "tpe" else []
    assert main(arguments) == (2 if refused else 0)
    assert (f"metrics.{metric}: no evaluation of this study reports it" in capsys.readouterr().err) == refused


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["plan"], ["rum"]])
def test_help_and_usage_errors_are_quick_because_nothing_heavy_is_imported(arguments: list[str]) -> None:
    check = (
        "import sys\nfrom study.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'mlflow', 'numpy', 'pandas', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 0.5


HEAVY = (
    "torch._dynamo",
    "sympy",
    "scipy.stats",
    "pandas",
    "matplotlib",
    "torchvision",
    "ray",
    "mlflow",
)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Lines of a plan in a log that takes ASCII alone, then the heavy modules that it has loaded."""
    arguments = ["plan", "quickstart", "--storage", str(tmp_path_factory.mktemp("planned"))]
    code = f"import sys\nfrom study.cli import main\nmain({arguments})\nprint({set(HEAVY)} & set(sys.modules))"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_log_that_does_not_take_every_character_ends_nothing(planned: list[str]) -> None:
    assert any("4 cells ? 4 seeds = 16 trials" in line for line in planned)


def test_a_plan_loads_no_more_than_it_needs(planned: list[str]) -> None:
    assert planned[-1] == "set()"


def test_a_run_checks_its_study_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.planning import plan

    checked = []
    resolve_cells = plan.resolve_cells
    monkeypatch.setattr(plan, "resolve_cells", lambda study, cells: checked.append(1) or resolve_cells(study, cells))
    monkeypatch.setattr("study.execution.runner.check_writable", lambda path: sys.exit(3))
    with pytest.raises(SystemExit):
        main(["run", "quickstart", "--storage", str(tmp_path)])
    assert checked == [1]


@pytest.mark.parametrize("verb", ["run", "retry"])
def test_a_job_enters_its_own_folder_before_the_study_is_read(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr("study.execution.job.job", lambda: "job")
    monkeypatch.setattr("study.execution.job.described", lambda: "a job")
    monkeypatch.setattr("study.execution.job.enter_own_folder", lambda: done.append("entered"))
    monkeypatch.setattr("study.execution.job.check_storage", lambda storage: done.append("storage checked"))
    monkeypatch.setattr("study.cli.verbs.load_target", lambda options: done.append("read") or sys.exit(3))
    with pytest.raises(SystemExit):
        main([verb, "quickstart"])
    assert done == ["entered", "storage checked", "read"]

"""Studies from files: what of them can be read where their components are not."""

import json
from pathlib import Path

import pytest

import study as public
from study import Study, TrialConfig, grid
from study.cli import main
from study.planning.kept import record
from study.planning.plan import check_study, make_plan
from study.recipes import MissingModules, from_yaml
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.run import described
from tests.conftest import TINY


@pytest.fixture
def colleagues(tmp_path: Path) -> Path:
    """The study.yaml of a study that ran elsewhere, with a component of a module that is not here."""
    study = Study("theirs", base=TrialConfig(**TINY), space={"temperature": grid(0.2, 0.5)}, seeds=2)
    store, trials = Store.of("theirs", tmp_path / "runs"), check_study(study)
    store.path.mkdir(parents=True)
    (store.path / "study.yaml").write_text(study.to_yaml(["a_module_of_theirs"]).replace("simclr", "their_simclr"))
    (store.path / "plan.json").write_text(json.dumps(make_plan(study, store, trials).plain()))
    record(study, store, trials)
    for number, trial in enumerate(trials[:3]):
        folder = store.trial(trial.id)
        folder.write_config(described(trial))
        metrics = {"linear.features.top1": 50.0 + number, "memory.peak_mib": 1.0}
        folder.write_result(TrialResult(status="finished", metrics=metrics, started=0, ended=1))
    return store.path / "study.yaml"


def test_what_is_stored_is_read_without_the_components(colleagues: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(colleagues)]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("theirs: 3 finished")
    assert "a_module_of_theirs" in told.err
    assert main(["plan", str(colleagues)]) == 0
    assert "2 cells × 2 seeds = 4 trials (grid)\n  3 done, 0 failed, 0 started, 1 pending" in capsys.readouterr().out
    assert main(["report", str(colleagues)]) == 0
    assert (colleagues.parent / "report.html").exists()


def test_it_cannot_be_run_without_them(colleagues: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(colleagues)]) == 2
    assert "No module named 'a_module_of_theirs'" in capsys.readouterr().err
    with pytest.raises(MissingModules) as missing:
        from_yaml(colleagues.read_text())
    assert missing.value.study.name == "theirs"


def test_a_report_that_cannot_be_written_says_how_to_write_it_elsewhere(
    colleagues: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(colleagues), "--out", "/proc/nowhere"]) == 2
    assert "report: /proc/nowhere cannot be written to" in (told := capsys.readouterr().err)
    assert told.strip().endswith("write it elsewhere with --out FOLDER")


def test_the_public_names_are_listed() -> None:
    assert set(public.__all__) <= set(dir(public))


def test_a_study_and_its_plan_show_themselves_in_a_notebook(tmp_path: Path) -> None:
    study = Study("s", base=TrialConfig(**TINY), space={"k": grid(8, 32)}, seeds=2, question="Is K < 9 enough?")
    shown = study._repr_html_()
    assert "<th>k</th>" in shown
    assert "<td>64</td>" in shown
    assert "K &lt; 9" in shown
    assert "<tr><th>trials</th><td>4</td></tr>" in study.plan(storage=tmp_path)._repr_html_()

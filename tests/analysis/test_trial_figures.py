"""A trial's figures are drawn from its tables; what has no table is left out."""

from pathlib import Path

from study import TrialConfig
from study.analysis.trial_figures import class_map, draw_figures
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.run import run_trial
from tests.conftest import TINY


def test_a_trial_leaves_its_tables_and_figures(tmp_path: Path, each_precision: str) -> None:
    config = TrialConfig(**{**TINY, "epochs": 1, "evaluations": ["bounds", "negatives"]})
    folder = Store.of("s", tmp_path).trial("t")
    result = run_trial(resolve(config), folder, threads=1)
    assert result.status == "finished", result.reason
    assert result.environment["precision"] == each_precision
    names = {path.name for path in folder.artifacts.iterdir()}
    assert {"bounds.profile.json", "negatives.bands.json", "negatives.difficulty.json"} <= names
    assert {"bounds.slack.png", "negatives.difficulty.png", "negatives.consistency.png"} <= names


def test_nothing_is_drawn_without_tables(tmp_path: Path) -> None:
    draw_figures({}, tmp_path / "figures")
    assert list((tmp_path / "figures").iterdir()) == []


def test_the_class_map_names_its_classes() -> None:
    rows = [{"class": "a", "synset": "", "a": 1.0, "b": 0.2}, {"class": "b", "synset": "", "a": 0.1, "b": 1.0}]
    info = class_map([rows])
    assert info.values.tolist() == [[1.0, 0.2], [0.1, 1.0]]
    assert [name for _, name in info.ticks] == ["a", "b"]

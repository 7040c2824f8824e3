"""A trial's and a study's figures, from the one list: as files, in the report, and where something is amiss."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.image import imread
from ray import cloudpickle

from study import TrialConfig
from study.execution.worker import user_modules
from study.figures import FIGURES, Figure, Picture
from study.figures.figure import registered, save_picture, save_trial_figures
from study.figures.negatives.class_maps import difficulty_map
from study.figures.records import by_value
from study.planning.resolve import resolve
from study.report.page import write_report
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.run import run_trial
from tests.conftest import TINY


@pytest.fixture
def users() -> Iterator[type[Figure]]:
    """A user's figure: a class and a decorator, in a module outside of the project."""

    @FIGURES.register("seconds")
    class Seconds(Figure):
        """Seconds of each trial."""

        def of_study(self, records):
            info = tuple(records.results.finished["seconds"])
            yield Picture(
                "seconds", info, "Seconds of each trial <b>.", f"{len(info)} trials of {max(info):g} s or less"
            )

        def of_trial(self, tables, journal):
            yield Picture("epochs", tuple(line["epoch"] for line in journal), "Epochs", "epochs")

        def draw(self, info):
            from matplotlib.figure import Figure as Drawing

            drawing = Drawing(figsize=(3, 2))
            drawing.subplots().plot(info)
            return drawing

    yield Seconds
    del FIGURES._entries["seconds"], FIGURES._traits["seconds"]


def finished(storage: Path) -> Store:
    store = Store.of("s", storage)
    for seed in (0, 1):
        trial = store.trial(f"t{seed}")
        trial.write_config({"config": {"seed": seed}, "cell": {}, "seed": seed})
        metrics = {"linear.features.top1": 50.0 + seed}
        trial.write_result(TrialResult(status="finished", metrics=metrics, seconds=3.0, started=0, ended=3))
    return store


def test_a_registered_figure_is_in_the_report(tmp_path: Path, users: type[Figure]) -> None:
    html = write_report(finished(tmp_path))[0].read_text()
    (figure,) = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    assert 'aria-label="2 trials of 3 s or less"' in figure
    assert "Seconds of each trial &lt;b&gt;." in figure


def test_a_picture_as_png_has_the_pixels_that_matplotlib_saves(tmp_path: Path, users: type[Figure]) -> None:
    picture = Picture("seconds", (1.0, 3.0, 2.0), "", "")
    save_picture(users(), picture, tmp_path / "ours.png")
    users().draw(picture.info).savefig(tmp_path / "matplotlib.png", dpi=150)
    ours, theirs = (imread(tmp_path / name) for name in ("ours.png", "matplotlib.png"))
    assert ours.shape == (300, 450, 4)
    assert (ours == theirs).all()
    assert ours.std() > 0


def test_a_users_figure_travels_with_the_trial_to_workers_that_do_not_know_it(users: type[Figure]) -> None:
    trial = resolve(TrialConfig(**TINY))
    modules = user_modules([trial])
    try:
        assert modules == [__name__]
        assert isinstance(trial.parts.figures["seconds"], users)
        assert "seconds" in cloudpickle.loads(cloudpickle.dumps(trial)).parts.figures
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_a_figure_that_fails_costs_neither_the_trial_nor_the_report(tmp_path: Path, users: type[Figure]) -> None:
    users.of_study = users.of_trial = lambda self, *sources: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    assert save_trial_figures(registered(), {}, tmp_path) == {"seconds": "ZeroDivisionError: division by zero"}
    assert "Left out: ZeroDivisionError: division by zero." in write_report(finished(tmp_path))[0].read_text()


def test_a_figure_that_cannot_be_drawn_is_left_out_of_the_report_and_its_files(
    tmp_path: Path, users: type[Figure]
) -> None:
    users.draw = lambda self, info: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    (page,) = write_report(finished(tmp_path), files=True)
    assert "Left out: ZeroDivisionError: division by zero." in page.read_text()
    assert not (page.parent / "figures" / "seconds.pdf").exists()


def test_a_trial_leaves_its_tables_and_figures_a_users_too(
    tmp_path: Path, users: type[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_BFLOAT16", "1")  # which NumPy does not have
    config = TrialConfig(**{**TINY, "epochs": 1, "evaluations": ["bounds", "negatives", "linear"]})
    folder = Store.of("s", tmp_path).trial("t")
    result = run_trial(resolve(config), folder, threads=1)
    assert result.status == "finished", result.reason
    assert not [name for name in result.skipped if name.startswith("figure")]
    assert result.environment["precision"] == "bfloat16"
    names = {path.name for path in folder.artifacts.iterdir()}
    assert {"bounds.profile.json", "negatives.bands.json", "negatives.difficulty.json"} <= names
    assert {name for name in names if name.endswith(".png")} == {
        "bounds.slack.png",
        "negatives.bands.same_class_share.png",
        "negatives.bands.wup_other.png",
        "negatives.difficulty.png",
        "linear.features.confusion.png",
        "negatives.consistency.png",
        "negatives.collisions.png",
        "negatives.histogram.meaning.png",
        "negatives.histogram.queries.png",
        "negatives.meaning.png",
        "epochs.png",
    }


def test_nothing_is_drawn_without_tables(tmp_path: Path) -> None:
    assert save_trial_figures(registered(), {}, tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_class_without_a_synset_leaves_the_map_in_its_own_order() -> None:
    rows = [{"class": name, "synset": "", "ship": 0.2, "zebra": 0.1} for name in ("zebra", "ship")]
    assert [name for _, name in difficulty_map([rows]).ticks] == ["zebra", "ship"]


def test_rows_are_grouped_in_order_of_value() -> None:
    names = ["difficulty(hi=0.05)", "all", "difficulty(hi=0.005)", "difficulty(hi=1)"]
    frame = pd.DataFrame({"k": [128, 8, 32, 8], "negatives": names})
    assert [values for values, _ in by_value(frame, ["k"])] == [(8,), (32,), (128,)]
    ordered = [values for (values,), _ in by_value(frame, ["negatives"])]
    assert ordered == ["all", "difficulty(hi=0.005)", "difficulty(hi=0.05)", "difficulty(hi=1)"]

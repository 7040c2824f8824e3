"""The report of noise, of many cells, and of one definition among others: nothing is shown as more than it is."""

import itertools
import json
import random
import re
from pathlib import Path

import pytest

from study.figures import Records
from study.figures.figure import registered, study_pictures
from study.report.cells import tables_section
from study.report.html import Html
from study.report.page import write_report
from study.report.parts import Table, Words, every
from study.report.sections import bounds_section
from study.results import Results
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from tests.figures.theory.test_groups import results as losses
from tests.report.test_page import add, rows_of


def of_losses(ks: tuple[int, ...]) -> Records:
    records = Records(losses(ks=ks), Store(Path("nowhere")))
    vars(records)["profiles"] = {}  # as if it were read from the store
    return records


def test_a_fit_that_is_not_identified_is_not_tabulated_and_the_words_say_why() -> None:
    section = bounds_section(of_losses((16, 64)))
    assert section is not None
    assert "fits" not in [part.name for part in section.parts if isinstance(part, Table)]
    (why,) = [part.text for part in section.parts if isinstance(part, Words) and "neither drawn nor" in part.text]
    assert why.startswith("8 of 8 fits are neither drawn nor tabulated, as they say nothing: ")


def test_weights_are_among_the_fits_that_are_tabulated() -> None:
    section = bounds_section(of_losses((16, 32, 64, 128)))
    assert section is not None
    (fits,) = [part.frame for part in every([section]) if isinstance(part, Table) and part.name == "fits"]
    assert fits.groupby("negatives")["weight"].sum().tolist() == pytest.approx([1, 1])
    assert fits.groupby("negatives")["delta_aicc"].min().tolist() == [0, 0]


def test_one_seed_has_points_that_nothing_joins_and_no_best_cell(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    for k in (4, 16, 64):
        add(store, k, "all", 0)
    records = Records(Results.load(store), store)
    chosen = {"accuracy": registered()["accuracy"]}
    ((figure, picture),) = study_pictures(chosen, records, {})
    (axes,) = figure.draw(picture.info).axes
    assert [container.lines[0].get_linestyle() for container in axes.containers] == ["None"]
    html = write_report(store)[0].read_text()
    assert "no cell can be told apart with one seed" in html
    assert "may be the best" not in html


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Store of 200 cells under two seeds."""
    store, draw = Store.of("many", tmp_path_factory.mktemp("storage")), random.Random(0)
    strategies = ("all", "without_same_class", "hardest_5pct", "easiest_95pct", "mixing")
    cells = itertools.product((4, 16, 64, 256), [round(0.1 * i, 1) for i in range(1, 11)], strategies, (0, 1))
    for number, (k, temperature, strategy, seed) in enumerate(cells):
        trial = store.trial(f"{number:012x}")
        cell = {"k": k, "temperature": temperature, "negatives": strategy}
        trial.write_config({"config": cell | {"seed": seed}, "cell": cell, "seed": seed})
        top1 = 50 - 20 * abs(temperature - 0.3) + draw.gauss(0, 1)
        metrics = {"linear.features.top1": top1, "linear.floor.top1": 30.0}
        trial.write_result(TrialResult(status="finished", metrics=metrics, started=0, ended=1, seconds=1.0))
    return store


def test_two_hundred_cells_are_forty_rows_the_others_on_demand(many: Store) -> None:
    section = tables_section(Records(Results.load(many), many))
    assert section is not None
    html = Html().body(section.parts)
    table = html[html.index("Cells. Mean") :]
    assert table[: table.index("</table>")].count("<tr>") == 41
    assert "<summary>160 more rows</summary>" in table
    assert re.search(r"First the \d+ of 200 cells that may be the best", table)


def test_in_figures_of_two_hundred_cells_no_words_of_an_axis_touch(many: Store) -> None:
    records = Records(Results.load(many), many)
    vars(records)["profiles"] = {}
    drawn = list(study_pictures(registered(), records, {}))
    assert {picture.name for _, picture in drawn} >= {"accuracy.k", "accuracy.temperature", "response", "importance"}
    for figure, picture in drawn:
        drawing = figure.draw(picture.info)
        drawing.canvas.draw()
        for axes in (axes for axes in drawing.axes if axes.get_visible()):
            assert len(axes.containers) <= 7, picture.name
            for axis in (axes.xaxis, axes.yaxis):
                labels = [label for label in axis.get_ticklabels() if label.get_visible() and label.get_text()]
                if any(label.get_rotation() for label in labels):
                    continue  # slanted ones have boxes that overlap
                boxes = [label.get_window_extent() for label in labels]
                inside = [box for box in boxes if box.width]
                assert not any(a.overlaps(b) for a, b in itertools.pairwise(inside)), (picture.name, axis)


def test_small_multiples_share_their_scales(many: Store) -> None:
    records = Records(Results.load(many), many)
    chosen = {"accuracy": registered()["accuracy"]}
    for figure, picture in study_pictures(chosen, records, {}):
        panels = [axes for axes in figure.draw(picture.info).axes if axes.get_visible()]
        assert len({axes.get_ylim() for axes in panels}) == len({axes.get_xlim() for axes in panels}) == 1


@pytest.fixture
def several(tmp_path: Path) -> Store:
    """Store of one definition, and of two others that have other epochs and another K."""
    store = Store.of("s", tmp_path)
    trials = [(16, 1, 50.0), (16, 1, 51.0), (16, 2, 90.0), (16, 2, 90.0), (32, 1, 90.0)]
    for place, (k, epochs, top1) in enumerate(trials):
        trial, seed = store.trial(f"aa{place}"), place % 2
        trial.write_config({"config": {"k": k, "epochs": epochs, "seed": seed}, "cell": {"k": k}, "seed": seed})
        metrics = {"linear.features.top1": top1}
        trial.write_result(TrialResult(status="finished", metrics=metrics, started=0, ended=1))
    (store.path / "planned.json").write_text(json.dumps({"trials": ["aa0", "aa1"]}))
    return store


def test_other_definitions_are_named_with_their_trials_and_how_to_get_at_them(several: Store) -> None:
    html = write_report(several)[0].read_text()
    assert "Beside it in the storage lie 3 trials of other definitions" in html
    assert "study report NAME --others" in html
    assert rows_of(html, "Trials of other definitions") == ["differs in trials", "epochs = 2 2", "k = 32 1"]
    assert "90.0" not in html


def test_other_definitions_are_taken_in_on_request_and_told_apart(several: Store) -> None:
    html = write_report(several, others=True)[0].read_text()
    assert "90.0" in html
    assert "other definitions" not in html
    assert ">epochs</th>" in html

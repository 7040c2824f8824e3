"""Epochs and seconds to an accuracy: the first measured epoch, and what never reached it is said to be censored."""

from pathlib import Path

import pandas as pd
import pytest

from study import Study, TrialConfig, grid
from study.figures import Records
from study.figures.outcome.pace import Pace, soonest
from study.figures.outcome.panels import draw_panels
from study.figures.outcome.training_loss import by_epoch
from study.results import Results
from study.results.pace import ON_THE_WAY, time_to
from study.storage.store import Store
from tests.conftest import TINY


def journal(**accuracies: list[float]) -> pd.DataFrame:
    """Of each trial, measured every second epoch, ten seconds an epoch."""
    rows = [
        (trial, epoch, value, 10.0 * epoch if epoch % 2 == 0 else None)
        for trial, values in accuracies.items()
        for epoch, value in enumerate([x for y in values for x in (None, y)], 1)
    ]
    return pd.DataFrame(rows, columns=["trial_id", "epoch", ON_THE_WAY, "time.train_s"]).astype({ON_THE_WAY: float})


def trials(*ids: str) -> pd.DataFrame:
    cells = ["all" if i < 2 else "hardest_5pct" for i in range(len(ids))]
    return pd.DataFrame({"trial_id": ids, "negatives": cells, "seed": [i % 2 for i in range(len(ids))]})


def test_it_is_the_first_measured_epoch_that_has_it_and_what_never_has_is_censored() -> None:
    steps = journal(a=[30, 50, 60], b=[30, 45, 49.9], c=[50, 40, 70], d=[10, 20, 30])
    found = time_to(trials("a", "b", "c"), ["negatives"], steps, 50, ON_THE_WAY)
    assert found.to_dict("list") == {
        "trial_id": ["a", "b", "c"],
        "negatives": ["all", "all", "hardest_5pct"],
        "seed": [0, 1, 0],
        "epochs": [4, 6, 2],
        "train_s": [40.0, 60.0, 20.0],
        "censored": [False, True, False],
    }


def test_without_measurements_it_says_what_to_set() -> None:
    with pytest.raises(ValueError, match="set accuracy_every, such as accuracy_every=5"):
        time_to(trials("a"), [], journal(b=[30]), 50, ON_THE_WAY)
    with pytest.raises(ValueError, match="a table holds no epochs"):
        Results(trials("a")).time_to(50)


def test_the_figure_says_which_cell_reaches_what_all_reach_first() -> None:
    steps = journal(a=[30, 50, 60], b=[32, 52, 58], c=[50, 60, 70], d=[52, 62, 68])
    frame = trials("a", "b", "c", "d")
    frame = frame[["trial_id"]].assign(
        status="finished", reason=None, seed=frame["seed"], class_counts="[]", negatives=frame["negatives"], seconds=1.0
    )
    info = by_epoch(Results(frame), steps, ON_THE_WAY, unit="%")
    assert info is not None
    (panel,) = info.panels
    assert [(one.label, one.x, one.mean) for one in panel.curves] == [
        ("all", (2, 4, 6), (31, 51, 59)),
        ("hardest_5pct", (2, 4, 6), (51, 61, 69)),
    ]
    assert panel.curves[0].high[0] - 31 == pytest.approx(12.706, abs=1e-3)  # t(.975; 1) · √2/√2
    assert soonest(info).startswith(" All means reach 59.0 %, hardest_5pct first (epoch 4), all last (epoch 6)")
    assert info.y_label == "knn.quick.validation.top1 (%)"
    draw_panels(info).draw_without_rendering()


def test_a_study_that_measures_it_has_the_table_and_the_figure(tmp_path: Path) -> None:
    base = TrialConfig(**{**TINY, "data": {"name": "shapes", "train_size": 512, "test_size": 40}, "evaluations": []},
                       accuracy_every=2)  # fmt: skip
    study = Study("s", base=base, space={"temperature": grid(0.2, 0.5)})
    for cell in range(2):
        study.run_one(cell, storage=tmp_path)
    store = Store.of("s", tmp_path)
    found = Results.load(store).time_to(0)
    assert found["epochs"].tolist() == [2, 2]
    assert not found["censored"].any()
    assert (found["train_s"] > 0).all()
    never = Results.load(store).time_to(101)
    assert never["epochs"].tolist() == [3, 3]
    assert never["censored"].all()
    (picture,) = Pace().of_study(Records(Results.load(store), store))
    assert picture.caption.startswith("Is the same accuracy reached sooner with the hardest 5 %?")

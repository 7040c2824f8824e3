import math

import pandas as pd
import pytest

from study.analysis.importance import BINS
from study.figures.outcome.accuracy import accuracy_info
from study.figures.outcome.panels import draw_panels
from study.figures.outcome.training_loss import by_epoch
from study.results import Results

METRIC = "linear.features.top1"


def table(cells, seeds=3, **constants):
    """Trials with top1 = 40 + log2 K + 10 t + seed; the columns that vary are those of `cells`."""
    rows = []
    for cell in cells:
        for seed in range(seeds):
            top1 = 40 + math.log2(cell.get("k", 1)) + 10 * cell.get("temperature", 0) + seed
            identity = {"trial_id": f"t{len(rows)}", "status": "finished", "reason": None, "seed": seed}
            identity["class_counts"] = "[]"
            rows.append(identity | cell | {"seconds": 1.0, METRIC: top1, "linear.floor.top1": 30.0 + seed} | constants)
    return Results(pd.DataFrame(rows), "figures")


def grid(ks=(16, 64), temperatures=(0.1, 0.5), strategies=("all", "uniform(count=4)"), **more):
    return [
        {"k": k, "temperature": t, "negatives": s} | more for k in ks for t in temperatures for s in strategies
    ]  # fmt: skip


def test_accuracy_against_k_has_a_curve_a_temperature_and_a_panel_a_strategy():
    info = accuracy_info(table(grid()), "k", METRIC)
    assert [panel.title for panel in info.panels] == ["all", "uniform(count=4)"]
    assert [curve.label for curve in info.panels[0].curves] == ["0.1", "0.5"]
    cold = info.panels[0].curves[0]
    assert (cold.x, cold.n) == ((16, 64), (3, 3))
    assert cold.mean == pytest.approx((46, 48))
    assert all(math.isnan(end) for end in (*cold.low, *cold.high))  # seeds move all cells alike: no noise is left
    assert (info.floor, info.legend, info.log_x, info.averaged) == (31, "temperature", True, ())


def test_accuracy_against_temperature_has_a_curve_a_k():
    info = accuracy_info(table(grid()), "temperature", METRIC)
    assert [curve.label for curve in info.panels[0].curves] == ["16", "64"]
    assert info.panels[0].curves[0].mean == pytest.approx((46, 50))
    assert info.legend == "k"


def test_strategies_take_the_colours_where_the_temperature_is_fixed():
    results = table([{"k": k, "negatives": s} for k in (16, 64) for s in ("all", "ring")])
    info = accuracy_info(results, "k", METRIC)
    assert [(panel.title, [curve.label for curve in panel.curves]) for panel in info.panels] == [("", ["all", "ring"])]


def test_one_seed_has_no_interval():
    info = accuracy_info(table(grid(), seeds=1), "k", METRIC)
    assert all(math.isnan(low) for low in info.panels[0].curves[0].low)
    draw_panels(info).draw_without_rendering()


def test_paths_with_many_values_are_averaged_over_and_named():
    cells = [cell | {"optimizer.lr": 0.01 * i} for i, cell in enumerate(grid(ks=(16, 64, 256)), 1)]
    info = accuracy_info(table(cells), "k", METRIC)
    assert info.averaged == ("optimizer.lr",)
    assert len(info.panels) == 2


def test_axis_of_a_random_search_is_cut_into_bins():
    cells = [{"k": 16 + i, "temperature": 0.5} for i in range(100)]
    info = accuracy_info(table(cells, seeds=1), "k", METRIC)
    (curve,) = info.panels[0].curves
    assert len(curve.x) == BINS
    assert sum(curve.n) == 100


@pytest.mark.parametrize("cells", [[{"k": 16}], [{"temperature": 0.1}, {"temperature": 0.5}]])
def test_no_figure_against_what_does_not_vary(cells):
    assert accuracy_info(table(cells), "k", METRIC) is None


def test_no_figure_of_what_was_not_measured():
    assert accuracy_info(table(grid()), "k", "knn.features.top1") is None
    assert by_epoch(table(grid()), pd.DataFrame(columns=["trial_id", "epoch"])) is None


def test_metric_without_floor_has_no_floor_line():
    frame = table(grid()).frame.drop(columns="linear.floor.top1")
    assert accuracy_info(Results(frame), "k", METRIC).floor is None


def test_loss_is_the_mean_over_the_seeds_of_a_cell_and_skips_what_is_not_finite():
    results = table([{"k": 16}, {"k": 64}], seeds=2)
    losses = [("t0", 1, 4.0), ("t0", 2, 3.0), ("t1", 1, 6.0), ("t1", 2, math.nan), ("t2", 1, 8.0), ("t2", 2, math.inf)]
    info = by_epoch(results, pd.DataFrame(losses, columns=["trial_id", "epoch", "train.loss"]))
    sixteen, sixty_four = info.panels[0].curves
    assert (sixteen.x, sixteen.mean) == ((1, 2), (5, 3))
    assert (sixty_four.x, sixty_four.mean) == ((1,), (8,))


def test_drawing_shows_a_panel_each_and_keeps_a_levels_colour_where_another_is_missing():
    cells = [cell for cell in grid() if cell["temperature"] == 0.5 or cell["negatives"] == "all"]
    figure = draw_panels(accuracy_info(table(cells), "k", METRIC))
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["all", "uniform(count=4)"]
    assert panels[0].lines[0].get_xdata().tolist() == [16, 64]
    colour = {line.get_label(): line.get_color() for line in figure.legends[0].get_lines()}
    assert panels[1].lines[0].get_color() == colour["0.5"] != colour["0.1"]
    assert "untrained encoder" in colour


def test_panels_and_curves_are_in_order_of_the_numbers_in_their_names():
    cells = [{"k": k, "negatives": s} for k in (16, 64) for s in ("uniform(count=16)", "all", "uniform(count=4)")]
    info = accuracy_info(table(cells), "k", METRIC)
    assert [curve.label for curve in info.panels[0].curves] == ["all", "uniform(count=4)", "uniform(count=16)"]


def test_a_figure_is_told_in_words():
    info = accuracy_info(table([{"k": 16}, {"k": 64}]), "k", METRIC)
    assert info.words == f"{METRIC} (%) against K, candidates an anchor is offered. 45 at K = 16, 47 at K = 64"


def test_long_names_in_a_legend_leave_the_panels_their_width():
    long = [
        {"optimizer": f"{name}(learning_rate=0.003, warmup_epochs=2)", "k": k}
        for name in ("sgd", "adamw")
        for k in (16, 64)
    ]
    short = [{"optimizer": name, "k": k} for name in ("sgd", "adamw") for k in (16, 64)]
    widths = []
    for cells in (long, short):
        figure = draw_panels(accuracy_info(table(cells), "k", METRIC))
        figure.draw_without_rendering()
        widths.append(figure.axes[0].get_position().width)
    assert min(widths) > 0.5

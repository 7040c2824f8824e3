"""The report's parts on theory and on negatives: what the trials' tables say, cell by cell."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from study.analysis import bound_figures, semantic_figures
from study.report import Section, svg, table
from study.results import Results, cell_label, journals
from study.store import Store, TrialFolder
from study.trial_figures import class_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = 4
"""Groups of trials that the theory's figures are drawn for; the table has them all."""
CELLS = 6
"""Cells whose negatives are drawn; the table has them all."""
SHOWN = ("aicc", "delta_aicc", "weight", "rmse", "r2", "leave_one_k_out", "rank_correlation", "unidentified")
NEGATIVES = (
    "hard_5pct.same_class_share",
    "easy_5pct.same_class_share",
    "pool.same_class_share",
    "hard_5pct.wup_other",
    "easy_5pct.wup_other",
    "spearman_wup",
    "spearman_wup_pairs",
    "hard_5pct.overdispersion",
    "hard_5pct.beyond_99",
)


def theory_section(results: Results, store: Store) -> Section | None:
    """Bounds and accuracy against K, slack, fitted curves, and which bound explains the losses better."""
    try:
        frame, by = results.losses()
        compared = results.compare_bounds()
    except ValueError as error:
        return _left_out("Theory", error)
    priors = results.priors()
    accuracies = [name for name in ("mean_classifier.top1", "linear.embeddings.top1") if name in frame]
    body = Markup("")
    groups = list(frame.groupby(by, dropna=False, sort=False)) if by else [((), frame)]
    for values, rows in groups[:CURVES]:
        name = cell_label(dict(zip(by, values, strict=True)))
        fits = [
            fit for bound in ("arora2019", "nozawa2021") for fit in results.fit(bound) if _same(fit.group, by, values)
        ]
        field = bound_figures.bounds_info(rows, priors=priors, accuracies=accuracies)
        slack = bound_figures.slack_info(_slack(rows))
        fitted = bound_figures.fit_info(rows, fits)
        body += _captioned(partial(_drawn, bound_figures.draw_bounds, field), f"Bounds on L_sup and accuracy; {name}")
        body += _captioned(partial(_drawn, bound_figures.draw_slack, slack), f"L_cont minus each lower bound; {name}")
        body += _captioned(partial(_drawn, bound_figures.draw_fit, fitted), f"L_cont and fitted curves; {name}")
    columns = [*by, "bound", *(c for c in SHOWN if c in compared)]
    note = Markup(
        "<p>Losses in nats on the test split; d is fixed at its measured value. AICc: lower explains better.</p>"
    )
    return Section("Theory", _row(body) + note + table(compared[columns]))


def negatives_section(results: Results, store: Store) -> Section | None:
    """Which negatives are hard for the trained encoders, and what they mean."""
    metrics = [f"negatives.{name}" for name in NEGATIVES if f"negatives.{name}" in results.frame]
    folders = {folder.id: folder for folder in store.trials()}
    if not metrics:
        return None
    cells = results.finished.groupby(results.varying or "status", dropna=False, sort=False)
    by_cell = {_name(results, values): [folders[i] for i in rows["trial_id"]] for values, rows in cells}
    body = Markup("")
    for info, draw, caption in _negative_figures(by_cell):
        body += _captioned(partial(draw, info), caption)
    collisions = _collisions(results, store)
    if collisions is not None:
        body += _captioned(partial(semantic_figures.draw_epochs, collisions), "Collision rate of what was selected")
    shown = results.table(metrics).rename(columns={name: name.removeprefix("negatives.") for name in metrics})
    return Section("Negatives", _row(body) + table(shown))


SECTIONS = (theory_section, negatives_section)


def _negative_figures(by_cell: dict[str, list[TrialFolder]]) -> Iterator[tuple[Any, Callable[[Any], "Figure"], str]]:
    tables = {name: [t for f in folders if (t := _read(f, "negatives.bands"))] for name, folders in by_cell.items()}
    tables = {name: of_cell for name, of_cell in list(tables.items())[:CELLS] if of_cell}
    if not tables:
        return
    columns = ("same_class_share", "wup_other") if "wup_other" in next(iter(tables.values()))[0][0] else ()
    for column in columns or ("same_class_share",):
        yield semantic_figures.band_info(tables, column), semantic_figures.draw_bands, f"{column} by difficulty"
    first = next(iter(by_cell))
    difficulty = _read(by_cell[first][0], "negatives.difficulty")
    if difficulty:
        info = class_map(difficulty)
        yield info, semantic_figures.draw_map, f"Mean similarity of negatives by class, in WordNet order; {first}"
    histogram = _read(by_cell[first][0], "negatives.consistency_histogram")
    if histogram:
        yield (
            semantic_figures.consistency_info(histogram),
            semantic_figures.draw_consistency,
            (f"How often a negative is among the hardest 5 %; {first}"),
        )


def _collisions(results: Results, store: Store) -> semantic_figures.EpochInfo | None:
    metric = "train.collision_rate.selection"
    history = journals(store, [metric]).dropna()
    if history.empty:
        return None
    by_trial = {i: dict(zip(rows["epoch"], rows[metric], strict=True)) for i, rows in history.groupby("trial_id")}
    cells = results.finished.groupby(results.varying or "status", dropna=False, sort=False)
    named = {_name(results, values): [by_trial[i] for i in rows["trial_id"] if i in by_trial] for values, rows in cells}
    return semantic_figures.epoch_info({n: h for n, h in list(named.items())[:CELLS] if h}, metric)


def _slack(rows: pd.DataFrame) -> pd.DataFrame:
    names = [c for c in rows.columns if c.startswith("bounds.") and c.endswith(".slack")]
    parts = [pd.DataFrame({"k": rows["k"], "bound": name.split(".")[1], "slack": rows[name]}) for name in names]
    return pd.concat(parts, ignore_index=True)


def _same(group: dict[str, Any], by: list[str], values: tuple[Any, ...]) -> bool:
    return all(group[name] == value for name, value in zip(by, values, strict=True))


def _name(results: Results, values: Any) -> str:
    values = values if isinstance(values, tuple) else (values,)
    return cell_label(dict(zip(results.varying, values, strict=True))) if results.varying else "all trials"


def _read(folder: TrialFolder, name: str) -> list[dict[str, Any]]:
    path = folder.artifacts / f"{name}.json"
    return list(json.loads(path.read_text())) if path.exists() else []


def _drawn(draw: Callable[[Any, "Axes"], Any], info: Any) -> "Figure":
    from matplotlib.figure import Figure

    page = Figure(figsize=(6.4, 4.0), layout="constrained")
    draw(info, page.add_subplot())
    return page


def _row(figures: Markup) -> Markup:
    return Markup('<div class="row">{}</div>').format(figures)


def _captioned(draw: Callable[[], "Figure"], caption: str) -> Markup:
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(svg(draw), caption)


def _left_out(title: str, error: ValueError) -> Section:
    return Section(title, Markup("<p>Left out: {}.</p>").format(str(error)))

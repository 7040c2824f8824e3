"""The report's parts on importance, theory and negatives: what the trials' tables say, cell by cell."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from study.analysis import bound_figures, importance_figures, semantic_figures, theory_figures
from study.report import Section, svg, table
from study.results import ACCURACY, Results, cell_label, journals, tables
from study.store import Store, TrialFolder
from study.trial_figures import class_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELLS = 6
"""Cells whose negatives are drawn; the table has them all."""
SHOWN = ("aicc", "delta_aicc", "weight", "rmse", "r2", "leave_one_k_out", "unidentified")
RANKS = ("rank_correlation", "rank_low", "rank_high")
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
        figures = theory_figures.theory_figures(results, tables(store, "bounds.profile"))
    except ValueError as error:
        return _left_out("Theory", error)
    body = Markup("").join(_captioned(partial(_drawn, figure.info), figure.caption) for figure in figures)
    slack = results.slack()
    note = f"Losses in nats on the test split. {slack['violated'].sum()} of {len(slack)} lower bounds are violated by "
    note += "over two standard errors. "
    try:
        compared = results.compare_bounds()
    except ValueError as error:
        return Section("Theory", Markup("{}<p>{} No fits: {}.</p>").format(_row(body), note, str(error)))
    note += "Fits take d at its measured value; AICc: lower explains better; rank: Spearman's correlation over K of "
    note += f"the inverted bound with {ACCURACY}, and its 95 % interval."
    columns = [
        *(path for path in results.varying if path != "k"),
        "bound",
        *(c for c in (*SHOWN, *RANKS) if c in compared),
    ]
    return Section("Theory", Markup("{}<p>{}</p>{}").format(_row(body), note, table(compared[columns])))


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


def importance_section(results: Results, store: Store) -> Section | None:
    """Which of the varying parameters moved the study's first metric, and how it responds to each."""
    metric = next(iter(results.shown()), "")
    if not metric or not results.varying or results.finished[metric].notna().sum() < 2:
        return None
    responses = importance_figures.response_infos(results, metric)
    body = _captioned(
        partial(importance_figures.draw_responses, responses), "Mean at each value, with 95 % Student-t intervals."
    )
    try:
        shares = results.importance(metric)
    except ValueError as error:
        return Section("Importance", Markup("{}<p>No shares: {}.</p>").format(body, str(error)))
    info = importance_figures.importance_info(shares, metric)
    caption = (
        "Functional ANOVA: what each explains by itself, relative to the others (seed: what chance explains); "
        "lines are 95 % intervals over bootstrap resamples of the trials."
    )
    drawn = _captioned(partial(importance_figures.draw_importance, info), caption)
    return Section("Importance", drawn + body + table(shares))


SECTIONS = (importance_section, theory_section, negatives_section)


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


def _name(results: Results, values: Any) -> str:
    values = values if isinstance(values, tuple) else (values,)
    return cell_label(dict(zip(results.varying, values, strict=True))) if results.varying else "all trials"


def _read(folder: TrialFolder, name: str) -> list[dict[str, Any]]:
    path = folder.artifacts / f"{name}.json"
    return list(json.loads(path.read_text())) if path.exists() else []


def _drawn(info: Any) -> "Figure":
    from matplotlib.figure import Figure

    page = Figure(figsize=(5.2, 3.6), layout="constrained")
    bound_figures.draw(info, page.add_subplot())
    return page


def _row(figures: Markup) -> Markup:
    return Markup('<div class="row">{}</div>').format(figures)


def _captioned(draw: Callable[[], "Figure"], caption: str) -> Markup:
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(svg(draw), caption)


def _left_out(title: str, error: ValueError) -> Section:
    return Section(title, Markup("<p>Left out: {}.</p>").format(str(error)))

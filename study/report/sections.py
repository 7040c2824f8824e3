"""The report's parts on importance, theory and negatives: what the trials' tables say, cell by cell."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from study.analysis import bound_figures, semantic_figures
from study.analysis.trial_figures import OFFERED, SELECTED, class_map, confusion_map
from study.report.figures import importance as importance_figures
from study.report.figures import theory as theory_figures
from study.report.page import Section, svg, table
from study.results import ACCURACY, Results, cell_label, interval, tables, text
from study.storage.store import Store, TrialFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawing = tuple[Any, Callable[[Any], "Figure"], str]
"""What a figure shows, the function that draws it, its caption."""

CELLS = 6
"""Cells whose negatives are drawn; the table has them all."""
PAIRS = 6
"""Pairs of classes that are named, of those that follow meaning and of those that go against it."""
SHOWN = ("aicc", "delta_aicc", "weight", "rmse", "r2", "leave_one_k_out", "unidentified")
RANKS = ("rank_correlation", "rank_low", "rank_high")
NEGATIVES = (
    "negatives.hard_5pct.same_class_share",
    "negatives.easy_5pct.same_class_share",
    "negatives.pool.same_class_share",
    "negatives.hard_5pct.wup_other",
    "negatives.easy_5pct.wup_other",
    "negatives.spearman_wup",
    "negatives.spearman_wup_pairs",
    "negatives.hard_5pct.overdispersion",
    "negatives.hard_5pct.beyond_99",
    "negatives.selected.wup_other",
    "negatives.offered.wup_other",
    "linear.features.confusion_spearman_wup",
)
CURVES_OVER_EPOCHS = {
    SELECTED: "Same-class share of what the training selected",
    "negatives.selected.wup_other": "Similarity of meaning of what it selected, other classes",
    "negatives.hard_5pct.same_class_share": "Same-class share of the hardest 5 % of test negatives",
    "negatives.spearman_wup": "Correlation of difficulty and meaning of test negatives",
}
"""Metric that a journal may hold → the caption of its figure."""


def theory_section(results: Results, store: Store) -> Section | None:
    """Bounds and accuracy against K, slack, fitted curves, and which bound explains the losses better."""
    try:
        figures = theory_figures.theory_figures(results, tables(store, "bounds.profile"))
    except ValueError as error:
        return _left_out("Theory", error)
    body = Markup("").join(_captioned(partial(_drawn, figure.info), figure.caption) for figure in figures)
    slack = results.slack()
    note = "Losses in nats on the test split. "
    if len(slack):
        violated = f"{slack['violated'].sum()} of {len(slack)} lower bounds are violated"
        note += f"{violated} by over two standard errors. "
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
    metrics = [name for name in NEGATIVES if name in results.frame]
    folders = {folder.id: folder for folder in store.trials()}
    if not metrics:
        return None
    cells = results.finished.groupby(results.varying or "status", dropna=False, sort=False)
    by_cell = {_name(results, values): [folders[i] for i in rows["trial_id"]] for values, rows in cells}
    lines, maps = (
        _row(Markup("").join(_captioned(partial(draw, info), caption) for info, draw, caption in figures))
        for figures in (itertools.chain(_line_figures(by_cell), _epoch_figures(by_cell)), _map_figures(by_cell))
    )
    shown = results.table(metrics).rename(columns={name: name.removeprefix("negatives.") for name in metrics})
    note = "Means over the seeds of a cell with 95 % Student-t intervals; docs/metrics.md says what each number is."
    head = _notes([*_reasons(folders.values()), note])
    return Section("Negatives", head + lines + maps + _class_pairs(by_cell) + table(shown))


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
    drawn = _captioned(partial(importance_figures.draw_importance, info), info.caption)
    return Section("Importance", drawn + body + table(shares))


SECTIONS = (importance_section, theory_section, negatives_section)


def _line_figures(by_cell: dict[str, list[TrialFolder]]) -> Iterator[Drawing]:
    tables = {name: [t for f in folders if (t := f.table("negatives.bands"))] for name, folders in by_cell.items()}
    tables = {name: of_cell for name, of_cell in list(tables.items())[:CELLS] if of_cell}
    if not tables:
        return
    columns = ("same_class_share", "wup_other") if "wup_other" in next(iter(tables.values()))[0][0] else ()
    for column in columns or ("same_class_share",):
        yield semantic_figures.band_info(tables, column), semantic_figures.draw_bands, f"{column} by difficulty"
    first, folders = next(iter(by_cell.items()))
    if histogram := folders[0].table("negatives.consistency_histogram"):
        info = semantic_figures.consistency_info(histogram)
        caption = f"How often a negative is among the hardest 5 %; {first}, one seed"
        yield info, semantic_figures.draw_consistency, caption


def _map_figures(by_cell: dict[str, list[TrialFolder]]) -> Iterator[Drawing]:
    """Two in a row, so that the names of classes can be read."""
    first, folders = next(iter(by_cell.items()))
    difficulties = [t for folder in folders if (t := folder.table("negatives.difficulty"))]
    if difficulties:
        caption = f"Mean similarity of negatives by class, in WordNet order; {first}"
        yield class_map(difficulties), semantic_figures.draw_map, caption
    confusions = [t for folder in folders if (t := folder.table("linear.features.confusion"))]
    if difficulties and confusions:
        caption = f"Confusion by the linear probe on features, in WordNet order; {first}"
        yield confusion_map(confusions, difficulties[0]), semantic_figures.draw_map, caption


def _class_pairs(by_cell: dict[str, list[TrialFolder]]) -> Markup:
    """The pairs of classes that add most to ρ over pairs, and those that take most from it, cell by cell."""
    rows = pd.DataFrame(
        {"cell": name, **{column: row[column] for column in ("kind", "class", "other", "contribution")}}
        for name, folders in list(by_cell.items())[:CELLS]
        for folder in folders
        for kind in ("correlated_pairs", "anticorrelated_pairs")
        for row in folder.table(f"negatives.{kind}")
    )
    if not len(rows):
        return Markup("")
    pair = ["kind", "class", "other"]
    total = rows.groupby(pair, sort=False)["contribution"].sum().sort_values()
    named = [*total[total > 0].index[::-1][:PAIRS], *total[total < 0].index[:PAIRS]]
    cells = interval(rows, [*pair, "cell"], ["contribution"]).set_index([*pair, "cell"])
    shown = [
        dict(zip(pair, of, strict=True))
        | {
            re.sub(r"([=(])", "\\1\u200b", cell): text("contribution", *cells.loc[(*of, cell), ["mean", "half_width"]])
            for cell in rows["cell"].unique()
            if (*of, cell) in cells.index
        }
        for of in named
    ]
    note = "Pairs of classes whose difficulty follows their meaning most, and those that go most against it: what each "
    note += (
        "adds to ρ over pairs, which is the mean over all pairs; mean of the seeds that have it among their first 20."
    )
    return Markup("<p>{}</p>{}").format(note, table(pd.DataFrame(shown)))


def _epoch_figures(by_cell: dict[str, list[TrialFolder]]) -> Iterator[Drawing]:
    """What was selected against its pool, and what was measured on the way, over the epochs."""
    cells = {name: [_epochs(folder) for folder in folders] for name, folders in list(by_cell.items())[:CELLS]}
    offered = [v for journals in cells.values() for journal in journals for v in _history(journal, OFFERED).values()]
    for metric, caption in CURVES_OVER_EPOCHS.items():
        histories = {
            name: [h for j in journals if len(h := _history(j, metric)) > 1] for name, journals in cells.items()
        }
        histories = {name: of_cell for name, of_cell in histories.items() if of_cell}
        if histories:
            chance = sum(offered) / len(offered) if metric == SELECTED else None
            yield semantic_figures.epoch_info(histories, metric, chance=chance), semantic_figures.draw_epochs, caption


def _epochs(folder: TrialFolder) -> list[dict[str, Any]]:
    """The journal, its last line with what was measured at the end besides."""
    journal, result = folder.journal(), folder.result()
    if journal and result:
        journal[-1]["metrics"] |= {name: v for name, v in result.metrics.items() if name in CURVES_OVER_EPOCHS}
    return journal


def _history(journal: list[dict[str, Any]], metric: str) -> dict[int, float]:
    return {line["epoch"]: line["metrics"][metric] for line in journal if metric in line["metrics"]}


def _reasons(folders: Iterable[TrialFolder]) -> list[str]:
    """Why something of the negatives was left out, each reason once."""
    skipped = [result.skipped for folder in folders if (result := folder.result())]
    reasons = [reasons[name] for reasons in skipped for name in ("meaning", "negatives") if name in reasons]
    return list(dict.fromkeys(f"Left out: {reason}" for reason in reasons))


def _notes(lines: list[str]) -> Markup:
    return Markup("").join(Markup('<p style="white-space: pre-line">{}</p>').format(line) for line in lines)


def _name(results: Results, values: Any) -> str:
    values = values if isinstance(values, tuple) else (values,)
    return cell_label(dict(zip(results.varying, values, strict=True))) if results.varying else "all trials"


def _drawn(info: Any) -> "Figure":
    from matplotlib.figure import Figure

    page = Figure(figsize=(5.2, 3.6), layout="tight")
    bound_figures.draw(info, page.add_subplot())
    return page


def _row(figures: Markup) -> Markup:
    return Markup('<div class="row">{}</div>').format(figures)


def _captioned(draw: Callable[[], "Figure"], caption: str) -> Markup:
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(svg(draw), caption)


def _left_out(title: str, error: ValueError) -> Section:
    return Section(title, Markup("<p>Left out: {}.</p>").format(str(error)))

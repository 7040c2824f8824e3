"""The report's parts: the figures of each, and what the trials' tables say beside them."""

import re
from collections.abc import Iterable

import pandas as pd
from markupsafe import Markup

from study.claims import Finding
from study.figures.figure import registered
from study.figures.negatives.lines import CELLS
from study.figures.records import Records, of_all
from study.report.html import Section, drawn, figures, table
from study.results import ACCURACY, interval, text
from study.storage.store import TrialFolder

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


def findings_section(records: Records) -> Section | None:
    """The study's verdict on each claim, its effect, with the trials behind each; none where it speaks to none."""
    found = records.findings
    if not found:
        return None
    rows = [
        (one.statement, one.source, one.verdict, one.interval, text("p", one.p_adjusted), one.seeds, one.missing)
        for one in found
    ]
    columns = ["claim", "source", "verdict", "effect, 95 % interval", "p, adjusted", "seeds", "missing for a verdict"]
    others = Markup("").join(map(Markup("<li><code>{}</code> {}</li>").format, found.others, found.others.values()))
    behind = Markup("").join(map(_behind, found))
    return Section(
        "Findings",
        Markup(
            "{}{}<details><summary>The contexts and trials behind each</summary>{}</details>"
            "<details><summary>{} claims that this study does not speak to</summary><ul>{}</ul></details>"
        ).format(
            figures(records, "Findings"), table(pd.DataFrame(rows, columns=columns)), behind, len(found.others), others
        ),
    )


def loss_section(records: Records) -> Section | None:
    """Training loss by epoch."""
    return _with_figures("Training loss", figures(records, "Training loss"))


def importance_section(records: Records) -> Section | None:
    """The varying parameters that moved the study's first metric, and its response to each."""
    made = figures(records, "Importance")
    if not made or not records.compares:
        return _with_figures("Importance", made)
    try:
        return Section("Importance", made + table(records.importance))
    except ValueError:  # said of the figure
        return Section("Importance", made)


def theory_section(records: Records) -> Section | None:
    """Bounds and accuracy against K, slack, fitted curves, and which bound explains the losses better."""
    results, made = records.results, figures(records, "Theory")
    slack, note = results.slack(), "Losses in nats on the test split. "
    if len(slack):
        violated = f"{slack['violated'].sum()} of {len(slack)} lower bounds are violated"
        note += f"{violated} (p ≤ 5 %, adjusted for their number by Holm). "
    try:
        compared = results.compare_bounds()
    except ValueError as error:
        no_fits = Markup("<p>{}No fits: {}.</p>").format(note, str(error)) if "<svg" in made else ""
        return Section("Theory", made + no_fits)
    note += "Fits take d at its measured value; AICc: lower explains better; rank: Spearman's correlation over K of "
    note += f"the inverted bound with {ACCURACY}, and its 95 % interval."
    columns = [
        *(path for path in results.varying if path != "k"),
        "bound",
        *(c for c in (*SHOWN, *RANKS) if c in compared),
    ]
    return Section("Theory", Markup("{}<p>{}</p>{}").format(made, note, table(compared[columns])))


def negatives_section(records: Records) -> Section | None:
    """The negatives that are hard for the trained encoders, and what they mean."""
    results, made = records.results, figures(records, "Negatives")
    metrics = [name for name in NEGATIVES if name in results.frame]
    if not metrics:
        return _with_figures("Negatives", made)
    shown = results.table(metrics).rename(columns={name: name.removeprefix("negatives.") for name in metrics})
    note = (
        "Means over the seeds of a cell with 95 % intervals, seeds as blocks; docs/metrics.md says what each number is."
    )
    head = _notes([*_reasons(folder for folders in records.cells.values() for folder in folders), note])
    return Section("Negatives", head + made + _class_pairs(records) + table(shown))


def further_section(records: Records) -> Section | None:
    """Registered figures that stand under no other heading."""
    placed = ("Findings", "Results", "Training loss", "Importance", "Theory", "Negatives")
    chosen = {name: one for name, one in registered().items() if one.section not in placed}
    return _with_figures("Further figures", drawn(records, chosen))


SECTIONS = (loss_section, importance_section, theory_section, negatives_section, further_section)


def _behind(one: Finding) -> Markup:
    """A finding's contexts, each with its own interval, what was left out, and its trials."""
    lines = [
        f"{part.where}: {text(one.metric, part.effect)} ({text(one.metric, part.low)} to {text(one.metric, part.high)})"
        for part in one.parts
        if len(one.parts) > 1
    ]
    notes = Markup("").join(map(Markup("<li>{}</li>").format, [*lines, *(f"left out, {why}" for why in one.left_out)]))
    trials = Markup(", ").join(map(Markup('<a href="#trial-{0}"><code>{0}</code></a>').format, one.trials))
    return Markup("<p>{} {}</p><ul>{}</ul><p>Trials: {}</p>").format(one.statement, one.metric, notes, trials)


def _with_figures(title: str, made: Markup) -> Section | None:
    return Section(title, made) if made else None


def _class_pairs(records: Records) -> Markup:
    """The pairs of classes that add most to ρ over pairs, and those that take most from it, cell by cell."""
    rows = pd.DataFrame(
        {"cell": name, **{column: row[column] for column in ("kind", "class", "other", "contribution")}}
        for name, folders in list(records.cells.items())[:CELLS]
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
    note += of_all(min(CELLS, len(records.cells)), len(records.cells))
    return Markup("<p>{}</p>{}").format(note, table(pd.DataFrame(shown)))


def _reasons(folders: Iterable[TrialFolder]) -> list[str]:
    """Why something of the negatives was left out, each reason once."""
    skipped = [result.skipped for folder in folders if (result := folder.result())]
    reasons = [reasons[name] for reasons in skipped for name in ("meaning", "negatives") if name in reasons]
    return list(dict.fromkeys(f"Left out: {reason}" for reason in reasons))


def _notes(lines: list[str]) -> Markup:
    return Markup("").join(Markup('<p style="white-space: pre-line">{}</p>').format(line) for line in lines)

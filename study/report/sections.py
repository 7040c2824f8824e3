"""The report's parts on findings, figures, bounds and negatives."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from study.analysis.compare import weighed
from study.claims import ANYTIME, Finding
from study.figures.figure import registered
from study.figures.negatives.lines import CELLS
from study.figures.records import Records, in_order, of_all
from study.report.cells import summary
from study.report.parts import Drawn, Folded, Part, Points, Section, Table, Words, drawn, figures, section
from study.results import ACCURACY, cell_label, interval, text
from study.storage.trial_result import TrialResult

PAIRS = 6
"""Pairs of classes that are named, of those that follow meaning and of those that go against it."""
FITS = ("rmse", "r2", "aicc", "delta_aicc", "weight", "leave_one_k_out")
RANKS = ("rank_correlation", "rank_low", "rank_high", "rank_points")
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
VERDICTS = ("supported", "contradicted", "undecided")
IN_FIGURES = ("Results", "Training loss", "Importance")
ELSEWHERE = ("Findings", "Theory", "Negatives")


def findings_section(records: Records) -> Section | None:
    """The study's verdict on each claim, its effect, with the trials behind each; and the best cell in words."""
    return section("Findings", _findings(records))


def _findings(records: Records) -> Iterator[Part]:
    found = records.findings
    counts = Counter(one.verdict for one in found)
    if found:
        verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if verdict in counts)
        yield Words(f"Of {len(found)} claims that this study speaks to: {verdicts}.")
    yield from summary(records)
    if found:
        yield from figures(records, "Findings")
        yield verdicts_table(found)
        behind = tuple(part for one in found for part in _behind(one))
        yield Folded("The contexts and trials behind each", behind, paper=False)
    if found and found.others:
        others = tuple(f"`{name}` {needs}" for name, needs in found.others.items())
        yield Folded(f"{len(others)} claims that this study does not speak to", (Points(others),), paper=False)


def verdicts_table(found: Sequence[Finding]) -> Table:
    """A row a claim: its source, verdict, effect with interval, and n."""
    rows = [
        (one.statement, one.source, one.verdict, one.interval, _p(one.p_adjusted), one.seeds, len(one.trials),
         one.missing)
        for one in found
    ]  # fmt: skip
    columns = ["claim", "source", "verdict", "effect [95 % interval]", "p, adjusted", "seeds", "trials"]
    caption = "Verdicts. Effects are paired by seed; intervals and p are adjusted for the number of claims (Holm)."
    caption += f" {ANYTIME}" * any(one.anytime for one in found)
    table = pd.DataFrame(rows, columns=[*columns, "missing for a verdict"])
    return Table("findings", caption, table if table["missing for a verdict"].any() else table[columns])


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else text("p", value)


def figures_section(records: Records) -> Section | None:
    """Pictures of what came out: results, training loss, importance, and figures of a heading of their own."""
    placed = (*IN_FIGURES, *ELSEWHERE)
    further = {name: one for name, one in registered().items() if one.section not in placed}
    parts = [part for heading in IN_FIGURES for part in figures(records, heading)]
    return section("Figures", [*parts, *drawn(records, further)])


def bounds_section(records: Records) -> Section | None:
    """Bounds and accuracy against K, slack, fitted curves, and which bound explains the losses better."""
    return section("Bounds", _bounds(records))


def _bounds(records: Records) -> Iterator[Part]:
    results, made = records.results, list(figures(records, "Theory"))
    yield from made
    if not any(isinstance(part, Drawn) for part in made):
        return
    slack = results.slack()
    if len(slack):
        violated = f"{slack['violated'].sum()} of {len(slack)} lower bounds are violated"
        yield Words(f"Losses in nats on the test split. {violated} (p ≤ 5 %, adjusted for their number by Holm).")
    try:
        fits, compared = records.fits, results.compare_bounds()
    except ValueError as error:
        yield Words(f"No fits: {error}.")
        return
    by = [path for path in results.varying if path != "k"]
    if unfitted := [why for fit in fits if (why := fit.undetermined)]:
        count = f"{len(unfitted)} of {len(fits)} fits are neither drawn nor tabulated"
        yield Words(f"{count}, as they say nothing: {'; '.join(dict.fromkeys(unfitted))}.")
    told = {(fit.bound, cell_label(fit.group)) for fit in fits if not fit.undetermined}
    key = [(row["bound"], cell_label({path: row[path] for path in by})) in told for row in compared.to_dict("records")]
    if any(key):
        caption = "Fits of the bounds to L_cont over K, d at its measured value; AICc: lower explains better."
        yield Table("fits", caption, weighed(compared[key], by)[[*by, "bound", *FITS]])
    if "rank_correlation" in compared and compared["rank_correlation"].notna().any():
        caption = f"Spearman's correlation over K of the inverted bound with {ACCURACY}, with its 95 % interval."
        yield Table("ranks", caption, compared[[*by, "bound", *RANKS]].dropna(subset=["rank_correlation"]))


def negatives_section(records: Records) -> Section | None:
    """The negatives that are hard for the trained encoders, and what they mean."""
    return section("Negatives", _negatives(records))


def _negatives(records: Records) -> Iterator[Part]:
    results, made = records.results, list(figures(records, "Negatives"))
    metrics = [name for name in NEGATIVES if name in results.frame]
    if not metrics:
        yield from made
        return
    yield from map(Words, _reasons(records.outcomes))
    yield from made
    yield from _class_pairs(records)
    table = results.table(metrics).rename(columns={name: name.removeprefix("negatives.") for name in metrics})
    note = "Means over the seeds of a cell with 95 % intervals, seeds as blocks; docs/metrics.md has each metric."
    yield Table("negatives", note, table)


def _behind(one: Finding) -> Iterator[Part]:
    """A finding's contexts, each with its own interval, what was left out, and its trials."""
    lines = [
        f"{part.where}: {text(one.metric, part.effect)} ({text(one.metric, part.low)} to {text(one.metric, part.high)})"
        for part in one.parts
        if len(one.parts) > 1
    ]
    yield Words(f"{one.statement} {one.metric}")
    if lines:
        lines = in_order(pd.DataFrame({"line": lines}), ["line"])["line"].tolist()
    if notes := (*lines, *(f"left out, {why}" for why in one.left_out)):
        yield Points(notes)
    yield Folded(f"{len(one.trials)} trials", (Words(", ".join(f"`{trial}`" for trial in one.trials)),))


def _class_pairs(records: Records) -> Iterator[Part]:
    """The pairs of classes that add most to ρ over pairs, and those that take most from it, cell by cell."""
    rows = pd.DataFrame(
        {"cell": name, **{column: row[column] for column in ("kind", "class", "other", "contribution")}}
        for name, folders in list(records.cells.items())[:CELLS]
        for folder in folders
        for kind in ("correlated_pairs", "anticorrelated_pairs")
        for row in folder.table(f"negatives.{kind}")
    )
    if not len(rows):
        return
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
    note += "adds to ρ over pairs, the mean over all pairs; mean of the seeds that have it among their first 20."
    note += of_all(min(CELLS, len(records.cells)), len(records.cells))
    yield Table("class_pairs", note, pd.DataFrame(shown))


def _reasons(outcomes: Iterable[TrialResult]) -> list[str]:
    """Why something of the negatives was left out, each reason once."""
    reasons = [one.skipped[name] for one in outcomes for name in ("meaning", "negatives") if name in one.skipped]
    return list(dict.fromkeys(f"Left out: {reason}" for reason in reasons))

"""A study's page: one self-contained HTML file with its question, plan, results, figures, failures and provenance."""

import json
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup

from study.report.figures import study as study_figures
from study.results import Results, floor_of, interval, is_percentage, journals, label, text
from study.storage import yaml_text
from study.storage.store import Store, is_local, write_atomically
from study.storage.trial_result import TrialResult
from study.tracking.uri import without_secrets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "linear.features.top1": "linear probe, features, %",
    "linear.embeddings.top1": "linear probe, embeddings, %",
    "knn.features.top1": "k nearest neighbours, features, %",
    "mean_classifier.top1": "mean classifier, %",
    "contrastive.loss": "L_cont, nats",
    "train.collision_rate.selection": "collision rate, selection",
    "seconds": "seconds a trial",
}
"""The metrics of the results table, as far as there are any, after the study's own."""
MEANS_ONLY = ("train.collision_rate.selection", "seconds")
ROWS = 40
"""The table shows so many cells at once, and the others on demand."""
INK = "#010203"
"""Stands in for the page's own text colour while a figure is drawn."""


class Section(NamedTuple):
    """A part of the page. `body` is HTML as it is: make it of `svg`, `table` and escaped text."""

    title: str
    body: Markup


MakeSection = Callable[[Results, Store], Section | None]


def write_report(store: Store, folder: Path | None = None, sections: Sequence[MakeSection] = ()) -> Path:
    """Write report.html, results.csv and results.parquet into the folder, and return the page.

    The default is the study's folder, or where that is in an object store, one of the study's name here.

    Each of `sections` adds a part after the figures, or nothing by returning None.
    """
    folder = folder or (store.path if is_local(store.path) else Path(store.path.name))
    results = Results.load(store)
    results.save(folder)
    made = (make(results, store) for make in (loss_section, *sections))
    page = _page(results, store, [section for section in made if section is not None])
    write_atomically(folder / "report.html", page)
    return folder / "report.html"


def svg(draw: Callable[[], "Figure"]) -> Markup:
    """The figure as an inline drawing in the page's own font and colours, light and dark."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    colours = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings: dict[str, str] = dict.fromkeys(colours, INK)
    settings |= {"svg.fonttype": "none", "svg.hashsalt": "study"}
    settings |= dict.fromkeys(("figure.facecolor", "axes.facecolor"), "none")
    out = StringIO()
    with mpl.rc_context(settings):
        FigureCanvasSVG(draw()).print_svg(out, metadata={"Date": None})  # `savefig` draws twice
    drawing = out.getvalue()
    return Markup(drawing[drawing.index("<svg") :].replace(INK, "currentColor"))


def table(frame: pd.DataFrame) -> Markup:
    """A data frame as a table of the page; numbers to the right."""
    frame = frame.rename(columns=lambda name: re.sub(r"([_.])", "\\1\u200b", str(name)))  # where a heading may break
    html = frame.to_html(index=False, border=0, na_rep="", classes="data", float_format=lambda value: f"{value:.4g}")
    return Markup(f'<div class="wide">{html}</div>')


def accuracy_figures(results: Results) -> Markup:
    """The study's first metric against K and against temperature."""
    metric = next(iter(results.shown()), "")
    infos = [study_figures.accuracy_info(results, x, metric) for x in ("k", "temperature")]
    note = "Error bars: 95 % Student-t interval over the trials at each point."
    return Markup("").join(_figure(info, note) for info in infos if info is not None)


def loss_section(results: Results, store: Store) -> Section | None:
    """Training loss by epoch."""
    info = study_figures.loss_info(results, journals(store, ["train.loss"]))
    note = "Mean over the trials of each cell. Losses at different K or temperature are on different scales."
    return Section("Training loss", _figure(info, note)) if info else None


def _figure(info: study_figures.ChartInfo, note: str) -> Markup:
    averaged = f" Averaged over {', '.join(info.averaged)}." if info.averaged else ""
    drawing = svg(lambda: study_figures.draw(info))
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(drawing, note + averaged)


def _page(results: Results, store: Store, sections: list[Section]) -> str:
    outcomes = [result for trial in store.trials() if (result := trial.result())]
    described, planned = store.path / "study.yaml", store.path / "plan.json"
    study_yaml = without_secrets(described.read_text()) if described.exists() else ""
    study = yaml_text.read(study_yaml) or {}
    rows = _rows(results, store)
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
    ).get_template("template.html")  # fmt: skip
    return template.render(
        results=results,
        study=study,
        study_yaml=study_yaml,
        plan=json.loads(planned.read_text()) if planned.exists() else {},
        space=_space(study.get("space", {})),
        metrics=_columns(results),
        headings=COLUMNS,
        summary=_summary(rows, results),
        rows=rows,
        shown=ROWS,
        failures=_trials(results, results.failed),
        trials=_trials(results, results.frame),
        figures=accuracy_figures(results),
        sections=sections,
        provenance=_provenance(outcomes),
        written=time.strftime("%Y-%m-%d %H:%M %Z"),
    )


def _columns(results: Results) -> list[str]:
    return [name for name in dict.fromkeys((*results.metrics, *COLUMNS)) if name in results.frame]


class Row(NamedTuple):
    """A cell in the results table."""

    cell: tuple[str, ...]
    uses_labels: bool
    n: int
    mean: float
    """of the first metric, with its half-width and floor"""
    half_width: float
    floor: float
    entries: tuple[tuple[str, str], ...]
    """of each metric, and of the untrained encoder, as text"""


def _rows(results: Results, store: Store) -> list[Row]:
    """The cells, best first."""
    columns, by = _columns(results), results.varying or ["status"]
    if not columns or results.finished.empty:
        return []
    cells = interval(results.finished, by, ["seconds", *results.measured])
    examples = results.finished.groupby(by, dropna=False, sort=False)["trial_id"].first()
    marked = [store.trial(example).config().get("uses_labels", False) for example in examples]
    rows = [
        _row(tuple(map(label, key))[: len(results.varying)], uses_labels, columns, cell.set_index("metric"))
        for (key, cell), uses_labels in zip(cells.groupby(by, dropna=False, sort=False), marked, strict=True)
    ]
    sign = -1 if results.metrics.get(columns[0], "max") == "max" else 1
    return sorted(rows, key=lambda row: math.inf if math.isnan(row.mean) else sign * row.mean)


def _row(cell: tuple[str, ...], uses_labels: bool, columns: list[str], measured: pd.DataFrame) -> Row:
    mean, half = measured["mean"].to_dict(), measured["half_width"].to_dict()
    floors = {name: mean.get(floor_of(name), math.nan) for name in columns}
    entries = [
        (
            text(name, mean[name], math.nan if name in MEANS_ONLY else half[name]),
            text(name, floors[name]) if is_percentage(name) else "",
        )
        for name in columns
    ]
    first = columns[0]
    n = int(measured["n"][first])
    return Row(cell, uses_labels, n, mean[first], half[first], floors[first], tuple(entries))


def _summary(rows: list[Row], results: Results) -> list[str]:
    """What the table says, in sentences: the best cell, the best without labels, and what cannot be told apart."""
    rows = [row for row in rows if not math.isnan(row.mean)]
    if not rows:
        return []
    metric, unlabelled = _columns(results)[0], [row for row in rows if not row.uses_labels]
    best = rows[0]
    sentences = [f"Best cell: {_sentence(best, metric, results)}"]
    if best.uses_labels and unlabelled:
        sentences.append(f"Best cell without labels: {_sentence(unlabelled[0], metric, results)}")
    near = sum(abs(row.mean - best.mean) <= best.half_width for row in rows[1:])
    if not math.isnan(best.half_width):
        sentences.append(f"{near} of the other {len(rows) - 1} cells have means within the best cell's 95 % interval.")
    return sentences


def _sentence(row: Row, metric: str, results: Results) -> str:
    unit = " %" if is_percentage(metric) else ""
    cell = (
        ", ".join(f"{path} = {value}" for path, value in zip(results.varying, row.cell, strict=True)) or "the only one"
    )
    gain = "" if math.isnan(row.floor) else f", {row.mean - row.floor:+.1f} against the untrained encoder"
    oracle = ", uses labels" if row.uses_labels else ""
    name = COLUMNS.get(metric, metric).removesuffix(", %")
    return f"{cell}: {name} {text(metric, row.mean, row.half_width)}{unit} (n = {row.n}{oracle}){gain}."


def _space(space: Mapping[str, Any] | list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Each path with its values, as in `16, 64, 256` or `uniform, 0.1 to 1`; of each space, where there are several."""
    shown = []
    for path, dimension in (item for one in (space if isinstance(space, list) else [space]) for item in one.items()):
        kind, value = next(iter(dimension.items()))
        listed = isinstance(value, list)
        text = ", ".join(map(label, value)) if listed else f"{kind}, {label(value['low'])} to {label(value['high'])}"
        shown.append((path, text))
    return shown


def _trials(results: Results, frame: pd.DataFrame) -> list[dict[Any, Any]]:
    columns = ["trial_id", "status", "reason", "seed", "seconds"]
    cells = zip(*(frame[path] for path in results.varying), strict=True) if results.varying else [()] * len(frame)
    plain = frame[columns].to_dict("records")
    return [{**row, "cell": list(map(label, cell))} for row, cell in zip(plain, cells, strict=True)]


def _provenance(outcomes: Sequence[TrialResult]) -> dict[str, str]:
    """Fact → its value; several where the trials differ."""
    facts: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by their JSON: labels take longer
    for outcome in outcomes:
        data = outcome.data
        sizes = {"train": "training examples", "test": "test examples"}
        known = {f"data, {sizes.get(key, key)}": value for key, value in data.items() if key != "classes"}
        if "classes" in data:
            known["data, classes"] = len(data["classes"])
        for name, value in (outcome.environment | known).items():
            facts[name.replace("_", " ")][json.dumps(value)] += 1
    return {
        name: label(json.loads(next(iter(counts))))
        if len(counts) == 1
        else ", ".join(f"{label(json.loads(value))} ({n} trials)" for value, n in counts.items())
        for name, counts in facts.items()
    }

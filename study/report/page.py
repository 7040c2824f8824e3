"""A study's page: one self-contained HTML file with its question, plan, results, figures, failures and provenance."""

import json
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup

from study.figures.records import Records
from study.metric_names import floor_of, is_percentage, validation_of
from study.report.html import MakeSection, Section, figures
from study.report.sections import SECTIONS, findings_section
from study.results import Results, blocked_interval, label, text
from study.storage import yaml_text
from study.storage.store import Store, is_local, write_atomically
from study.storage.trial_result import TrialResult
from study.tracking.uri import without_secrets

COLUMNS = {
    "linear.features.top1": "linear probe, features, %",
    "linear.embeddings.top1": "linear probe, embeddings, %",
    "knn.features.top1": "k nearest neighbours, features, %",
    "mean_classifier.top1": "mean classifier, %",
    "contrastive.loss": "L_cont, nats",
    "train.collision_rate.selection": "collision rate, selection",
    "seconds": "seconds per trial",
}
"""The metrics of the results table, as far as there are any, after the study's own."""
MEANS_ONLY = ("train.collision_rate.selection", "seconds")
ROWS = 40
"""The table shows so many cells at once, and the others on demand."""


def write_report(store: Store, folder: Path | None = None, sections: Sequence[MakeSection] = SECTIONS) -> Path:
    """Write report.html, results.csv and results.parquet into the folder, and return the page.

    The default is the study's folder, or where that is in an object store, one of the study's name here.

    Each of `sections` adds a part after the results, or nothing by returning None.
    """
    folder = folder or (store.path if is_local(store.path) else Path(store.path.name))
    results = Results.load(store)
    results.save(folder)
    records = Records(results, store)
    made = (make(records) for make in sections)
    page = _page(records, [section for section in made if section is not None])
    write_atomically(folder / "report.html", page)
    return folder / "report.html"


def _page(records: Records, sections: list[Section]) -> str:
    results, store = records.results, records.store
    outcomes = [result for trial in store.trials() if (result := trial.result())]
    described, planned = store.path / "study.yaml", store.path / "plan.json"
    study_yaml = without_secrets(described.read_text()) if described.exists() else ""
    study = yaml_text.read(study_yaml) or {}
    rows = _rows(results, store)
    failures = _trials(results, results.failed)
    first = findings_section(records)
    titles = [
        *["Findings"] * bool(first),
        "Results",
        *(section.title for section in sections),
        *["Failures"] * bool(failures),
        "Plan",
        "Provenance",
    ]
    numeric = [pd.api.types.is_numeric_dtype(results.frame[path]) for path in results.varying]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["anchor"] = lambda title: re.sub(r"\W+", "-", title.lower())
    return environment.get_template("template.html").render(
        contents=titles,
        side=[Markup(' class="number"') if number else "" for number in numeric],
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
        failures=failures,
        trials=_trials(results, results.frame),
        figures=figures(records, "Results"),
        findings=first,
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
    chosen_by: float
    """the first metric's mean on held-out examples, where there are any"""


def _rows(results: Results, store: Store) -> list[Row]:
    """The cells, best first."""
    columns, by = _columns(results), results.varying or ["status"]
    if not columns or results.finished.empty:
        return []
    cells = blocked_interval(results.finished, by, ["seconds", *results.measured])
    examples = results.finished.groupby(by, dropna=False, sort=False)["trial_id"].first()
    marked = [store.trial(example).config().get("uses_labels", False) for example in examples]
    rows = [
        _row(tuple(map(label, key))[: len(results.varying)], uses_labels, columns, cell.set_index("metric"))
        for (key, cell), uses_labels in zip(cells.groupby(by, dropna=False, sort=False), marked, strict=True)
    ]
    sign = -1 if results.upwards(columns[0]) else 1
    return sorted(rows, key=lambda row: math.inf if math.isnan(row.chosen_by) else sign * row.chosen_by)


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
    held_out = mean.get(validation_of(first), math.nan)
    chosen_by = mean[first] if math.isnan(held_out) else held_out
    return Row(cell, uses_labels, n, mean[first], half[first], floors[first], tuple(entries), chosen_by)


def _summary(rows: list[Row], results: Results) -> list[str]:
    """The table in sentences: the best cell, the best without labels, and those that cannot be told apart."""
    rows = [row for row in rows if not math.isnan(row.mean)]
    if not rows:
        return []
    metric, unlabelled = _columns(results)[0], [row for row in rows if not row.uses_labels]
    best = rows[0]
    sentences = [f"Best cell: {_sentence(best, metric, results)}"]
    if best.uses_labels and unlabelled:
        sentences.append(f"Best cell without labels: {_sentence(unlabelled[0], metric, results)}")
    if len(rows) == 1:
        return sentences
    words = str(results.best(metric))
    return [*sentences, f"{words.replace('no cell', 'No cell', 1) if words.startswith('no') else words}."]


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

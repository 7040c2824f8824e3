"""The table of cells: grouped by what can be told apart, with the best in words."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from study.analysis.paired import APART, HIGHER, LOWER
from study.figures.records import Records, in_order
from study.metric_names import floor_of, is_percentage
from study.report.parts import Part, Points, Section, Table, Words, section
from study.results import Results, blocked_interval, cell_label, label, text

COLUMNS = {
    "linear.features.top1": "linear probe, features, %",
    "linear.embeddings.top1": "linear probe, embeddings, %",
    "knn.features.top1": "k nearest neighbours, features, %",
    "mean_classifier.top1": "mean classifier, %",
    "contrastive.loss": "L_cont, nats",
    "train.collision_rate.selection": "collision rate, selection",
    "seconds": "seconds per trial",
}
"""The metrics of the table, as far as there are any, after the study's own."""
MEANS_ONLY = ("train.collision_rate.selection", "seconds")
GROUP, LABELS = "against the best", "uses labels"
CAPTION = (
    "Mean ± half-width of the 95 % interval of a cell: t times the residual of cell + seed over √n, as cells under one "
    "seed share initialisation, order and views. Accuracies are top-1 on the test split; after the slash the floor, "
    "the same measure of the untrained encoder."
)
USES_LABELS = " A cell that uses class labels in training is a reference, no self-supervised result."


def tables_section(records: Records) -> Section | None:
    """The cells, and the shares of what moved the first metric."""
    return section("Tables", _tables(records))


def _tables(records: Records) -> Iterator[Part]:
    if records.results.finished.empty:
        yield Words("No trial is finished yet.")
    elif (frame := cells_frame(records)) is not None:
        labels = USES_LABELS if LABELS in frame else ""
        yield Table("cells", f"Cells. {CAPTION}{labels}{_grouping(records, frame)}", frame)
    if records.compares:
        try:
            yield Table("importance", f"What moved {records.metric}.", records.importance)
        except ValueError:
            return  # said of the figure


def summary(records: Records) -> Iterator[Part]:
    """The cells in sentences: the best, the best without labels, or that none can be told apart."""
    if not records.metric or not np.isfinite(records.results.finished[records.metric].astype(float)).any():
        return
    words = str(records.best)
    lines = [f"{records.metric}: {words}."]
    top = records.best.frame.iloc[0]
    labelled = _labelled(records)
    if _told(records) and labelled and _key(top, records.results.varying) in labelled:
        plain = [row for _, row in records.best.frame.iterrows() if _key(row, records.results.varying) not in labelled]
        if plain:
            mean = f"{text(records.metric, plain[0]['mean'])} (n = {plain[0]['n']})"
            lines.append(f"It uses class labels in training; the highest without: {_named(plain[0], records)}, {mean}.")
    yield Points(tuple(lines), strong=True)


def cells_frame(records: Records) -> pd.DataFrame | None:
    """A row a cell: what varies, whether it may be the best, n, and each metric as text; None where none was measured.

    First the cells that are not told apart from the best, then the others, each in order of value: the order says
    nothing that the trials do not.
    """
    results = records.results
    metrics = [name for name in dict.fromkeys((*results.metrics, *COLUMNS)) if name in results.frame]
    if not metrics:
        return None
    by = results.varying or ["status"]
    floors = [floor for name in metrics if (floor := floor_of(name)) in results.frame]
    cells = blocked_interval(results.finished, by, list(dict.fromkeys([*metrics, *floors])))
    frame = cells[cells["metric"] == metrics[0]][[*by, "n"]].reset_index(drop=True)
    labelled, groups = _labelled(records), _groups(records)
    keys = [_key(row, results.varying) for _, row in frame.iterrows()]
    if labelled:
        frame[LABELS] = ["yes" if key in labelled else "" for key in keys]
    if groups:
        frame[GROUP] = [groups.get(key, "") for key in keys]
    for name in metrics:
        frame[COLUMNS.get(name, name)] = _entries(cells, name)
    order = in_order(frame, results.varying) if results.varying else frame
    if groups:
        order = order.sort_values(GROUP, key=lambda column: column != MAY_BE, kind="stable")
    shown = [*results.varying, *(name for name in (LABELS, GROUP) if name in frame), "n"]
    return order[[*shown, *(COLUMNS.get(name, name) for name in metrics)]].reset_index(drop=True)


MAY_BE = "may be the best"


def _entries(cells: pd.DataFrame, metric: str) -> list[str]:
    """`53.3 ± 0.4 / 41.0` of each cell."""
    own, untrained = (cells[cells["metric"] == name] for name in (metric, floor_of(metric)))
    half = np.full(len(own), math.nan) if metric in MEANS_ONLY else own["half_width"]
    entries = [text(metric, *values) for values in zip(own["mean"], half, strict=True)]
    if untrained.empty or not is_percentage(metric):
        return entries
    floors = [text(metric, mean) for mean in untrained["mean"]]
    return [f"{entry} / {floor}" if entry else "" for entry, floor in zip(entries, floors, strict=True)]


def _groups(records: Records) -> dict[tuple[str, ...], str]:
    """Cell → whether it may be the best; empty where no cell can be told apart from it."""
    if not records.metric or records.results.finished[records.metric].isna().all() or not _told(records):
        return {}
    words = {APART: MAY_BE, HIGHER: HIGHER, LOWER: LOWER}
    rows = list(records.best.frame.iterrows())
    return {
        _key(row, records.results.varying): MAY_BE if place == 0 else words.get(row["verdict"], row["verdict"])
        for place, (_, row) in enumerate(rows)
    }


def _told(records: Records) -> bool:
    """Whether any cell is told apart from the best."""
    return bool(records.best.frame["verdict"].isin([HIGHER, LOWER]).any())


def _grouping(records: Records, frame: pd.DataFrame) -> str:
    """How the rows are grouped, in words."""
    if len(frame) == 1:
        return ""
    if GROUP not in frame:
        return " In order of value: no cell can be told apart from the best."
    alike = int((frame[GROUP] == MAY_BE).sum())
    return (
        f" First the {alike} of {len(frame)} cells that may be the best: their {records.metric} is not told apart from "
        "it at 5 %, all pairs of cells at once (Tukey); each group in order of value, not of rank."
    )


def _labelled(records: Records) -> set[tuple[str, ...]]:
    """Cells whose training uses class labels."""
    results: Results = records.results
    examples = results.finished.groupby(results.varying or "status", dropna=False, sort=False).head(1)
    return {
        _key(row, results.varying)
        for _, row in examples.iterrows()
        if records.store.trial(row["trial_id"]).config().get("uses_labels", False)
    }


def _key(row: "pd.Series[Any]", varying: list[str]) -> tuple[str, ...]:
    return tuple(label(row[path]) for path in varying)


def _named(row: "pd.Series[Any]", records: Records) -> str:
    return cell_label({path: row[path] for path in records.results.varying}) or "the only cell"

"""Distribution of difficulty: similarity of pairs by the meaning of their classes, and by whose hard negatives they
are, over training or over cells."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from study.figures.curve import COLOURS, legend_name
from study.figures.figure import FIGURES, Figure, Picture, Table
from study.figures.negatives.lines import CELLS
from study.figures.records import Records, of_all
from study.semantics.difficulty import BOTH, FAR, NEAR, ONE, SAME

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

TABLES = ("negatives.histogram", "negatives.features.histogram")
"""Of embeddings, else of features."""
FAMILIES = {"meaning": (SAME, NEAR, FAR), "queries": (BOTH, ONE)}
TITLES = {
    "meaning": "Difficulty by meaning",
    "queries": "Difficulty of what is hard for both of two queries, or for one",
}
MOST_ROWS = 8
"""Epochs that are drawn: the first, the last, and some between."""
LEAST_SHARE = 0.001
"""Bins at either end that hold less of every kind are not drawn."""


class Row(NamedTuple):
    """An epoch or a cell: of each kind of pairs, the share in each bin; all zero where there is no such pair."""

    label: str
    shares: tuple[tuple[float, ...], ...]
    medians: tuple[float, ...]
    """of each kind, by the middle of its bin; NaN where there is no pair"""

    def words(self, kinds: Sequence[str]) -> Iterator[str]:
        """Medians of the kinds that there are."""
        return (f"{kind} {m:.2f}" for kind, m in zip(kinds, self.medians, strict=True) if not math.isnan(m))


class HistogramInfo(NamedTuple):
    """Histograms, a row each, over bins between these edges."""

    family: str
    """key of FAMILIES"""
    edges: tuple[float, ...]
    rows: tuple[Row, ...]
    near: str
    """the meaning of near, in words"""

    @property
    def alt(self) -> str:
        """Each row by its medians."""
        told = (f"{row.label}: {', '.join(row.words(FAMILIES[self.family]))}" for row in self.rows)
        return f"{TITLES[self.family]}: median similarity of pairs. {'; '.join(told)}"


@FIGURES.register("histograms")
class Histograms(Figure):
    """Histograms of similarity of pairs by meaning, and of what is hard for both of two queries, over training."""

    section = "Negatives"

    def of_study(self, records: Records) -> Iterator[Picture]:
        """At the end of training, all seeds of a cell together."""
        found, count = records.tabled(lambda folder: next(filter(None, map(folder.table, TABLES)), []), CELLS)
        shown = {name: summed(tables) for name, tables in found.items()}
        yield from _pictures(shown, f"at the end of training.{of_all(len(shown), count)}")

    def of_trial(self, tables: Mapping[str, Table], journal: Table) -> Iterator[Picture]:
        name = next((name for name in TABLES if name in tables), None)
        if name is None or not journal:
            return
        before = {int(n.rpartition("_")[2]): t for n, t in tables.items() if n.startswith(f"{name}.epoch_")}
        by_epoch = {**dict(sorted(before.items())), journal[-1]["epoch"]: tables[name]}
        kept = np.unique(np.linspace(0, len(by_epoch) - 1, MOST_ROWS).round().astype(int))
        shown = [list(by_epoch)[i] for i in kept]
        yield from _pictures({f"epoch {epoch}": by_epoch[epoch] for epoch in shown}, "over training.")

    def draw(self, info: HistogramInfo) -> "Drawing":
        """Rows of one scale across, each as high as it needs: a collapsed encoder would flatten all others."""
        from matplotlib.figure import Figure as Drawing

        count = len(info.rows)
        drawing = Drawing(figsize=(5.8, 0.72 * count + 1.3), layout="constrained")
        grid = drawing.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
        for axes, row in zip(grid, info.rows, strict=True):
            _draw(axes, row, info)
        grid[-1].set_xlabel("difficulty (cosine similarity)", fontsize=9)
        drawing.suptitle(TITLES[info.family], fontsize=10)
        handles, labels = grid[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
        return drawing


def summed(tables: Sequence[Table]) -> Table:
    """One table of several trials' pairs."""
    rows: dict[str, dict[str, object]] = {}
    for row in (row for table in tables for row in table):
        if row["pairs"] in rows:
            before = rows[row["pairs"]]
            total = np.add(json.loads(str(before["counts"])), json.loads(row["counts"]))
            rows[row["pairs"]] = {**before, "counts": json.dumps(total.tolist())}
        else:
            rows[row["pairs"]] = dict(row)
    return list(rows.values())


def histogram_info(tables: Mapping[str, Table], family: str) -> HistogramInfo | None:
    """Tables `negatives.histogram` by epoch or cell; None where none has pairs of the family."""
    kinds = FAMILIES[family]
    counts = {label: _counts(table, kinds) for label, table in tables.items()}
    counts = {label: of for label, of in counts.items() if of.any()}
    if not counts:
        return None
    size = next(iter(counts.values())).shape[1]
    edges = np.linspace(-1, 1, size + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    by_row = {label: of / np.maximum(of.sum(axis=1, keepdims=True), 1) for label, of in counts.items()}
    there = np.flatnonzero(np.max(np.concatenate(list(by_row.values())), axis=0) >= LEAST_SHARE)
    span = slice(max(there[0] - 1, 0), min(there[-1] + 2, size))
    rows = []
    for label, shares in by_row.items():
        medians = [float(middles[np.searchsorted(s.cumsum(), 0.5)]) if s.any() else float("nan") for s in shares]
        rows.append(Row(label, tuple(tuple(s[span].tolist()) for s in shares), tuple(medians)))
    return HistogramInfo(family, tuple(edges[span.start : span.stop + 1].tolist()), tuple(rows), _near(tables))


def _counts(table: Table, kinds: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    by_kind = {row["pairs"]: json.loads(row["counts"]) for row in table}
    size = max((len(counts) for counts in by_kind.values()), default=1)
    return np.array([by_kind.get(kind, [0] * size) for kind in kinds], dtype=np.float64)


def _near(tables: Mapping[str, Table]) -> str:
    for row in (row for table in tables.values() for row in table):
        if row["pairs"] in (NEAR, FAR):
            return f"near: {row['measure']} above {row['threshold']:.3g}, its mean over pairs of different classes"
    return ""


def _pictures(tables: Mapping[str, Table], where: str) -> Iterator[Picture]:
    for family in FAMILIES:
        if info := histogram_info(tables, family):
            if family == "meaning":
                what = f"Similarity of a query and a negative by the meaning of their classes ({info.near})"
            else:
                what = (
                    "Similarity of two queries, each among the hardest 5 % of the other's negatives (hard for both) or "
                    "one of them among the other's (hard for one)"
                )
            caption = f"{what}, {where} Within a row areas are equal; a mark below is a median."
            yield Picture(f"negatives.histogram.{family}", info, caption, info.alt)


def _draw(axes: "Axes", row: Row, info: HistogramInfo) -> None:
    for i, (kind, shares) in enumerate(zip(FAMILIES[info.family], row.shares, strict=True)):
        axes.stairs(shares, info.edges, color=COLOURS[i], fill=True, alpha=0.15)
        axes.stairs(shares, info.edges, color=COLOURS[i], lw=1.2, label=kind)
        axes.plot(row.medians[i], 0, "^", color=COLOURS[i], ms=5, clip_on=False)
    axes.set_yticks([])
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(legend_name(row.label), fontsize=7.5, loc="left", pad=1)

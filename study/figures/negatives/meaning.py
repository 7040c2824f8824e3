"""Whether difficulty follows meaning because of contrastive learning: encoders that learned so beside others."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.analysis.class_pairs import Association, association, difference
from study.figures.curve import COLOURS, GREY, legend_name, plain
from study.figures.figure import FIGURES, Figure, Picture, Table
from study.figures.records import Records, of_all
from study.semantics import MEASURE_NAMES
from study.semantics.pairs import FEATURES, MEANING, UNTRAINED, WORDS, matrices_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Matrix = NDArray[np.float64]
TABLES = ("negatives.pairs", "negatives.untrained")
MOST = 24
"""Cells that are drawn."""
TRAINED, SUPERVISED, BEFORE, NAMES = "trained", "supervised", "untrained", "word vectors"
KINDS = {TRAINED: COLOURS[0], SUPERVISED: COLOURS[1], BEFORE: GREY, NAMES: COLOURS[2]}
CAPTION = (
    "Spearman's ρ over pairs of classes: of their difficulty, the similarity of features h (unit rows, test examples), "
    "mean over seeds, with the similarity of their meaning ({measure}). The bar is its 95 % interval over classes, a "
    "jackknife, as pairs share classes. Due to the training is the lead over the untrained encoder of the same seeds: "
    "at the right, with its own interval.{note}"
)


class Point(NamedTuple):
    """One encoder, or the names of the classes."""

    label: str
    kind: str
    """key of KINDS"""
    rho: Association
    lead: Association | None
    """over the untrained encoder of the same seeds"""

    @property
    def words(self) -> str:
        """`all: +0.42 [0.10, 0.66], lead +0.12 [0.02, 0.22]`."""
        lead = f", lead over the untrained {_told(self.lead)}" if self.lead else ""
        return f"{self.label}: {_told(self.rho)}{lead}"


class MeaningInfo(NamedTuple):
    """Points, the highest first."""

    measure: str
    points: tuple[Point, ...]


@FIGURES.register("meaning")
class MeaningFigure(Figure):
    """Correlation of difficulty with meaning: trained, untrained and supervised encoders, and the classes' names."""

    section = "Negatives"

    def of_study(self, records: Records) -> Iterator[Picture]:
        cells, supervised = {}, set()
        for name, folders in records.cells.items():
            if trials := [t for f in folders if (t := trial_matrices(f.table(table) for table in TABLES))]:
                cells[name] = trials
                if folders[0].config()["config"].get("method", {}).get("name") == "supervised":
                    supervised.add(name)
        shown = dict(list(cells.items())[:MOST])
        yield from _pictures(shown, supervised, of_all(len(shown), len(cells)))

    def of_trial(self, tables: Mapping[str, Table], journal: Table) -> Iterator[Picture]:
        if trial := trial_matrices(tables.get(table, ()) for table in TABLES):
            yield from _pictures({"this trial": [trial]}, set(), "")

    def draw(self, info: MeaningInfo) -> "Drawing":
        """A dot and its interval each, and the lead at the right."""
        from matplotlib.figure import Figure as Drawing
        from matplotlib.lines import Line2D

        drawing = Drawing(figsize=(6.6, 0.3 * len(info.points) + 1.3), layout="constrained")
        axes = drawing.add_subplot()
        for y, point in enumerate(info.points):
            colour = KINDS[point.kind]
            axes.plot([point.rho.low, point.rho.high], [y, y], color=colour, lw=1.8, solid_capstyle="butt")
            axes.plot([point.rho.rho], [y], "o", color=colour, ms=4.5)
            if point.lead:
                axes.annotate(
                    _told(point.lead), (1.01, y), xycoords=("axes fraction", "data"), fontsize=7, va="center",
                    annotation_clip=False,
                )  # fmt: skip
        axes.axvline(0, color=GREY, lw=0.8)
        axes.set_yticks(range(len(info.points)), [legend_name(point.label, 40) for point in info.points], fontsize=7)
        axes.set_ylim(len(info.points) - 0.5, -0.5)
        axes.set_xlabel(f"ρ of difficulty and meaning ({info.measure}) over pairs of classes", fontsize=8)
        if any(point.lead for point in info.points):
            axes.set_title("lead over untrained", fontsize=7, loc="right")
        plain(axes)
        kinds = [kind for kind in KINDS if any(point.kind == kind for point in info.points)]
        handles = [Line2D([], [], color=KINDS[kind], marker="o", ms=4.5, lw=1.8, label=kind) for kind in kinds]
        drawing.legend(handles=handles, loc="outside lower center", ncols=len(kinds), frameon=False, fontsize=8)
        return drawing


def trial_matrices(tables: Iterable[Table]) -> dict[str, Matrix]:
    """The matrices [C, C] of a trial's tables by name; none without those of meaning and features."""
    found = {name: matrix for table in tables for name, matrix in matrices_of(table).items()}
    return found if MEANING in found and FEATURES in found else {}


def meaning_info(cells: Mapping[str, Sequence[Mapping[str, Matrix]]], supervised: Iterable[str] = ()) -> MeaningInfo:
    """Each cell's matrices, a mapping a seed, to points: the encoder's, the untrained one's where it is not that of a
    cell before, and the class names'."""
    points: list[Point] = []
    seen: dict[bytes, str] = {}
    for label, trials in cells.items():
        meaning = trials[0][MEANING]
        trained = _mean(trials, FEATURES)
        before = _mean(trials, UNTRAINED) if all(UNTRAINED in trial for trial in trials) else None
        lead = None if before is None else difference(trained, before, meaning)
        kind = SUPERVISED if label in supervised else TRAINED
        points.append(Point(label, kind, association(trained, meaning), lead))
        others = {BEFORE: before, NAMES: trials[0].get(WORDS)}
        for what, matrix in others.items():
            if matrix is not None and seen.setdefault(matrix.tobytes(), label) == label:
                points.append(Point(f"{what}, {label}", what, association(matrix, meaning), None))
    ordered = sorted(points, key=lambda point: -math.inf if math.isnan(point.rho.rho) else point.rho.rho, reverse=True)
    return MeaningInfo(MEASURE_NAMES[0], tuple(_shortened(ordered)))


def _shortened(points: Sequence[Point]) -> Iterator[Point]:
    """The untrained encoder and the names without their cell, where there is but one."""
    kinds = [point.kind for point in points]
    for point in points:
        alone = point.kind in (BEFORE, NAMES) and kinds.count(point.kind) == 1
        yield point._replace(label=f"{point.kind} encoder" if point.kind == BEFORE else point.kind) if alone else point


def _mean(trials: Sequence[Mapping[str, Matrix]], name: str) -> Matrix:
    mean: Matrix = np.mean([trial[name] for trial in trials], axis=0)
    return mean


def _told(one: Association) -> str:
    interval = "" if math.isnan(one.low) else f" [{one.low:.2f}, {one.high:.2f}]"
    return f"{one.rho:+.2f}{interval}".replace("-", "−")


def _pictures(cells: Mapping[str, Sequence[Mapping[str, Any]]], supervised: set[str], note: str) -> Iterator[Picture]:
    if not cells:
        return
    info = meaning_info(cells, supervised)
    caption = CAPTION.format(measure=info.measure, note=note)
    alt = f"Correlation of difficulty and meaning over pairs of classes. {'; '.join(p.words for p in info.points)}"
    yield Picture("negatives.meaning", info, caption, alt)

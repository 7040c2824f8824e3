"""Negatives over training: what was selected against its pool, and what was measured on the way."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from study.analysis.intervals import half_width
from study.figures.curve import Curve, curve, in_words
from study.figures.figure import FIGURES, Figure, Picture, Table
from study.figures.negatives.lines import CELLS, draw_lines, level, words
from study.figures.records import Records, of_all
from study.storage.store import TrialFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

SELECTED, OFFERED = "negatives.selected.same_class_share", "negatives.offered.same_class_share"
CAPTIONS = {
    SELECTED: "Same-class share of what the training selected",
    "negatives.selected.wup_other": "Similarity of meaning of what it selected, other classes",
    "negatives.hard_5pct.same_class_share": "Same-class share of the hardest 5 % of test negatives",
    "negatives.spearman_wup": "Correlation of difficulty and meaning of test negatives",
}
"""Metric that a journal may hold → the caption of its figure."""
History = Mapping[int, float]
"""Epoch → value."""


class EpochInfo(NamedTuple):
    """A metric over epochs."""

    metric: str
    curves: tuple[Curve, ...]
    chance: float | None = None
    """the level of what was not chosen, mean of all epochs and trials"""


@FIGURES.register("epochs")
class Epochs(Figure):
    """Same-class share and meaning of negatives, epoch by epoch."""

    section = "Negatives"

    def of_study(self, records: Records) -> Iterator[Picture]:
        cells = {name: [_epochs(f, records) for f in folders] for name, folders in list(records.cells.items())[:CELLS]}
        every = [journal for journals in cells.values() for journal in journals]
        offered = [value for journal in every for value in _history(journal, OFFERED).values()]
        note = of_all(len(cells), len(records.cells))
        for metric, caption in CAPTIONS.items():
            histories = {name: [h for j in of if len(h := _history(j, metric)) > 1] for name, of in cells.items()}
            histories = {name: of_cell for name, of_cell in histories.items() if of_cell}
            if histories:
                chance = sum(offered) / len(offered) if metric == SELECTED else None
                info = epoch_info(histories, metric, chance=chance)
                yield Picture(metric, info, f"{caption}.{note}", f"{caption}. {in_words(info.curves, 'epoch')}")

    def of_trial(self, tables: Mapping[str, Table], journal: Table) -> Iterator[Picture]:
        if (info := collision_info(journal)).curves:
            caption = "Same-class share of the selected negatives, and of those offered"
            yield Picture("negatives.collisions", info, caption, f"{caption}. {in_words(info.curves, 'epoch')}")

    def draw(self, info: EpochInfo) -> "Drawing":
        from matplotlib.ticker import MaxNLocator

        drawing, axes = draw_lines(info.curves, band=True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if info.chance is not None:
            level(axes, info.chance, "the pool")
        axes.set(xlabel="epoch", ylabel=words(info.metric.removeprefix("negatives.")), title="Negatives over training")
        return drawing


def epoch_info(
    cells: Mapping[str, Sequence[History]], metric: str = SELECTED, *, chance: float | None = None
) -> EpochInfo:
    """Histories by cell, one per seed, to curves with Student's t intervals over seeds.

    A cell's curve has the epochs that all of its seeds have.
    """
    curves = []
    for label, seeds in cells.items():
        epochs = sorted(set.intersection(*(set(history) for history in seeds)))
        values = np.array([[history[epoch] for epoch in epochs] for history in seeds])
        n = len(seeds)
        error = values.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(len(epochs), np.nan)
        curves.append(curve(label, epochs, values.mean(axis=0), half_width(error, n)))
    return EpochInfo(metric, tuple(curves), chance)


def collision_info(journal: Table) -> EpochInfo:
    """Same-class share of the selected negatives, and of those offered, over the epochs of one trial."""
    histories = {label: [_history(journal, name)] for label, name in (("selected", SELECTED), ("the pool", OFFERED))}
    return epoch_info({label: h for label, h in histories.items() if h[0]}, "same_class_share")


def _epochs(folder: TrialFolder, records: Records) -> Table:
    """The journal, its last line with what was measured at the end besides."""
    journal, result = records.journals[folder.id], folder.result()
    if not journal or not result:
        return journal
    measured = {name: v for name, v in result.metrics.items() if name in CAPTIONS}
    return [*journal[:-1], {**journal[-1], "metrics": journal[-1]["metrics"] | measured}]


def _history(journal: Table, metric: str) -> dict[int, float]:
    return {line["epoch"]: line["metrics"][metric] for line in journal if metric in line["metrics"]}

"""Accuracy over the epochs of training."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from study.figures.figure import FIGURES, Figure, Picture
from study.figures.outcome.panels import PanelsInfo, draw_panels
from study.figures.outcome.training_loss import by_epoch
from study.figures.records import Records
from study.results.pace import ON_THE_WAY

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@FIGURES.register("pace")
class Pace(Figure):
    """Accuracy over epochs, mean over the trials of each cell."""

    section = "Results"

    def of_study(self, records: Records) -> Iterator[Picture]:
        info = by_epoch(records.results, records.epochs, ON_THE_WAY, unit="%")
        if info is not None:
            note = (
                "Is the same accuracy reached sooner with the hardest 5 %? kNN of a few held-out examples on the way; "
                "mean over the trials of each cell with 95 % intervals over seeds." + soonest(info) + info.note
            )
            yield Picture("pace", info, note, info.words)

    def draw(self, info: PanelsInfo) -> "Drawing":
        return draw_panels(info)


def soonest(info: PanelsInfo) -> str:
    """The greatest accuracy that every cell's mean reaches, and which reach it first and last; of one cell nothing."""
    curves = [(", ".join(filter(None, [panel.title, one.label])), one) for panel in info.panels for one in panel.curves]
    if len(curves) < 2:
        return ""
    common = min(max(one.mean) for _, one in curves)
    epochs = {name: next(x for x, mean in zip(one.x, one.mean, strict=True) if mean >= common) for name, one in curves}
    first, last = min(epochs, key=lambda name: epochs[name]), max(epochs, key=lambda name: epochs[name])
    if epochs[first] == epochs[last]:
        return f" All means reach {common:.1f} % at epoch {epochs[first]:g}."
    return (
        f" All means reach {common:.1f} %, {first} first (epoch {epochs[first]:g}), {last} last (epoch "
        f"{epochs[last]:g}); seconds and trials: `results.time_to({common:.1f})`."
    )

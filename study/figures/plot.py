"""Figures in a session or notebook: a study's by name, and the curve of any metric by epoch in one's own axes."""

import sys
from itertools import cycle
from typing import TYPE_CHECKING

from models.registry import UnknownName
from study.figures.curve import COLOURS, draw_curve, legend_name, mean_curve, plain
from study.figures.figure import FIGURES, Figure, Picture, registered
from study.figures.records import Records, by_value
from study.results import Results, cell_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

STYLES = ("-", "--", ":", "-.")
"""Of lines, where there are more cells than colours."""


def plot(results: Results, name: str) -> "Drawing":
    """The figure of a study as its report has it, in matplotlib: `plot(results, "accuracy.k").savefig("k.pdf")`.

    name: of a figure (`study list figures`) that has one picture of this study, or of a picture, which is that of its
    file. Raises UnknownName with the names that there are; ValueError with the reason where nothing can be drawn.
    """
    records, found = _records(results), dict[str, tuple[Figure, Picture]]()
    for key, figure in ({name: FIGURES[name]()} if name in FIGURES else registered()).items():
        try:
            found |= {picture.name: (figure, picture) for picture in figure.of_study(records)}
        except ValueError as error:
            if key == name:
                raise ValueError(f"{name}: {error}") from None
        if name in found:
            break
    if name in FIGURES and name not in found:
        name = _only(name, list(found))
    if name not in found:
        raise UnknownName("figure", name, list(found))
    figure, picture = found[name]
    return _shown(figure.draw(picture.info))


def plot_curves(results: Results, metric: str = "train.loss", *, ax: "Axes | None" = None) -> "Axes":
    """A stepwise metric by epoch, a line per cell: mean over its seeds, with a band of 95 % (Student's t).

    ax: the axes to draw in; by default those of a new figure. ValueError for a metric that no trial has by epoch.
    """
    frame = results.curves([metric])
    if ax is None:
        from matplotlib.figure import Figure as Drawing

        ax = _shown(Drawing(figsize=(6.4, 3.6), layout="constrained")).subplots()
    looks = cycle((colour, style) for style in STYLES for colour in COLOURS)
    for (values, rows), (colour, style) in zip(by_value(frame, results.varying), looks, strict=False):
        name = legend_name(cell_label(dict(zip(results.varying, values, strict=True))))
        draw_curve(mean_curve(name, rows["epoch"], rows[metric]), ax, colour, style=style, band=True)
    ax.set(xlabel="epoch", ylabel=metric)
    if results.varying:
        ax.legend(fontsize=8)
    plain(ax)
    return ax


def _records(results: Results) -> Records:
    if results.store is None:
        raise ValueError("a table holds no figures: take the results of the study, study.results()")
    return Records(results, results.store)


def _only(figure: str, pictures: list[str]) -> str:
    if len(pictures) == 1:
        return pictures[0]
    which = f"is several; name one: {', '.join(pictures)}" if pictures else "has nothing to show of this study"
    raise ValueError(f"{figure} {which}")


def _shown(drawing: "Drawing") -> "Drawing":
    """The drawing, which a notebook shows once matplotlib's backend for it is loaded."""
    if "IPython" in sys.modules:
        import matplotlib as mpl
        from matplotlib.backends import backend_registry

        backend_registry.load_backend_module(mpl.get_backend())
    return drawing

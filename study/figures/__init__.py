"""The figures of studies and trials, a file each: what is drawn, as an info tuple, and the drawing of it."""

from study.figures.figure import FIGURES, Figure, Picture
from study.figures.negatives import bands, class_maps, consistency, epochs, histograms, meaning  # noqa: F401
from study.figures.outcome import (  # noqa: F401
    accuracy,
    findings,
    importance,
    pace,
    published,
    response,
    training_loss,
)
from study.figures.plot import plot, plot_curves
from study.figures.records import Records
from study.figures.theory import bounds, fit, slack  # noqa: F401

__all__ = ["FIGURES", "Figure", "Picture", "Records", "plot", "plot_curves"]

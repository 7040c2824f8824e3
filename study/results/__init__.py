"""Results of a study: a tidy table, one row per trial, and what is made of it."""

from study.results.cells import blocked_interval, interval
from study.results.fits import ACCURACY, Fits
from study.results.frames import journals
from study.results.labels import cell_label, flat, label, text, value_at
from study.results.results import Results
from study.results.two_studies import TwoStudies, compare_studies

__all__ = [
    "ACCURACY",
    "Fits",
    "Results",
    "TwoStudies",
    "blocked_interval",
    "cell_label",
    "compare_studies",
    "flat",
    "interval",
    "journals",
    "label",
    "text",
    "value_at",
]

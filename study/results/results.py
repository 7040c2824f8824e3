"""The results of a study, and what one asks of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models.registry import did_you_mean
from study.bounds.priors import Sampling
from study.results import comparison, effects, fits, pace
from study.results.cells import blocked_interval, cells_table
from study.results.frames import BEFORE, curves, journals, read_trials, trials_of, write_trials
from study.storage import yaml_text
from study.storage.store import Store

if TYPE_CHECKING:
    from study.results.encoder import TrainedEncoder

USUAL = ("linear.features.top1", "knn.features.top1", "mean_classifier.top1", "contrastive.loss")
"""The metrics that are shown, after the study's own, where all would be too many."""


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """A study's trials, finished or not. `frame` has one row per trial.

    A part of them: `Results(results.frame.query("negatives == 'all'"))`, which is fitted and compared like the whole.
    """

    frame: pd.DataFrame
    study: str = ""
    metrics: Mapping[str, str] = field(default_factory=dict)
    """the study's own metrics, "max" or "min": what its question asks for"""
    others: int = 0
    """trials of other definitions of the study beside them in its storage"""
    store: Store | None = None
    """where the trials are; None of a table"""

    @classmethod
    def load(cls, store: Store, *, others: bool = False) -> Results:
        """The trials of the study as it ran last, as far as they started, from the store's files.

        `others`: with those of other definitions of it (other values, a changed base), told by the column `planned`.
        """
        described = store.path / "study.yaml"
        study = yaml_text.read(described.read_text()) if described.exists() else {}
        started = list(store.trials())
        frame = trials_of(store, started, others=others)
        beside = len(started) - len(frame)
        return cls(frame, store.path.name, study.get("metrics", {}), beside, store)

    @classmethod
    def read(cls, path: Path | str) -> Results:
        """A table that `save` wrote: results.csv or results.parquet."""
        return cls(read_trials(Path(path)), Path(path).absolute().parent.name)

    def save(self, folder: Path | str) -> list[Path]:
        """Write results.csv and results.parquet into the folder."""
        return write_trials(self.frame, Path(folder))

    @property
    def varying(self) -> list[str]:
        """The config paths that differ between trials, apart from the seed: the columns that name a cell."""
        columns = list(self.frame.columns)
        return columns[columns.index(BEFORE[-1]) + 1 : columns.index("seconds")]

    @property
    def measured(self) -> list[str]:
        """The names of all metrics."""
        return list(self.frame.columns)[list(self.frame.columns).index("seconds") + 1 :]

    @property
    def until_decided(self) -> bool:
        """Whether seeds are added until claims are decided: the column `added` tells which trials are of such seeds."""
        return "added" in self.frame

    @property
    def finished(self) -> pd.DataFrame:
        return self.frame[self.frame["status"] == "finished"]

    @property
    def failed(self) -> pd.DataFrame:
        return self.frame[self.frame["status"] == "failed"]

    def shown(self) -> list[str]:
        """The metrics of a short table: the study's own, then the usual ones, as far as there are any."""
        return [name for name in dict.fromkeys((*self.metrics, *USUAL)) if name in self.frame]

    def upwards(self, metric: str) -> bool:
        """Whether more of the metric is better: as the study says, else of all but losses."""
        return self.metrics.get(metric, "min" if metric.endswith("loss") else "max") == "max"

    def cells(self) -> pd.DataFrame:
        """Mean and 95 % half-width of each cell with seeds as blocks, one row per cell and metric.

        Columns: what varies, metric, mean, half_width (`blocked_interval`; NaN for one seed), n (trials that have it).
        """
        return blocked_interval(self.finished, self.varying, ["seconds", *self.measured])

    def table(self, metrics: Iterable[str] | None = None) -> pd.DataFrame:
        """One row per cell: what varies, n, and each metric as text, mean ± half-width; the best cell first."""
        shown = self.shown() if metrics is None else list(metrics)
        down = bool(shown) and self.upwards(shown[0])
        return cells_table(self.cells(), self.finished, self.varying, shown, descending=down)

    def losses(self) -> tuple[pd.DataFrame, list[str]]:
        """Rows that the fits read, and the columns that name a curve over K: see `study.results.fits.losses`."""
        return fits.losses(self.finished, self.varying)

    def priors(self, trials: pd.DataFrame | None = None) -> Sampling:
        """π of the test split of these rows of `losses`, by default of all finished trials; with the draws' scheme."""
        return fits.priors(self.finished if trials is None else trials)

    def fit(self, bound: str, *, resamples: int = 1000) -> fits.Fits:
        """The bound fitted to L_cont over K, one fit for each group that shares everything but K and the seed.

        d is fixed at its measured value, without which L_sup, L_sub and d are not identified together. The classes are
        those of each group's own test split.
        """
        return fits.fit(*self.losses(), bound, resamples=resamples)

    def compare_bounds(self, *, accuracy: str = fits.ACCURACY, resamples: int = 1000) -> pd.DataFrame:
        """Fit of each bound to L_cont over K, and the ranking of encoders by its inversion, per group and bound."""
        return fits.compare_bounds(*self.losses(), accuracy=accuracy, resamples=resamples)

    def slack(self) -> pd.DataFrame:
        """L_cont minus each lower bound, and which are violated: see `study.results.fits.slack`."""
        return fits.slack(self.finished)

    def compare(
        self, baseline: Mapping[str, Any], metric: str | None = None, *, margin: float | None = None
    ) -> pd.DataFrame:
        """Every other cell minus its baseline cell: paired by seed, tested, adjusted for the number of comparisons.

        baseline: a cell, or a part of one, such as {"negatives": "all"}: each other cell is then compared with the
        cell that differs from it in these paths only. metric: the study's first by default. margin: up to which
        difference cells are equal. Columns: see `study.analysis.paired.differences`.
        """
        return comparison.compare(self.finished, self.varying, self._metric(metric), baseline, margin)

    def best(self, metric: str | None = None) -> comparison.Best:
        """The cell of the best mean, with the interval of its lead, or that no cell can be told apart."""
        name = self._metric(metric)
        return comparison.best(self.finished, self.varying, name, upwards=self.upwards(name))

    def encoder(self, trial: str | comparison.Best | None = None) -> TrainedEncoder:
        """The trained encoder of a trial by id, of a cell such as `best()`, or of the best trial that has one saved."""
        from study.results.encoder import trained_encoder  # torch: seconds to import

        return trained_encoder(self, trial)

    def time_to(self, accuracy: float, metric: str = pace.ON_THE_WAY) -> pd.DataFrame:
        """Epochs and training seconds of each trial to an accuracy in percent: see `study.results.pace.time_to`."""
        steps = journals(self._epochs(), [metric, pace.SECONDS])
        return pace.time_to(self.finished, self.varying, steps, accuracy, metric)

    def curves(self, metrics: Iterable[str] | None = None) -> pd.DataFrame:
        """Every epoch of every trial: a row each with trial_id, what varies, seed, epoch and these stepwise metrics, by
        default all."""
        return curves(self._epochs(), self.frame, self.varying, metrics)

    def importance(self, metric: str | None = None) -> pd.DataFrame:
        """Share of the metric's variance that each parameter explains: see `study.results.effects.importance`."""
        return effects.importance(self.finished, self.varying, self._metric(metric))

    def response(self, parameter: str, metric: str | None = None) -> pd.DataFrame:
        """The metric's mean at each value of a varying parameter, with a 95 % interval over seeds or cells."""
        return effects.response(self.finished, self.varying, parameter, self._metric(metric))

    def _epochs(self) -> Store:
        if self.store is None:
            raise ValueError("a table holds no epochs: take the results of the study, study.results()")
        return self.store

    def _metric(self, name: str | None) -> str:
        if name is None and not self.shown():
            raise ValueError("no finished trial has an accuracy or a loss; name a metric")
        if name is not None and name not in self.measured:
            near = did_you_mean(name, list(self.measured))
            raise ValueError(f"no finished trial has the metric {name!r}{near}; there are {', '.join(self.measured)}")
        return name or self.shown()[0]

    def __str__(self) -> str:
        table = [self.table().to_string(index=False)] if len(self.finished) else []
        return "\n".join([self._headline(), *table, *self._best()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = "".join(f"<p>{escape(line)}</p>" for line in (self._headline(), *self._best()))
        return f"{lines}{self.table().to_html(index=False, border=0)}"

    def _best(self) -> list[str]:
        """A line on the best cell of the first metric, where it was measured."""
        measured = self.shown() and np.isfinite(self.finished[self.shown()[0]]).any()
        return [f"{self.shown()[0]}: {self.best()}"] if measured else []

    def _headline(self) -> str:
        states = ", ".join(f"{count} {status}" for status, count in self.frame["status"].value_counts().items())
        beside = f"; {self.others} of other definitions beside them: results(others=True)" if self.others else ""
        return f"{self.study}: {len(self.frame)} trials" + (f" ({states})" if states else "") + beside

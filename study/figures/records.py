"""The records that a study's figures are drawn from, in the order in which a reader looks for them."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from study.bounds import BOUNDS
from study.claims import Findings, findings
from study.results import Results, cell_label
from study.results.frames import epochs_of
from study.results.pace import ON_THE_WAY
from study.storage.store import Store, TrialFolder
from study.storage.trial_result import TrialResult

if TYPE_CHECKING:
    from study.analysis.fit import Fit
    from study.results.comparison import Best

Table = list[dict[str, Any]]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Records:
    """A study's results with the tables and journals of its trials, each read once."""

    results: Results
    store: Store

    @cached_property
    def cells(self) -> dict[str, list[TrialFolder]]:
        """Cell, in words → its finished trials; by value."""
        by = self.results.varying
        return {
            cell_label(dict(zip(by, values, strict=True))) or "all trials": [
                self.store.trial(i) for i in rows["trial_id"]
            ]
            for values, rows in by_value(self.results.finished, by)
        }

    @cached_property
    def metric(self) -> str:
        """The study's first metric; empty where nothing was measured."""
        return next(iter(self.results.shown()), "")

    @property
    def compares(self) -> bool:
        """Whether something varies, and two trials or more have the metric: whether there is anything to compare."""
        measured = self.results.finished[self.metric].notna().sum() if self.metric else 0
        return bool(self.results.varying) and measured > 1

    @cached_property
    def findings(self) -> Findings:
        """Findings of the study on each claim."""
        return findings(self.results)

    @cached_property
    def importance(self) -> pd.DataFrame:
        """`Results.importance` of it; ValueError where it cannot be told."""
        return self.results.importance(self.metric)

    @cached_property
    def best(self) -> "Best":
        """`Results.best` of it."""
        return self.results.best(self.metric)

    @cached_property
    def fits(self) -> "tuple[Fit, ...]":
        """Every bound fitted to each curve over K; ValueError where that cannot be."""
        return tuple(fit for bound in BOUNDS.names() for fit in self.results.fit(bound))

    @cached_property
    def outcomes(self) -> list[TrialResult]:
        """Results of the trials, as far as they ended."""
        return [result for i in self.results.frame["trial_id"] if (result := self.store.trial(i).result())]

    @cached_property
    def journals(self) -> dict[str, Table]:
        """Trial id → its journal."""
        return {i: self.store.trial(i).journal() for i in self.results.frame["trial_id"]}

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """Training loss, and accuracy on the way, by trial and epoch."""
        return epochs_of(self.journals, ["train.loss", ON_THE_WAY])

    @cached_property
    def profiles(self) -> dict[str, Table]:
        """Trial id → its table `bounds.profile`."""
        found = ((i, self.store.trial(i).table("bounds.profile")) for i in self.results.frame["trial_id"])
        return {i: table for i, table in found if table}

    def tabled(self, read: Callable[[TrialFolder], T], most: int) -> tuple[dict[str, list[T]], int]:
        """Values that the trials of the first `most` cells have of it, and how many cells have any: of the others no
        more is read than that needs."""
        found: dict[str, list[T]] = {}
        count = 0
        for name, folders in self.cells.items():
            some = (one for folder in folders if (one := read(folder)))
            if count < most and (whole := list(some)):
                found[name] = whole
            count += name in found or any(True for _ in some)
        return found, count


def by_value(frame: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """(values of these columns, the rows with them): numbers by size, names by their words and the numbers in them."""
    if not by:
        yield (), frame
        return
    yield from in_order(frame, by).groupby(list(by), dropna=False, sort=False)


def in_order(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The rows sorted by these columns in that order."""
    return frame.sort_values(list(by), key=_order, kind="stable")


def of_all(shown: int, count: int, what: str = "cells", where: str = "each trial's run in MLflow has its own") -> str:
    """` 6 of 11 cells shown, …`: that a figure leaves some out, and where they are; empty where it shows all."""
    return f" {shown} of {count} {what} shown, the first by value; {where}." if shown < count else ""


def _order(column: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_numeric_dtype(column):
        return column
    texts = sorted(set(column.astype(str)), key=_pieces)
    return column.astype(str).map({text: place for place, text in enumerate(texts)})


@cache
def _pieces(text: str) -> tuple[str | float, ...]:
    """Words and numbers in turn."""
    pieces = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", text)
    return tuple(float(piece) if i % 2 else piece for i, piece in enumerate(pieces))

"""Shares over simulated studies, and the table of docs/results/statistics.md made of them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from tests.faults.table import conditions

STUDIES, MANY = 1_000, 20_000
"""Of a check, and of one that is computed for all studies at once."""
MARKS = ("<!-- figures: make test-statistics -->", "<!-- end of figures -->")


class Row(NamedTuple):
    what: str
    where: str
    promised: str
    share: float
    studies: int


class Measured(list[Row]):
    """A row for each share, which is checked as it is added: beyond three of its own standard errors it is an error."""

    def coverage(self, what: str, where: str, held: ArrayLike, *, promised: float = 0.95) -> None:
        """held [studies, …]: whether an interval holds the truth. More than promised is as welcome."""
        share = self._add(what, where, f"≥ {promised:.0%}", held)
        assert share >= promised - self._error(promised, held), (what, where, share)

    def size(self, what: str, where: str, found: ArrayLike, *, promised: float = 0.05) -> None:
        """found [studies]: whether something was found where there is nothing."""
        share = self._add(what, where, f"≤ {promised:.0%}", found)
        assert share <= promised + self._error(promised, found), (what, where, share)

    def power(self, what: str, where: str, found: ArrayLike, *, promised: float = 0.8) -> None:
        """found [studies]: whether what is there was found."""
        share = self._add(what, where, f"≥ {promised:.0%}", found)
        assert share >= promised - self._error(promised, found), (what, where, share)

    def tell(self, what: str, where: str, held: ArrayLike) -> float:
        """A share of which nothing is promised: it tells what an assumption is worth."""
        return self._add(what, where, "", held)

    def _add(self, what: str, where: str, promised: str, hits: ArrayLike) -> float:
        share = float(np.mean(hits))
        self.append(Row(what, where, promised, share, len(np.asarray(hits))))
        return share

    @staticmethod
    def _error(rate: float, hits: ArrayLike) -> float:
        return 3 * float(np.sqrt(rate * (1 - rate) / len(np.asarray(hits))))


def write(rows: Sequence[Row], seconds: float, page: Path) -> None:
    """Renew the table between the page's marks; `seconds` of processor time."""
    lines = ["| | where | promised | measured | studies |", "|---|---|---|---|---|"]
    lines += [f"| {r.what} | {r.where} | {r.promised} | {r.share:.1%} | {r.studies:,} |" for r in rows]
    versions = f"{conditions()[:-1]}, numpy {np.__version__}, scipy {scipy.__version__}."
    took = f"It took {seconds:,.0f} seconds of processor time, with one thread a process."
    table = "\n".join([MARKS[0], f"{versions} {took}", "", *lines, MARKS[1]])
    between = re.compile(f"{re.escape(MARKS[0])}.*{re.escape(MARKS[1])}", re.DOTALL)
    page.write_text(between.sub(lambda _: table, page.read_text()))

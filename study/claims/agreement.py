"""Findings of two studies on the same claims, side by side."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from study.claims.findings import UNDECIDED, Finding, Findings

AGREE, DISAGREE, ONE, NEITHER = "agree", "disagree", "only one decides", "neither decides"


class Agreement(NamedTuple):
    """A claim's findings in two studies."""

    first: Finding
    second: Finding

    @property
    def words(self) -> str:
        """Whether the verdicts are the same: `agree`, `disagree`, `only one decides`, `neither decides`."""
        decided = sum(one.verdict != UNDECIDED for one in self)
        if decided < 2:
            return ONE if decided else NEITHER
        return AGREE if self.first.verdict == self.second.verdict else DISAGREE

    def plain(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "claim": self.first.name,
            "agreement": self.words,
            "a": self.first.as_dict(),
            "b": self.second.as_dict(),
        }

    def __str__(self) -> str:
        lines = [f"{self.words.upper():<17} {self.first.statement} ({self.first.source})"]
        return "\n".join([*lines, *(f"{'':<17} {side}: {one.outcome}" for side, one in zip("AB", self, strict=True))])


class Agreements(tuple[Agreement, ...]):
    """Of every claim that both studies speak to."""

    only: tuple[tuple[str, ...], tuple[str, ...]]
    """claims that A alone, and that B alone speaks to"""

    def __new__(cls, both: Iterable[Agreement], only: tuple[tuple[str, ...], tuple[str, ...]]) -> "Agreements":
        self = super().__new__(cls, both)
        self.only = only
        return self

    def frame(self) -> pd.DataFrame:
        """A row a claim: claim, agreement, A and B with verdict, effect and interval."""
        rows = [(one.first.statement, one.words, one.first.outcome, one.second.outcome) for one in self]
        return pd.DataFrame(rows, columns=["claim", "agreement", "A", "B"])

    def __str__(self) -> str:
        lines = [str(one) for one in self if one.words != NEITHER]
        open_ = [one.first.name for one in self if one.words == NEITHER]
        lines += [f"{NEITHER}: {', '.join(open_)}"] if open_ else []
        alone = zip("AB", self.only, strict=True)
        lines += [f"{side} alone speaks to {', '.join(names)}" for side, names in alone if names]
        return "\n".join(lines or ["no claim is spoken to by either study"])

    __repr__ = __str__


def compare_findings(first: Findings, second: Findings) -> Agreements:
    """Each claim that both studies speak to, with both verdicts; each is adjusted in its own study."""
    others = {one.name: one for one in second}
    names = {one.name for one in first}
    both = (Agreement(one, others[one.name]) for one in first if one.name in others)
    only = tuple(one.name for one in first if one.name not in others), tuple(n for n in others if n not in names)
    return Agreements(both, only)

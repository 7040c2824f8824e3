"""Verdicts of a study on claims: supported, contradicted, or undecided and what is missing."""

import math
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from study.analysis.paired import WAY_OUT
from study.analysis.variance import LEVEL, holm
from study.claims.cells import Cells
from study.claims.claim import CLAIMS, Claim
from study.claims.comparisons import Part, cells_of
from study.claims.estimate import Estimate, Sample
from study.claims.missing import missing, negligible, nothing_to_find, seeds_missing, seeds_to_verdict
from study.results import Results

ANYTIME = "Intervals and p are anytime-valid: they hold however often the study was looked at."
SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"


class PartEffect(NamedTuple):
    """The effect in one context, with its own 95 % interval, not adjusted."""

    where: str
    effect: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim's effect over the contexts of a study, and its verdict."""

    name: str
    statement: str
    source: str
    metric: str
    unit: str
    direction: str
    reference: float
    margin: float
    region: tuple[float, float]
    """where the effect lies if the claim holds"""
    verdict: str = UNDECIDED
    effect: float = math.nan
    """mean over the parts; NaN where no noise, and so no effect, can be told"""
    low: float = math.nan
    """the 95 % interval, widened as Holm adjusts p: it is wholly on one side where there is a verdict"""
    high: float = math.nan
    p_value: float = math.nan
    """of the verdict: of the effect's distance from where the claim ends, two-sided"""
    p_adjusted: float = math.nan
    """over the study's claims (Holm 1979)"""
    seeds: int = 0
    """that the cells have in common, in the part that has fewest"""
    parts: tuple[PartEffect, ...] = ()
    cells: tuple[dict[str, Any], ...] = ()
    """behind it: what varies → value"""
    trials: tuple[str, ...] = ()
    """ids behind it"""
    more_seeds: int | None = None
    """of each cell, that a verdict needs; None where that cannot be told or there is one"""
    missing: str = ""
    """what a verdict needs, in words"""
    left_out: tuple[str, ...] = ()
    """trials that should be behind it and are not, and why"""
    anytime: bool = False
    """whether interval and p hold however often the study was looked at, as of one that runs until its claims are
    decided: see `study.analysis.anytime`"""

    @property
    def open(self) -> bool:
        """Whether more seeds may decide it."""
        return self.verdict == UNDECIDED and self.more_seeds != 0

    @property
    def interval(self) -> str:
        """`+3.1 [2.0, 4.2] %`, with `against 1` where the claim is not about 0; empty where there is none."""
        if math.isnan(self.effect):
            return ""
        half = (self.high - self.low) / 2
        digits = min(8, max(0, 1 - math.floor(math.log10(half)))) if 0 < half < math.inf else 3
        low, high = (f"{end:.{digits}f}".replace("-", "−") for end in (self.low, self.high))
        shown = f"{self.effect:+.{digits}f} [{low}, {high}] {self.unit}".strip().replace("-", "−")
        return shown.replace("inf", "∞") + (f" against {self.reference:g}" if self.reference else "").replace("-", "−")

    @property
    def outcome(self) -> str:
        """`supported: +3.1 [2.0, 4.2] %`."""
        return ": ".join(filter(None, [self.verdict, self.interval]))

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "parts": [part._asdict() for part in self.parts]}

    def __str__(self) -> str:
        lines = [f"{self.verdict.upper():<12} {self.statement} ({self.source})"]
        if self.interval:
            parts = len(self.parts)
            n = f"{self.seeds} seeds" + f", mean of {parts} contexts" * (parts > 1) + ", anytime-valid" * self.anytime
            lines.append(f"{'':<12} {self.metric} {self.interval} (p = {self.p_adjusted:.2g}, {n})")
        lines += [f"{'':<12} missing: {self.missing}"] * bool(self.missing)
        return "\n".join(lines + [f"{'':<12} left out: {reason}" for reason in self.left_out])


class Findings(tuple[Finding, ...]):
    """Of every claim that the study's cells can speak to; printed one after another."""

    others: dict[str, str]
    """claim → which cells or metrics this study lacks"""

    def __new__(cls, found: Iterable[Finding], others: dict[str, str]) -> "Findings":
        self = super().__new__(cls, found)
        self.others = others
        return self

    def frame(self) -> pd.DataFrame:
        """A row a finding: claim, verdict, effect with interval, p (adjusted), seeds, and what is missing."""
        columns = ["claim", "verdict", "effect [95 % interval]", "p", "seeds", "missing"]
        rows = [(f.statement, f.verdict, f.interval, f.p_adjusted, f.seeds, f.missing) for f in self]
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        if not self:
            return f"this study speaks to none of the {len(self.others)} claims; `study findings NAME --json` says why"
        return "\n".join([*map(str, self), *[ANYTIME] * any(one.anytime for one in self)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.frame().to_html(index=False, border=0) if self else f"<p>{escape(str(self))}</p>"


_TOLD: WeakKeyDictionary[Results, tuple[tuple[Any, ...], Findings]] = WeakKeyDictionary()
"""Results → the claims that were registered then, and what was found: a run's end asks twice, to print and to send."""


def findings(results: Results) -> Findings:
    """The study's verdict on each registered claim; p-values are adjusted over those that it can tell of, or, where it
    is looked at after each seed, over those that it may come to tell of. Worked out once of the same results."""
    claims = tuple(CLAIMS.values())
    told = _TOLD.get(results)
    if told is None or told[0] != claims:
        told = _TOLD[results] = claims, _findings(results)
    return told[1]


def _findings(results: Results) -> Findings:
    cells = Cells(results)
    known, others = spoken_to(cells, results.measured)
    found = [_Evidence(name, claim, parts, cells, results) for name, claim, parts in known]
    p = np.array([one.p_value for one in found])
    told, adjusted = np.isfinite(p), np.full(len(p), np.nan)
    family = np.ones(len(p), dtype=bool) if results.until_decided else told
    adjusted[family] = holm(np.where(told, p, 1.0)[family])
    return Findings((one.finding(value, family.sum()) for one, value in zip(found, adjusted, strict=True)), others)


def spoken_to(cells: Cells, measured: Collection[str]) -> tuple[list[tuple[str, Claim, list[Part]]], dict[str, str]]:
    """The claims that cells with these metrics speak to, with names and parts; of the others, what they lack."""
    found, others = [], {}
    for name in CLAIMS:
        claim = CLAIMS[name]()
        parts = claim.comparison.parts(cells)
        lacking = [metric for metric in claim.metrics if metric not in measured]
        if not parts or lacking:
            others[name] = f"needs {claim.comparison.needs() if not parts else 'the metric ' + ', '.join(lacking)}"
        else:
            found.append((name, claim, parts))
    return found, others


class _Evidence:
    """The trials behind a claim, and the effect that they show: at the end, or after each seed."""

    def __init__(self, name: str, claim: Claim, parts: list[Part], cells: Cells, results: Results) -> None:
        self.name, self.claim, self.cells = name, claim, cells
        self.trials, self.anytime = results.frame, results.until_decided
        self.outcomes = claim.outcomes(self.trials)
        self.measured = (self.trials["status"] == "finished").to_numpy() & np.isfinite(self.outcomes)
        self.parts = self.within_reach = parts
        samples = self._after_each_seed() if self.anytime else [self._sample(self.measured)]
        self.sample = samples[-1]
        self.shared = [len(self.sample.shared(part.weights)) for part in parts]
        self.told = [part for part, n in zip(parts, self.shared, strict=True) if n >= claim.seeds]
        self.looks = self._looks(samples) if self.told else []
        self.estimate = self.looks[-1] if self.looks else None
        judged = [estimate.judged(claim.region) for estimate in self.looks]
        self.decisive = min(range(len(judged)), key=lambda i: judged[i].p_value, default=None)  # what is decided stays
        self.judged = None if self.decisive is None else judged[self.decisive]

    @property
    def p_value(self) -> float:
        return self.judged.p_value if self.judged else math.nan

    def _sample(self, which: np.ndarray) -> Sample:
        rows, seeds = np.flatnonzero(which), self.trials["seed"].to_numpy()
        of_cells, outcomes = self.cells.of_trial[rows], self.outcomes[rows]
        return Sample(of_cells, seeds[rows], outcomes, len(self.cells), anytime=self.anytime)

    def _after_each_seed(self) -> list[Sample]:
        """The trials under the study's own seeds, of its cells all, then with those of the claim under each further
        seed, up to the first that a cell has no result of: what a look shows is no choice by what was seen."""
        added, seeds = self.trials["added"].to_numpy(dtype=bool), self.trials["seed"].to_numpy()
        known = self.measured & ~added
        found = [self._sample(known)]
        self.within_reach = [part for part in self.parts if len(found[0].shared(part.weights))]
        own = self._rows(self.within_reach)
        over = np.isin(self.trials["status"], ("finished", "failed"))
        cells = np.unique(self.cells.of_trial[own])
        for seed in np.unique(seeds[added]):
            block = own & added & (seeds == seed)
            if not np.isin(cells, self.cells.of_trial[block & over]).all():
                break
            if np.isin(cells, self.cells.of_trial[block & self.measured]).all():
                known = known | block
                found.append(self._sample(known))
        return found

    def _looks(self, samples: list[Sample]) -> list[Estimate]:
        weights = np.mean([part.weights for part in self.told], axis=0)
        ready = (one for one in samples if all(len(one.shared(part.weights)) >= self.claim.seeds for part in self.told))
        return [estimate for one in ready if (estimate := self._estimate(weights, one)) is not None]

    def finding(self, p_adjusted: float, family: int) -> Finding:
        claim, own = self.claim, self._rows(self.parts)
        told = Finding(
            name=self.name, statement=claim.statement, source=claim.source, metric=self._metric(), unit=claim.unit,
            direction=claim.direction, reference=claim.reference, margin=claim.margin, region=claim.region,
            seeds=min(self.shared), cells=tuple(self._cells(own)),
            trials=tuple(self.trials["trial_id"][self._rows(self.within_reach) & self.measured]),
            left_out=tuple(self._left_out(own)), anytime=self.anytime,
        )  # fmt: skip
        if self.estimate is None or self.judged is None:
            return replace(told, missing=f"noise, {WAY_OUT}" if self.told else self._no_seeds())
        at, p = self.judged.condition, self.judged.p_value
        factor = min(p_adjusted / p, family) if p > 0 else family
        level = LEVEL / (factor * self.judged.conditions)
        effect, low, high = self._interval(at, level)
        found = replace(
            told, effect=effect, low=low, high=high, p_value=p, p_adjusted=float(p_adjusted),
            seeds=self.estimate.seeds, parts=tuple(map(self._part, self.told)),
        )  # fmt: skip
        if p_adjusted <= LEVEL:
            return replace(found, verdict=SUPPORTED if self.judged.inside else CONTRADICTED)
        if self.anytime and negligible(claim, low, high):
            return replace(found, more_seeds=0, missing=nothing_to_find(claim))
        more = (seeds_to_verdict if self.anytime else seeds_missing)(claim, self.estimate, at, level)
        seconds = float(self.trials["seconds"][own & self.measured].mean())
        return replace(found, more_seeds=more, missing=missing(claim, more, len(told.cells), seconds))

    def _interval(self, condition: int, level: float) -> tuple[float, float, float]:
        """Effect, low, high. The intervals of all looks hold together: their intersection, with the last effect drawn
        into it; where they have nothing in common, that of the look with the least p."""
        effects = np.array([one.effects[condition] for one in self.looks])
        halves = np.array([one.half_width(condition, level) for one in self.looks])
        low, high = float((effects - halves).max()), float((effects + halves).min())
        if low > high:
            at = self.decisive
            low, high = float((effects - halves)[at]), float((effects + halves)[at])
        return float(np.clip(effects[-1], low, high)), low, high

    def _estimate(self, weights: np.ndarray, sample: Sample) -> Estimate | None:
        if not self.claim.comparison.paired:
            return sample.level(weights)
        estimate = sample.paired(weights)
        shared = [len(sample.shared(part.weights)) for part in self.told]
        return estimate and estimate._replace(seeds=min(shared))

    def _part(self, part: Part) -> PartEffect:
        estimate = self._estimate(part.weights, self.sample)
        if estimate is None or self.judged is None:
            return PartEffect(part.where, math.nan, math.nan, math.nan)
        at = self.judged.condition
        effect, half = float(estimate.effects[at]), estimate.half_width(at, LEVEL)
        return PartEffect(part.where, effect, effect - half, effect + half)

    def _rows(self, parts: list[Part]) -> np.ndarray:
        """[trials]: those of the cells of these parts of the claim."""
        return cells_of(parts)[self.cells.of_trial] if parts else np.zeros(len(self.trials), dtype=bool)

    def _cells(self, own: np.ndarray) -> Iterable[dict[str, Any]]:
        return self.cells.frame.iloc[np.unique(self.cells.of_trial[own])].to_dict("records")  # type: ignore[return-value]

    def _metric(self) -> str:
        name = " − ".join(self.claim.metrics)
        return f"log₂ {name}" if self.claim.log else name

    def _no_seeds(self) -> str:
        return f"add seeds: cells have {max(self.shared)} in common, a verdict needs {self.claim.seeds}"

    def _left_out(self, own: np.ndarray) -> Iterable[str]:
        """Trials that failed, or whose metric is no finite number; parts whose cells have too few seeds in common."""
        failed = (self.trials["status"] == "failed").to_numpy()
        infinite = (self.trials["status"] == "finished").to_numpy() & ~np.isfinite(self.outcomes)
        for what, which in (("failed", failed), (f"without a finite {self._metric()}", infinite)):
            if ids := list(self.trials["trial_id"][own & which]):
                yield f"{what}: {', '.join(ids)}"
        if self.told and len(self.told) < len(self.parts):
            few = [p.where for p, n in zip(self.parts, self.shared, strict=True) if n < self.claim.seeds]
            yield f"fewer than {self.claim.seeds} seeds in common: {'; '.join(few)}"

"""Two studies held side by side: cells that both have, and the difference of each."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.registry import did_you_mean
from study.analysis.two_studies import Trials, differences_of_studies
from study.results.comparison import Comparison
from study.results.labels import cell_label
from study.results.results import Results
from study.results.settings import Side, differing

NAMED = 4
"""Cells that are named at most where there are more."""
Key = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TwoStudies:
    """Cells that two studies have in common, B minus A."""

    names: tuple[str, str]
    metric: str
    differing: dict[str, tuple[str, str]]
    """setting, version or piece of hardware → its values in A and in B"""
    frame: pd.DataFrame
    """a row a cell: what varies, mean and n of A and of B, and the columns of `differences_of_studies`"""
    only: tuple[tuple[str, ...], tuple[str, ...]]
    """cells that A alone, and that B alone has"""
    notes: tuple[str, ...]
    """what is not told, and how cells were compared"""

    def plain(self) -> dict[str, Any]:
        """For scripts."""
        named = dict(zip(("a", "b"), self.names, strict=True))
        only = dict(zip(("a", "b"), map(list, self.only), strict=True))
        cells = self.frame.to_dict("records")
        return {
            "studies": named,
            "metric": self.metric,
            "differing": {name: list(values) for name, values in self.differing.items()},
            "cells": cells,
            "only": only,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [f"A: {self.names[0]}", f"B: {self.names[1]}"]
        if self.differing:
            lines += ["they differ in", *(f"  {what}: {a} | {b}" for what, (a, b) in self.differing.items())]
        lines += [*self.notes, f"{self.metric}, B − A, with 95 % intervals that hold together"]
        lines.append(self.frame.to_string(index=False, float_format="{:.3g}".format, na_rep=""))
        for side, cells in zip("AB", self.only, strict=True):
            lines += [f"in {side} only: {_several(cells)}"] if cells else []
        return "\n".join(lines)

    __repr__ = __str__


def compare_studies(
    first: Results, second: Results, metric: str | None = None, *, margin: float | None = None
) -> TwoStudies:
    """Cells of the second study minus those of the first that are equal in all that varies in either, as far as both
    tell it; settings that do not vary, and versions, may differ, and are named.

    metric: the first study's first that both have, by default. margin: up to which difference cells are equal. By
    trial where both ran the same trials, else unpaired: see `study.analysis.two_studies.differences_of_studies`.
    Raises ValueError where no cell is in both, with the nearest, or none can be compared.
    """
    name = _metric(first, second, metric)
    sides = Side(first, name), Side(second, name)
    paths, keys = _keys(*sides)
    cells = tuple(list(dict.fromkeys(of)) for of in keys)
    common = [key for key in cells[0] if key in set(cells[1])]
    if not common:
        raise ValueError(_nearest(paths, *cells))
    doubled = _doubled(sides, keys)
    clear = [key for key in common if key not in doubled]
    if not clear:
        raise ValueError(f"no cell can be compared: {_which(doubled[common[0]])}; give a study in place of a table")
    trials = [_trials(side, name, of, cells[i]) for i, (side, of) in enumerate(zip(sides, keys, strict=True))]
    pairs = np.array([[of.index(key) for of in cells] for key in clear])
    twins = _twins(sides, trials, pairs)
    found = differences_of_studies(trials[0], trials[1], pairs, twins, margin=margin)
    frame = pd.DataFrame(clear, columns=paths).assign(**_means(trials, pairs))
    only = [[_named(paths, key) for key in of if key not in set(common)] for of in cells]
    notes = [*_untold(sides), *_how(found, trials, twins)]
    notes += [f"{_named(paths, key)} is not compared: {_which(doubled[key])}" for key in common if key in doubled]
    return TwoStudies(
        (_title(first), _title(second)),
        name,
        differing(*sides, _compared(keys, clear), apart_from=paths),
        Comparison(pd.concat([frame, found], axis=1)),
        (tuple(only[0]), tuple(only[1])),
        tuple(notes),
    )


def _compared(keys: tuple[list[Key], list[Key]], cells: list[Key]) -> tuple[list[int], list[int]]:
    """The places of the trials that are of these cells."""
    places = [[i for i, key in enumerate(of) if key in set(cells)] for of in keys]
    return places[0], places[1]


def _metric(first: Results, second: Results, name: str | None) -> str:
    both = [metric for metric in first.shown() if metric in second.measured]
    if name is None and not both:
        raise ValueError("the studies have no accuracy or loss in common; name a metric with which to compare them")
    for side, results in zip("AB", (first, second), strict=True):
        if name is not None and name not in results.measured:
            raise ValueError(f"{side} has no metric {name!r}{did_you_mean(name, results.measured)}")
    return name or both[0]


def _title(results: Results) -> str:
    trials = f"{len(results.finished)} finished trials"
    return f"{results.study} ({trials}{'' if results.store else ', a table'})"


def _keys(first: Side, second: Side) -> tuple[list[str], tuple[list[Key], list[Key]]]:
    """The paths that vary in either and are told by both, and each trial's values at them."""
    written = not (first.configs and second.configs)
    paths, columns = [], []
    for path in dict.fromkeys([*first.results.varying, *second.results.varying]):
        both = first.values(path, written=written), second.values(path, written=written)
        if both[0] is not None and both[1] is not None:
            paths.append(path)
            columns.append(both)
    keys: list[list[Key]] = [[()] * len(side.frame) for side in (first, second)]
    if columns:
        keys = [list(zip(*of, strict=True)) for of in zip(*columns, strict=True)]
    return paths, (keys[0], keys[1])


def _doubled(sides: tuple[Side, Side], keys: tuple[list[Key], list[Key]]) -> dict[Key, tuple[str, str, str]]:
    """Key → (study, setting, its values) of keys that stand for several cells of a study, as the other does not tell
    what parts them."""
    found: dict[Key, tuple[str, str, str]] = {}
    for side, letter, of in zip(sides, "AB", keys, strict=True):
        for path in side.results.varying:
            shown: dict[Key, dict[str, None]] = {}
            for key, value in zip(of, side.values(path, written=True) or [], strict=True):
                shown.setdefault(key, {})[value] = None
            found |= {key: (letter, path, ", ".join(values)) for key, values in shown.items() if len(values) > 1}
    return found


def _which(doubled: tuple[str, str, str]) -> str:
    side, path, values = doubled
    return f"{side} has it with {path}={values}, and {'B' if side == 'A' else 'A'} does not tell {path}"


def _nearest(paths: list[str], first: list[Key], second: list[Key]) -> str:
    """The two cells that differ in fewest settings, and in which."""
    if not first or not second:
        return f"{'B' if first else 'A'} has no finished trial with this metric: run it first"
    one, other = min(
        ((one, other) for one in first for other in second),
        key=lambda both: sum(a != b for a, b in zip(*both, strict=True)),
    )
    apart = [f"{path}: {a} in A, {b} in B" for path, a, b in zip(paths, one, other, strict=True) if a != b]
    return f"no cell is in both; the nearest differ in {'; '.join(apart)}: run a cell of one in the other"


def _trials(side: Side, metric: str, keys: list[Key], cells: list[Key]) -> Trials:
    number = {key: i for i, key in enumerate(cells)}
    codes = np.array([number[key] for key in keys], dtype=np.intp)
    seeds = pd.factorize(side.frame["seed"])[0].astype(np.intp)
    return Trials(side.frame[metric].to_numpy(dtype=float), codes, seeds)


def _twins(sides: tuple[Side, Side], trials: Sequence[Trials], pairs: Any) -> Any:
    """[t, 2]: trials of both that are the same one: of equal id, or of one seed, whose trainings have one config."""
    ids = [side.frame["trial_id"].tolist() for side in sides]
    conditions = [side.conditions for side in sides]
    found = []
    for one, other in pairs:
        rows = [np.flatnonzero(of.cells == cell) for of, cell in zip(trials, (one, other), strict=True)]
        for i, j in itertools.product(*rows):
            if ids[0][i] == ids[1][j] or "" != conditions[0][i] == conditions[1][j]:
                found.append((i, j))
    return np.array(found, dtype=np.intp).reshape(-1, 2)


def _means(trials: Sequence[Trials], pairs: Any) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for i, letter in enumerate("AB"):
        of = [trials[i].outcomes[trials[i].cells == cell] for cell in pairs[:, i]]
        columns |= {letter: [values.mean() for values in of], f"n_{letter}": [len(values) for values in of]}
    return columns


def _untold(sides: tuple[Side, Side]) -> list[str]:
    tables = " and ".join(letter for letter, side in zip("AB", sides, strict=True) if not side.configs)
    return [f"{tables}: a table tells only what varies, and of no versions or hardware"] if tables else []


def _how(found: pd.DataFrame, trials: Sequence[Trials], twins: Any) -> list[str]:
    """How many cells are compared by trial, and how many unpaired; how many numbers are the same."""
    by_trial, cells = int(found["paired"].sum()), len(found)
    lines = []
    if by_trial:
        equal = int((trials[0].outcomes[twins[:, 0]] == trials[1].outcomes[twins[:, 1]]).sum())
        lines.append(
            f"{by_trial} of {cells} cells are compared by trial: both ran {len(twins)} trials of one config and seed, "
            f"{equal} of them to the same number"
        )
    if by_trial < cells:
        why = "fewer than two of their trials are the same in both"
        lines.append(f"{cells - by_trial} of {cells} cells are compared unpaired (Welch): {why}")
    return lines


def _named(paths: Sequence[str], key: Key) -> str:
    return cell_label(dict(zip(paths, key, strict=True))) or "the only cell"


def _several(cells: Sequence[str]) -> str:
    """Their number and the first of them."""
    more = f" and {len(cells) - NAMED} more" if len(cells) > NAMED else ""
    return f"{len(cells)} cell{'s' if len(cells) > 1 else ''} ({'; '.join(cells[:NAMED])}{more})"

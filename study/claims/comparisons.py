"""Comparisons of a study's cells: weights that make an effect of their means."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.claims.cells import CONTRASTIVE, Cells, Names

Array = NDArray[np.float64]


class Part(NamedTuple):
    """The effect in one context, all else being equal."""

    where: str
    """the context, in words; empty where nothing else varies"""
    weights: Array
    """[conditions, cells]: an effect is the sum of weight × cell mean. Of several conditions a claim holds where each
    does"""


def cells_of(parts: list[Part]) -> NDArray[np.bool_]:
    """[cells]: which have a weight in one of them."""
    return np.any([(part.weights != 0).any(axis=0) for part in parts], axis=0)


class Comparison(ABC):
    """Finds, among a study's cells, those that tell of a claim."""

    paired: ClassVar[bool] = True
    """whether the weights of each part sum to 0, so that what the cells of a seed share cancels"""
    per: str = ""
    """after the effect's unit"""

    @abstractmethod
    def parts(self, cells: Cells) -> list[Part]:
        """One for each context in which the cells are there."""

    @abstractmethod
    def needs(self) -> str:
        """Which cells those are, in words."""


@dataclass(frozen=True)
class Against(Comparison):
    """Cells minus the control that differs from them in these paths only, each pair a part.

    Names are tried in order: where a context has controls of several, the first is the one.
    """

    treated: Names
    control: Names
    alike: bool = False
    """whether the control has its cell's parameters: `difficulty_control(lo=0.1)` those of `difficulty(lo=0.1)`"""

    def parts(self, cells: Cells) -> list[Part]:
        return [Part(where, _weights(cells, {one: 1.0, other: -1.0})) for where, one, other in self.pairs(cells)]

    def needs(self) -> str:
        same = "parameters and other values" if self.alike else "other values"
        return f"cells with {_told(self.treated)}, and with {_told(self.control)} at the same {same}"

    def pairs(self, cells: Cells) -> Iterator[tuple[str, int, int]]:
        """(context, treated cell, control cell)."""
        paths = list(dict.fromkeys((*self.treated, *self.control)))
        plain = cells.plain(paths)
        treated, control = cells.named(self.treated) & plain, cells.named(self.control) & plain
        if not treated.any() or not control.any():
            return
        for where, members in cells.contexts(paths):
            ones, others = ([i for i in members if which[i]] for which in (treated, control))
            for one in ones:
                own = cells.words(one, paths) if len(ones) > 1 else ""
                given = cells.parameters(one, paths)
                known = [i for i in others if not self.alike or cells.parameters(i, paths) == given]
                if known:
                    other = min(known, key=lambda i: cells.rank(i, self.control))
                    yield ", ".join(filter(None, [where, own])), one, other


@dataclass(frozen=True)
class Trend(Comparison):
    """The slope of a metric over log₂ of a number, by least squares through the means of the cells that differ in it
    only: the effect of a doubling."""

    path: str
    """`k` or `temperature`"""
    of: Against | None = None
    """the slope of these differences, in place of that of the metric"""
    all_classes: bool = False
    """whether K is at least the number of draws that see every class on average, C·H_C where classes are equal"""

    @property
    def per(self) -> str:  # type: ignore[override]
        return f"per doubling of {self.path}"

    def parts(self, cells: Cells) -> list[Part]:
        found = []
        for where, rows, values in self._curves(cells):
            found.append(Part(where, _weighted(cells, rows, _slopes(np.log2(values))[None])))
        return found

    def needs(self) -> str:
        many = ", large enough that the draws see all classes" if self.all_classes else ""
        among = f", each {self.of.needs().removeprefix('cells ')}" if self.of else ""
        return f"cells with two values of {self.path} or more{many}{among}"

    def _curves(self, cells: Cells) -> Iterator[tuple[str, list[dict[int, float]], Array]]:
        """(context, at each value the weights of its cells, the values)."""
        numbers = cells.numbers(self.path)
        kept = numbers > 0
        if self.all_classes:
            kept &= numbers + 1 >= cells.draws
        for where, points in _points(cells, self.path, self.of):
            there = [(numbers[at], weights) for at, weights in points if kept[at]]
            if len({value for value, _ in there}) > 1:
                yield where, [weights for _, weights in there], np.array([value for value, _ in there])


@dataclass(frozen=True)
class TrendOverClasses(Comparison):
    """How much the slope over log₂ of a number grows when the classes double: the slope of these slopes over log₂ C, by
    least squares, C = 1 / Σ p² of the test split; of cells that differ in the number and in `data` only."""

    path: str

    @property
    def per(self) -> str:  # type: ignore[override]
        return f"per doubling of {self.path} and of the classes"

    def parts(self, cells: Cells) -> list[Part]:
        of_data = [path for path in cells.varying if path.partition(".")[0] == "data"]
        curves = Trend(self.path).parts(cells)
        found = []
        for where, members in cells.contexts([*cells.paths_of(self.path), *of_data]):
            slopes = [part.weights for part in curves if part.weights[:, members].any()]
            doublings = [np.log2(cells.classes[weights[0] != 0][0]) for weights in slopes]
            if len(set(doublings)) > 1 and np.isfinite(doublings).all():
                found.append(Part(where, np.tensordot(_slopes(np.array(doublings)), np.array(slopes), axes=1)))
        return found

    def needs(self) -> str:
        return f"cells with two values of {self.path} or more, on data of two numbers of classes or more"


@dataclass(frozen=True)
class Optimum(Comparison):
    """A maximum within the range of a number: the slope of a parabola over log₂ of it at the lower end, and minus that
    at the upper end, are both above 0 (Sasabuchi 1980; Lind & Mehlum 2010, "With or without U?")."""

    path: str
    of: Against | None = None
    """the maximum of these differences, in place of that of the metric"""
    near_one_class: float = 0.0
    """f > 1: the ends are Σ p² / f and f · Σ p² (1/C where classes are equal), in place of the least and greatest"""

    @property
    def per(self) -> str:  # type: ignore[override]
        return f"per doubling of {self.path}, at the end where it rises or falls less"

    def parts(self, cells: Cells) -> list[Part]:
        found, numbers = [], cells.numbers(self.path)
        for where, points in _points(cells, self.path, self.of):
            there = [(numbers[at], weights) for at, weights in points if numbers[at] > 0]
            if len({value for value, _ in there}) > 2:
                x = np.log2([value for value, _ in there])
                ends = self._ends(x, cells.classes[points[0][0]])
                if x.min() <= ends[0] and ends[1] <= x.max() + 1e-9:
                    found.append(Part(where, _weighted(cells, [weights for _, weights in there], _end_slopes(x, ends))))
        return found

    def _ends(self, x: Array, classes: float) -> tuple[float, float]:
        if not self.near_one_class:
            return x.min(), x.max()
        return -np.log2(classes * self.near_one_class), np.log2(self.near_one_class / classes)

    def needs(self) -> str:
        among = f", each {self.of.needs().removeprefix('cells ')}" if self.of else ""
        wide = f", from 1/({self.near_one_class:g} C) to {self.near_one_class:g}/C" if self.near_one_class else ""
        return f"cells with three values of {self.path} or more{wide}{among}"


@dataclass(frozen=True)
class Level(Comparison):
    """The metric itself, of contrastive learning with all negatives, each cell a part. Seeds are its replicates: what
    the cells of a seed share does not cancel."""

    paired: ClassVar[bool] = False

    def parts(self, cells: Cells) -> list[Part]:
        return [Part(cells.words(int(i)), _weights(cells, {int(i): 1.0})) for i in np.flatnonzero(cells.plain())]

    def needs(self) -> str:
        return f"cells with one of the methods {', '.join(CONTRASTIVE)}, InfoNCE and all negatives"


def _points(cells: Cells, path: str, of: Against | None) -> Iterator[tuple[str, list[tuple[int, dict[int, float]]]]]:
    """(context, points of a curve over the path: a cell that has the value, and the weights of the cells there)."""
    moving = cells.paths_of(path)
    if of is None:
        plain = cells.plain()
        for where, members in cells.contexts(moving):
            yield where, [(i, {i: 1.0}) for i in members if plain[i]]
        return
    paths = [*of.treated, *of.control]
    pairs = {one: {one: 1.0, other: -1.0} for _, one, other in of.pairs(cells)}
    for where, members in cells.contexts([*moving, *paths]):
        rows = [i for i in members if i in pairs]
        for own in dict.fromkeys(cells.words(i, paths, but=path) for i in rows):
            yield where, [(i, pairs[i]) for i in rows if cells.words(i, paths, but=path) == own]


def _weights(cells: Cells, of: dict[int, float]) -> Array:
    return _weighted(cells, [of], np.ones((1, 1)))


def _weighted(cells: Cells, points: list[dict[int, float]], factors: Array) -> Array:
    """[conditions, cells] from the weights at each point and factors [conditions, points]."""
    weights = np.zeros((len(factors), len(cells)))
    for point, factor in zip(points, factors.T, strict=True):
        for cell, weight in point.items():
            weights[:, cell] += factor * weight
    return weights


def _slopes(x: Array) -> Array:
    """[points]: the weights whose sum with y is the slope of y over x."""
    centred = x - x.mean()
    return centred / (centred**2).sum()


def _end_slopes(x: Array, ends: tuple[float, float]) -> Array:
    """[2, points]: of y's parabola over x, the slope at the lower end, and minus that at the upper end."""
    coefficients = np.linalg.pinv(np.stack([np.ones_like(x), x, x**2], axis=1))  # [3, points]
    low, high = ends
    return np.stack([coefficients[1] + 2 * low * coefficients[2], -(coefficients[1] + 2 * high * coefficients[2])])


def _told(names: Names) -> str:
    """The names without those of parameters and defaults, which say the same."""
    shown = {path: [name for name in wanted if "(" not in name and name != "default"] for path, wanted in names.items()}
    return " and ".join(f"{path} {' or '.join(wanted)}" for path, wanted in shown.items())

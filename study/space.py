"""One description of a search space: dotted config path → dimension. The grid, random and Optuna modes all read it."""

import inspect
import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from study.config import plain_value

Cell = dict[str, Any]  # dotted config path → value


@dataclass(frozen=True)
class Grid:
    """Each of these values, once."""

    values: tuple[Any, ...]

    def sample(self, draw: random.Random) -> Any:
        return draw.choice(self.values)


@dataclass(frozen=True)
class Choice(Grid):
    """One of these values, drawn uniformly."""


@dataclass(frozen=True)
class Uniform:
    """A real number in [low, high]."""

    low: float
    high: float

    def sample(self, draw: random.Random) -> float:
        return draw.uniform(self.low, self.high)


@dataclass(frozen=True)
class LogUniform:
    """A real number in [low, high] whose logarithm is uniform."""

    low: float
    high: float

    def sample(self, draw: random.Random) -> float:
        return math.exp(draw.uniform(math.log(self.low), math.log(self.high)))


@dataclass(frozen=True)
class RandInt:
    """A whole number in [low, high], both included; with log, its logarithm is uniform."""

    low: int
    high: int
    log: bool = False

    def sample(self, draw: random.Random) -> int:
        if not self.log:
            return draw.randint(self.low, self.high)
        return min(int(math.exp(draw.uniform(math.log(self.low), math.log(self.high + 1)))), self.high)


Dimension = Grid | Uniform | LogUniform | RandInt
SearchSpace = Mapping[str, Dimension]
Spaces = SearchSpace | Sequence[SearchSpace]
"""One space, or several whose cells are taken together: every method, and every strategy with one of them."""


def is_of(space: SearchSpace, cell: Cell) -> bool:
    """Whether a cell lies in a space."""
    return set(cell) == set(space) and all(holds(space[path], value) for path, value in cell.items())


def holds(dimension: Dimension, value: Any) -> bool:
    """Whether a value is one of a dimension's."""
    if isinstance(dimension, Grid):
        return json.dumps(value) in map(json.dumps, dimension.values)
    kinds = int if isinstance(dimension, RandInt) else (int, float)
    return isinstance(value, kinds) and dimension.low <= value <= dimension.high


def grid(*values: Any) -> Grid:
    """Each of these values, once: `grid(16, 64, 256)`."""
    return Grid(_distinct("grid", values))


def choice(*values: Any) -> Choice:
    """One of these values: `choice("all", {"name": "difficulty", "hi": 0.05})`."""
    return Choice(_distinct("choice", values))


def uniform(low: float, high: float) -> Uniform:
    """A real number in [low, high]."""
    low, high = _ordered("uniform", low, high)
    return Uniform(low, high)


def loguniform(low: float, high: float) -> LogUniform:
    """A real number in [low, high], uniform in its logarithm; low > 0."""
    low, high = _ordered("loguniform", low, high, positive=True)
    return LogUniform(low, high)


def randint(low: int, high: int, *, log: bool = False) -> RandInt:
    """A whole number in [low, high], both included."""
    if not isinstance(log, bool):
        raise ValueError(f"randint: log is true or false, got {log!r}")
    low, high = _ordered("randint", low, high, positive=log)
    return RandInt(low, high, log)


def _distinct(kind: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    values = tuple(map(plain_value, values))
    if not values:
        raise ValueError(f"{kind} needs at least one value, such as {kind}(0.1, 0.5)")
    if len(values) == 1 and isinstance(values[0], list):
        raise ValueError(f"{kind} takes the values one by one, got the list {values[0]!r}; unpack it: {kind}(*values)")
    doubled = [v for i, v in enumerate(values) if v in values[:i]]
    if doubled:
        raise ValueError(f"{kind} names {doubled[0]!r} twice; each value makes a cell of its own")
    return values


def _ordered(kind: str, low: float, high: float, *, positive: bool = False) -> tuple[Any, Any]:
    whole = kind == "randint"
    low, high = plain_value(low), plain_value(high)
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, int if whole else int | float) or not math.isfinite(end):
            raise ValueError(f"{kind} needs two {'whole' if whole else 'finite'} numbers, got {low!r} and {high!r}")
    if not low < high:
        raise ValueError(f"{kind} needs low < high, got {low} and {high}")
    if positive and low <= 0:
        raise ValueError(f"{kind} on a log scale needs low > 0, got {low}")
    return low, high


def grid_cells(space: SearchSpace) -> Iterator[Cell]:
    """The product of all dimensions that are finite lists of values."""
    for values in itertools.product(*(d.values for d in space.values() if isinstance(d, Grid))):
        yield dict(zip(space, values, strict=True))


def random_cells(spaces: Spaces, count: int, seed: int) -> Iterator[Cell]:
    """`count` independent draws, each of one of the spaces; the first n are the same whatever the count."""
    draw = random.Random(seed)
    several = [] if isinstance(spaces, Mapping) else list(spaces)
    for _ in range(count):
        space = draw.choice(several) if several else spaces
        assert isinstance(space, Mapping)
        yield {path: dimension.sample(draw) for path, dimension in space.items()}


KINDS: dict[str, tuple[type, Callable[..., Dimension]]] = {
    "grid": (Grid, grid),
    "choice": (Choice, choice),
    "uniform": (Uniform, uniform),
    "loguniform": (LogUniform, loguniform),
    "randint": (RandInt, randint),
}
"""Name → the dimension's class, and the function that makes one of checked values."""


def to_plain(space: Spaces) -> Any:
    """For study.yaml: {"k": {"grid": [16, 64]}, "lr": {"loguniform": {"low": .01, "high": 1}}}; several as a list."""
    if not isinstance(space, Mapping):
        return [to_plain(one) for one in space]
    names = {made: name for name, (made, _) in KINDS.items()}
    return {p: {names[type(d)]: list(d.values) if isinstance(d, Grid) else asdict(d)} for p, d in space.items()}


def from_plain(plain: Any) -> Spaces:
    """The inverse of `to_plain`; dimensions stay, a list of values is a grid. ValueError for what is no space."""
    return tuple(map(_space, plain)) if isinstance(plain, list | tuple) else _space(plain)


def _space(plain: Any) -> SearchSpace:
    if not isinstance(plain, Mapping):
        raise ValueError(f"space: takes a mapping such as {{k: [16, 64]}}, or a list of mappings, got {plain!r}")
    for path in plain:
        if not isinstance(path, str):
            raise ValueError(f"space: a path is a text such as k or temperature, got {path!r}")
    return {path: _dimension(path, content) for path, content in plain.items()}


def _dimension(path: str, content: Any) -> Dimension:
    if isinstance(content, Dimension):
        return content
    content = {"grid": content} if isinstance(content, list) else content
    if not isinstance(content, dict) or len(content) != 1 or next(iter(content)) not in KINDS:
        raise ValueError(f"space.{path} must be one of {', '.join(KINDS)}, such as {{grid: [16, 64]}}; got {content!r}")
    kind, value = next(iter(content.items()))
    made, make = KINDS[kind]
    listed = issubclass(made, Grid)
    try:
        arguments = inspect.signature(make).bind(*value) if isinstance(value, list) else None
        arguments = inspect.signature(make).bind(**value) if isinstance(value, dict) and not listed else arguments
    except TypeError:
        arguments = None
    if arguments is None:
        form = "[0.1, 0.5]" if listed else "{low: 1, high: 10}"
        raise ValueError(f"space.{path}: {kind} is written {kind}: {form}, got {value!r}")
    try:
        return make(*arguments.args, **arguments.kwargs)
    except ValueError as error:
        raise ValueError(f"space.{path}: {error}") from None

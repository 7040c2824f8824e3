"""Samplers that propose cells from results: Optuna's, by name, over one space or several."""

import difflib
import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from study.config import ConfigError
from study.space import Cell, Dimension, Grid, LogUniform, RandInt, SearchSpace, is_of, to_plain

if TYPE_CHECKING:
    import optuna

BRANCH = "space"
"""Optuna's parameter of which of several spaces a cell is of; no path of a config bears that name."""


def optuna_sampler(name: str) -> "optuna.samplers.BaseSampler":
    """`tpe`, or `optuna:NAME` for any of optuna.samplers, under the seed 0; ConfigError for what cannot be made."""
    import optuna

    if name == "tpe":
        # Cells that run count as bad ones, so that what is proposed meanwhile lies elsewhere: Optuna's default from 5
        return optuna.samplers.TPESampler(seed=0, constant_liar=True)
    member, known = name.removeprefix("optuna:"), optuna_samplers()
    if member not in known:
        raise ConfigError(
            [f"sampler: optuna.samplers has no {member!r}{near_sampler(name)} (known: {', '.join(sorted(known))})"]
        )
    made = known[member]
    wanted: dict[str, Any] = {"seed": 0, "warn_independent_sampling": False}
    known_of = inspect.signature(made).parameters
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls most of its own experimental
            return made(**{n: value for n, value in wanted.items() if n in known_of})
    except Exception as error:  # one that needs arguments, or a package that is not here
        raise ConfigError([f"sampler: {name} cannot be made ({error}); choose another, such as tpe"]) from None


def near_sampler(name: str) -> str:
    """`; did you mean 'optuna:GPSampler'?` for gp, GP, GPSampler, optuna:gp; else an empty string."""

    def word(of: str) -> str:
        return of.removeprefix("optuna:").lower().removesuffix("sampler")

    own = () if name.startswith("optuna:") else ("grid", "random", "tpe")
    words = {word(full): full for full in (*(f"optuna:{member}" for member in optuna_samplers()), *own)}
    near = difflib.get_close_matches(word(name), words, n=1)
    return f"; did you mean {words[near[0]]!r}?" if near else ""


def optuna_samplers() -> "dict[str, type[optuna.samplers.BaseSampler]]":
    """The samplers of Optuna by name."""
    import optuna

    found = {name: getattr(optuna.samplers, name) for name in optuna.samplers.__all__ if name.endswith("Sampler")}
    return {name: made for name, made in found.items() if not inspect.isabstract(made)}


SEEN = 12
"""Results after which every sampler of Optuna's is at work: before, most draw at random (10 of them)."""


class OptunaSpace:
    """The spaces of a study as Optuna sees them: a cell is of one, which is a parameter where there are several.

    A dimension that is the same in all spaces that have it is one parameter, so that what is learnt of it in one space
    counts in the others. Values of a list are JSON, since Optuna takes no mappings.
    """

    def __init__(self, spaces: Sequence[SearchSpace]) -> None:
        self._spaces = spaces
        plain = [to_plain(space) for space in spaces]
        self._names = [
            {p: p if all(other[p] == here[p] for other in plain if p in other) else f"{p} of {i}" for p in here}
            for i, here in enumerate(plain)
        ]

    def ask(self, study: "optuna.Study") -> "tuple[optuna.Trial, Cell]":
        """A proposal and its cell."""
        from optuna.distributions import CategoricalDistribution

        if len(self._spaces) == 1:
            asked = study.ask(self._distributions(0))
            return asked, self._cell(0, asked.params)
        asked = study.ask({BRANCH: CategoricalDistribution(range(len(self._spaces)))})
        number = asked.params[BRANCH]
        for path, dimension in self._spaces[number].items():
            _suggest(asked, self._names[number][path], dimension)
        return asked, self._cell(number, asked.params)

    def params(self, cell: Cell) -> dict[str, Any]:
        """A cell as Optuna has it."""
        number = self._number(cell)
        space, names = self._spaces[number], self._names[number]
        found = {names[p]: json.dumps(cell[p]) if isinstance(space[p], Grid) else cell[p] for p in space if p in cell}
        return found | ({BRANCH: number} if len(self._spaces) > 1 else {})

    def distributions(self, cell: Cell) -> "dict[str, optuna.distributions.BaseDistribution]":
        """Those of the space that a cell is of."""
        return self._distributions(self._number(cell))

    def _number(self, cell: Cell) -> int:
        return next((i for i, space in enumerate(self._spaces) if is_of(space, cell)), 0)

    def _cell(self, number: int, params: Mapping[str, Any]) -> Cell:
        space, names = self._spaces[number], self._names[number]
        values = {path: params[names[path]] for path in space}
        return {path: json.loads(v) if isinstance(space[path], Grid) else v for path, v in values.items()}

    def _distributions(self, number: int) -> "dict[str, optuna.distributions.BaseDistribution]":
        from optuna.distributions import CategoricalDistribution

        names = self._names[number]
        found = {names[path]: _distribution(dimension) for path, dimension in self._spaces[number].items()}
        several = len(self._spaces) > 1
        return found | ({BRANCH: CategoricalDistribution(range(len(self._spaces)))} if several else {})


def _suggest(asked: "optuna.Trial", name: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Grid):
        return asked.suggest_categorical(name, [json.dumps(value) for value in dimension.values])
    if isinstance(dimension, RandInt):
        return asked.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
    return asked.suggest_float(name, dimension.low, dimension.high, log=isinstance(dimension, LogUniform))


def _distribution(dimension: Dimension) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Grid):
        return CategoricalDistribution([json.dumps(value) for value in dimension.values])
    if isinstance(dimension, RandInt):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=isinstance(dimension, LogUniform))


def check_search(name: str, spaces: Sequence[SearchSpace], metrics: Mapping[str, str]) -> None:
    """Refuse, with ConfigError, a sampler of Optuna's that cannot propose cells of these spaces for these metrics.

    Some of them look for what they need when they have seen a few results.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study, space = new_study(name, metrics), OptunaSpace(spaces)
            for _ in range(SEEN):
                study.tell(space.ask(study)[0], [0.0] * len(metrics))
    except ModuleNotFoundError as error:
        raise ConfigError([f"sampler: {name} needs a package: `pip install {error.name}`; or choose tpe"]) from None
    except (ValueError, TypeError, RuntimeError, NotImplementedError, ImportError) as error:
        why = str(error).strip().partition("\n")[0]
        raise ConfigError([f"sampler: {name} cannot search this space ({why}); choose another, such as tpe"]) from None


def new_study(name: str, metrics: Mapping[str, str]) -> "optuna.Study":
    """An empty study of Optuna's, which says nothing below a warning."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions = ["maximize" if way == "max" else "minimize" for way in metrics.values()]
    return optuna.create_study(directions=directions, sampler=optuna_sampler(name))

"""Which point of a study runs next: a fixed list, or what Optuna's TPE proposes from the finished ones."""

import json
import statistics
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from models.registry import did_you_mean
from study.config import ConfigError
from study.space import Cell, Dimension, Grid, LogUniform, RandInt
from study.store import Store
from study.study import Point, Study

if TYPE_CHECKING:
    import optuna

TRIES = 50
"""Proposals in a row that may fail to be a new valid cell before the space counts as exhausted."""


class Sampler(Protocol):
    """Gives points one by one and hears of their results."""

    def next(self) -> Point | None:
        """The next point to run, or None where there is none left."""

    def tell(self, point: Point, result: dict[str, Any]) -> None:
        """A point's result, finished or failed."""


def sampler_of(study: Study, store: Store) -> Sampler:
    """The study's sampler, over what the store has not finished yet."""
    return TPE(study, store) if study.sampler == "tpe" else Listed(study.points(), store)


class Listed:
    """The points of a grid or random study that have no result, interrupted ones first."""

    def __init__(self, points: list[Point], store: Store) -> None:
        status = {point.trial.id: store.trial(point.trial.id).status() for point in points}
        left = [point for point in points if status[point.trial.id] in ("started", "pending")]
        self._left = deque(sorted(left, key=lambda point: status[point.trial.id] != "started"))

    def next(self) -> Point | None:
        return self._left.popleft() if self._left else None

    def tell(self, point: Point, result: dict[str, Any]) -> None:
        """A list does not depend on results."""


class TPE:
    """Optuna's tree-structured Parzen estimator; a cell's value is the mean over its seeds.

    Goes on from the cells in the store towards the study's number of cells. A cell that failed under a seed counts as
    failed; one that the rest of the config does not allow is passed over.
    """

    def __init__(self, study: Study, store: Store) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study, self._store = study, store
        directions = ["maximize" if way == "max" else "minimize" for way in study.metrics.values()]
        self._optuna = optuna.create_study(directions=directions, sampler=optuna.samplers.TPESampler(seed=0))
        self._space = {path: _distribution(dimension) for path, dimension in study.spaces[0].items()}
        self._queue: deque[Point] = deque()
        self._open: dict[str, tuple[int, list[Point]]] = {}  # cell → Optuna's number, its points
        self._cells = 0
        self._adopt_finished()

    def next(self) -> Point | None:
        tries = 0
        while not self._queue and self._cells < (self._study.cells or 0) and tries < TRIES:
            tries += not self._propose()
        return self._queue.popleft() if self._queue else None

    def tell(self, point: Point, result: dict[str, Any]) -> None:
        key = _key(point.cell)
        if key not in self._open:
            return
        number, points = self._open[key]
        values = self._values(points)
        if values is None:
            return
        del self._open[key]
        if values == "failed":
            import optuna

            self._optuna.tell(number, state=optuna.trial.TrialState.FAIL)
        else:
            self._optuna.tell(number, values)

    def _adopt_finished(self) -> None:
        """Give Optuna every cell of the store, and queue the points that an interrupted cell still lacks."""
        import optuna

        cells = {_key(cell): cell for folder in self._store.trials() if (cell := folder.config()["cell"])}
        for cell in cells.values():
            params = {path: json.dumps(v) if self._listed(path) else v for path, v in cell.items()}
            if set(params) != set(self._space) or not all(_holds(self._space[p], v) for p, v in params.items()):
                continue
            points = self._points(cell)
            values = self._values(points)
            if values is None:
                self._optuna.enqueue_trial(params)
                self._propose()
                continue
            self._cells += 1
            state = optuna.trial.TrialState.FAIL if values == "failed" else optuna.trial.TrialState.COMPLETE
            self._optuna.add_trial(
                optuna.trial.create_trial(
                    params=params,
                    distributions=self._space,
                    values=None if values == "failed" else values,
                    state=state,
                )
            )

    def _propose(self) -> bool:
        """Ask for a cell and queue its points; False where it is no valid new cell."""
        import optuna

        asked = self._optuna.ask(self._space)
        cell = {path: json.loads(v) if self._listed(path) else v for path, v in asked.params.items()}
        try:
            points = self._points(cell)
        except ConfigError:
            self._optuna.tell(asked, state=optuna.trial.TrialState.FAIL)
            return False
        values = self._values(points)
        if values is not None or _key(cell) in self._open:
            known = values if isinstance(values, list) else None
            self._optuna.tell(asked, known, state=None if known else optuna.trial.TrialState.FAIL)
            return False
        self._cells += 1
        self._open[_key(cell)] = (asked.number, points)
        self._queue.extend(p for p in points if self._store.trial(p.trial.id).result() is None)
        return True

    def _points(self, cell: Cell) -> list[Point]:
        from study.plan import resolve_cells

        ((_, trial),) = resolve_cells(self._study, [cell])
        return [Point(cell, trial.with_seed(seed)) for seed in self._study.seeds]

    def _values(self, points: list[Point]) -> "list[float] | str | None":
        """The metrics' means over the seeds; "failed" where a seed failed; None while one is missing."""
        results = [self._store.trial(point.trial.id).result() for point in points]
        if any(result is not None and result["status"] == "failed" for result in results):
            return "failed"
        finished = [result["metrics"] for result in results if result is not None]
        if len(finished) < len(points):
            return None
        missing = [metric for metric in self._study.metrics if metric not in finished[0]]
        if missing:
            known = sorted(finished[0])
            raise ConfigError([f"metrics.{m}: no trial logs it{did_you_mean(m, known)}" for m in missing])
        return [statistics.mean(metrics[metric] for metrics in finished) for metric in self._study.metrics]

    def _listed(self, path: str) -> bool:
        return isinstance(self._study.spaces[0][path], Grid)


def _key(cell: Cell) -> str:
    return json.dumps(cell, sort_keys=True)


def _distribution(dimension: Dimension) -> "optuna.distributions.BaseDistribution":
    """Optuna's own; values of a list as JSON, since Optuna takes no mappings."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Grid):
        return CategoricalDistribution([json.dumps(value) for value in dimension.values])
    if isinstance(dimension, RandInt):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=isinstance(dimension, LogUniform))


def _holds(distribution: "optuna.distributions.BaseDistribution", value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False

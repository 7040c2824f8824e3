"""Results of a study: a tidy table, one row per trial; means over seeds with their 95 % intervals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from study.storage import yaml_text
from study.storage.store import Store

if TYPE_CHECKING:
    from study.analysis.fit import Fit

BEFORE = ("trial_id", "status", "reason", "seed", "class_counts")
"""The first columns; then what varies, `seconds`, and the metrics. class_counts: of the test split, as JSON. A `k` that
does not vary stands before class_counts; earlier tables lack it."""
PRIMARY = ("linear.features.top1", "knn.features.top1", "mean_classifier.top1", "contrastive.loss")
"""The metrics that are shown where all would be too many."""
ACCURACY = "mean_classifier.top1"
"""What an inverted bound is ranked against: the accuracy of the classifier that the bounds are about."""


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """A study's trials, finished or not. `frame` has one row per trial.

    A part of them: `Results(results.frame.query("negatives == 'all'"))`, which is fitted and compared like the whole.
    """

    frame: pd.DataFrame
    study: str = ""
    metrics: Mapping[str, str] = field(default_factory=dict)
    """the study's own metrics, "max" or "min": what its question asks for"""

    @classmethod
    def load(cls, store: Store) -> Results:
        """Every trial that started, from the store's files."""
        contents, outcomes = [], []
        for trial in store.trials():
            contents.append(trial.config())
            outcomes.append((trial, trial.result()))
        paths = _varying(contents)
        states = [(t.id, r.status, r.reason) if r else (t.id, t.status(), None) for t, r in outcomes]
        frame = pd.DataFrame(states, columns=list(BEFORE[:3]))
        frame["seed"] = pd.Series([content["seed"] for content in contents], dtype="int64")
        ks = [content["config"].get("k") for content in contents]
        if "k" not in paths and None not in ks:
            frame["k"] = pd.Series(ks, dtype="int64")
        counts = [result.data.get("class_counts") if result else None for _, result in outcomes]
        frame["class_counts"] = [json.dumps(count or []) for count in counts]
        for path in paths:
            frame[path] = _column([_value(content, path) for content in contents])
        frame["seconds"] = pd.Series([r.duration if r else None for _, r in outcomes], dtype="float64")
        measured = pd.DataFrame([r.metrics if r else {} for _, r in outcomes], dtype="float64")
        described = store.path / "study.yaml"
        study = yaml_text.read(described.read_text()) if described.exists() else {}
        return cls(pd.concat([frame, measured], axis=1), store.path.name, study.get("metrics", {}))

    @classmethod
    def read(cls, path: Path | str) -> Results:
        """A table that `save` wrote: results.csv or results.parquet."""
        path = Path(path)
        if path.suffix not in (".csv", ".parquet"):
            raise ValueError(f"results are read from .csv or .parquet, got {path.name}; write {path.stem}.csv")
        text = {"trial_id": str, "reason": object, "class_counts": object}
        if path.is_dir():
            raise ValueError(f"{path} is a folder; give the table in it, such as {path / 'results.csv'}")
        try:
            frame = pd.read_csv(path, dtype=text) if path.suffix == ".csv" else pd.read_parquet(path)
        except FileNotFoundError:
            raise FileNotFoundError(f"no such file: {path.absolute()}") from None
        except (ValueError, OSError) as error:  # pandas' and pyarrow's own, for bytes of another kind
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ValueError(f"{path} is no table of results ({reason}); `study report` writes one") from None
        missing = [name for name in (*BEFORE, "seconds") if name not in frame]
        if missing:
            raise ValueError(f"{path} is no table of results: it has no column {', '.join(missing)}")
        seeds = pd.to_numeric(frame["seed"], errors="coerce")
        if seeds.isna().any():
            raise ValueError(f"{path}: column seed holds whole numbers, got {frame['seed'][seeds.isna()].iloc[0]!r}")
        doubled = frame["trial_id"][frame["trial_id"].duplicated()]
        if len(doubled):
            raise ValueError(f"{path}: trial {doubled.iloc[0]} is in it more than once; keep one row a trial")
        return cls(frame, path.absolute().parent.name)

    def save(self, folder: Path | str) -> list[Path]:
        """Write results.csv and results.parquet into the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "results.csv", folder / "results.parquet"]
        self.frame.to_csv(paths[0], index=False)
        self.frame.to_parquet(paths[1], index=False)
        return paths

    @property
    def varying(self) -> list[str]:
        """The config paths that differ between trials, apart from the seed: the columns that name a cell."""
        columns = list(self.frame.columns)
        return columns[columns.index(BEFORE[-1]) + 1 : columns.index("seconds")]

    @property
    def measured(self) -> list[str]:
        """The names of all metrics."""
        columns = list(self.frame.columns)
        return columns[columns.index("seconds") + 1 :]

    @property
    def finished(self) -> pd.DataFrame:
        return self.frame[self.frame["status"] == "finished"]

    @property
    def failed(self) -> pd.DataFrame:
        return self.frame[self.frame["status"] == "failed"]

    def cells(self) -> pd.DataFrame:
        """Mean and 95 % Student-t half-width over the seeds of each cell, one row per cell and metric.

        Columns: what varies, metric, mean, half_width = t(.975; n−1)·s/√n (NaN for one seed), n (the finished
        trials that have the metric).
        """
        return interval(self.finished, self.varying, ["seconds", *self.measured])

    def table(self, metrics: Iterable[str] | None = None) -> pd.DataFrame:
        """One row per cell: what varies, n, and each metric as text, mean ± half-width; the best cell first."""
        shown = self.shown() if metrics is None else list(metrics)
        cells, finished = self.cells(), self.finished
        table = finished.groupby(self.varying or "status", dropna=False, sort=False).size().rename("n").reset_index()
        table = table[[*self.varying, "n"]]
        for name in shown:
            of_metric = cells[cells["metric"] == name]
            table[name] = [text(name, m, h) for m, h in zip(of_metric["mean"], of_metric["half_width"], strict=True)]
        if shown and len(table):
            means = cells.loc[cells["metric"] == shown[0], "mean"].to_numpy()
            worst_first = np.argsort(means, kind="stable")
            down = self.metrics.get(shown[0], "min" if shown[0].endswith("loss") else "max") == "max"
            table = table.iloc[worst_first[::-1] if down else worst_first]
        return table.reset_index(drop=True)

    def shown(self) -> list[str]:
        """The metrics of a short table: the study's own, then the usual ones, as far as there are any."""
        return [name for name in dict.fromkeys((*self.metrics, *PRIMARY)) if name in self.frame]

    def losses(self) -> tuple[pd.DataFrame, list[str]]:
        """What the fits read, one row per finished trial with negatives, and the columns that name its curve over K.

        Columns: what varies, seed, k, temperature (at the end), contrastive_loss (L_cont of the test split at the
        trial's K, nats), gap (d(f)), `<bound>_supervised_upper`, and every metric.
        """
        frame = self.finished
        source = "bounds.contrastive_loss" if "bounds.contrastive_loss" in frame else "contrastive.loss"
        if source not in frame or not (kept := frame[source].notna() & (_k(frame) > 0)).any():
            raise ValueError(
                "no finished trial has a contrastive loss on test: run the study first, with the evaluation `bounds`"
            )
        frame = frame[kept]
        added = {"k": _k(frame).astype(int), "temperature": frame["train.temperature"]}
        added["contrastive_loss"] = frame[source]
        if "bounds.gap" in frame:
            added["gap"] = frame["bounds.gap"]
        for column in frame.columns:
            if column.startswith("bounds.") and column.endswith(".supervised_upper"):
                added[f"{column.split('.')[1]}_supervised_upper"] = frame[column]
        frame, by = frame.copy().assign(**added), [path for path in self.varying if path != "k"]
        curves = frame.groupby(by, dropna=False)["k"].transform("nunique") > 1 if by else frame["k"] > 0
        return (frame[curves] if curves.any() else frame), by  # a lone K is no curve, and hinders no other

    def priors(self, trials: pd.DataFrame | None = None) -> list[float]:
        """π, the class shares of the test split that these trials share; ValueError where they differ, or one is 0.

        trials: rows of `losses`, such as those of one curve over K; all finished ones by default.
        """
        counts = (self.finished if trials is None else trials)["class_counts"]
        splits = [text for text in counts.unique() if text != "[]"]
        if not splits:
            raise ValueError("the test split has no labels, but the bounds are about classes; take data with labels")
        if len(splits) > 1:
            raise ValueError(
                f"trials of one curve over K have {len(splits)} different test splits (column class_counts); filter "
                "the table, as in Results(results.frame.query('seed == 0'))"
            )
        try:
            numbers = [int(number) for number in json.loads(splits[0])]
        except (ValueError, TypeError):
            raise ValueError(f"column class_counts holds lists such as [500, 500], got {splits[0]!r}") from None
        if absent := [c for c, number in enumerate(numbers) if number == 0]:
            raise ValueError(
                f"classes {absent} (by number, from 0) are absent from the test split, but the bounds are about all "
                f"{len(numbers)}; take a test split with every class"
            )
        return [number / sum(numbers) for number in numbers]

    def fit(self, bound: str, *, resamples: int = 1000) -> Fits:
        """The bound fitted to L_cont over K, one fit for each group that shares everything but K and the seed.

        d is fixed at its measured value, without which L_sup, L_sub and d are not identified together. The classes are
        those of each group's own test split.
        """
        from study.analysis.fit import fit_bound

        draw = np.random.default_rng(0)
        return Fits(
            fit
            for frame, by, priors in self._by_test_split()
            for fit in fit_bound(
                frame,
                bound,
                priors=priors,
                generator=draw,
                by=by,
                fixed=self._known(bound, frame),
                resamples=resamples,
            )
        )

    def compare_bounds(self, *, accuracy: str = ACCURACY, resamples: int = 1000) -> pd.DataFrame:
        """Which bound explains L_cont over K better, and how its inversion ranks encoders, per group and bound."""
        from study.analysis.compare import compare_bounds

        draw = np.random.default_rng(0)
        compared = [
            compare_bounds(
                frame,
                priors=priors,
                generator=draw,
                by=by,
                accuracy=accuracy if accuracy in frame else None,
                fixed={"d": "gap"} if "gap" in frame else None,
                resamples=resamples,
            )
            for frame, by, priors in self._by_test_split()
        ]
        return pd.concat(compared, ignore_index=True)

    def _by_test_split(self) -> Iterator[tuple[pd.DataFrame, list[str], list[float]]]:
        """(`losses`, the columns that name a curve, π) of the curves on each test split."""
        frame, by = self.losses()
        for _, curve in frame.groupby(by, dropna=False) if by else [((), frame)]:
            self.priors(curve)
        for _, rows in frame.groupby("class_counts", sort=False):
            yield rows, by, self.priors(rows)

    def slack(self) -> pd.DataFrame:
        """L_cont minus each lower bound at the trial's own K: trial_id, k, bound, slack, slack_se (nats), violated (by
        over two standard errors), one row per finished trial and bound."""
        names = [c.split(".")[1] for c in self.measured if c.startswith("bounds.") and c.endswith(".slack")]
        frame = self.finished
        parts = []
        for name in names:
            slack, error = frame[f"bounds.{name}.slack"], frame[f"bounds.{name}.slack_se"]
            row = {"trial_id": frame["trial_id"], "k": _k(frame), "bound": name, "slack": slack}
            parts.append(pd.DataFrame({**row, "slack_se": error, "violated": slack < -2 * error}).dropna())
        columns = ["trial_id", "k", "bound", "slack", "slack_se", "violated"]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

    def importance(self, metric: str | None = None) -> pd.DataFrame:
        """How much of the metric's variance each varying parameter explains, and whether that is told from chance.

        Default: the study's first metric. Of a grid: `variance_components`, with the interactions, the seed and what is
        unexplained. Of a random search: `importance` (fANOVA). ValueError where there are too few values or cells.
        """
        from study.analysis.importance import importance
        from study.analysis.variance import is_grid, variance_components

        draw, name, frame = np.random.default_rng(0), self._metric(metric), self.finished
        if is_grid(frame, self.varying, name):
            return variance_components(frame, self.varying, name, generator=draw)
        frame = frame.copy().assign(seed=frame["seed"].astype(str))
        return importance(frame, [*self.varying, "seed"], name, generator=draw)

    def response(self, parameter: str, metric: str | None = None) -> pd.DataFrame:
        """The metric's mean at each value of a varying parameter, with a 95 % interval over seeds or cells."""
        from study.analysis.importance import response_curve

        if parameter not in self.varying:
            raise ValueError(f"{parameter} does not vary in this study; choose one of {', '.join(self.varying)}")
        return response_curve(self.finished, self.varying, parameter, self._metric(metric))

    def _metric(self, name: str | None) -> str:
        if name is None and not self.shown():
            raise ValueError("no finished trial has an accuracy or a loss; name a metric")
        if name is not None and name not in self.measured:
            raise ValueError(f"no finished trial has the metric {name!r}; there are {', '.join(self.measured)}")
        return name or self.shown()[0]

    def _known(self, bound: str, frame: pd.DataFrame) -> dict[str, float | str]:
        from study.bounds import BOUNDS

        return {"d": "gap"} if "gap" in frame and "d" in BOUNDS[bound].parameters else {}

    def __str__(self) -> str:
        return f"{self._headline()}\n{self.table().to_string(index=False)}" if len(self.finished) else self._headline()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{self._headline()}</p>{self.table().to_html(index=False, border=0)}"

    def _headline(self) -> str:
        counts = self.frame["status"].value_counts()
        states = ", ".join(f"{count} {status}" for status, count in counts.items())
        return f"{self.study}: {len(self.frame)} trials" + (f" ({states})" if states else "")


class Fits(tuple["Fit", ...]):
    """Fits of one bound, a group each; printed one after another."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    __repr__ = __str__


def journals(store: Store, metrics: Iterable[str]) -> pd.DataFrame:
    """One row per trial and epoch: trial_id, epoch and these stepwise metrics."""
    names = list(metrics)
    rows = [
        (trial.id, line["epoch"], *(line["metrics"].get(name) for name in names))
        for trial in store.trials()
        for line in trial.journal()
    ]
    return pd.DataFrame(rows, columns=["trial_id", "epoch", *names]).astype(dict.fromkeys(names, float))


def tables(store: Store, name: str) -> dict[str, list[dict[str, Any]]]:
    """Trial id → its table of this name, such as `bounds.profile`, of the trials that have it."""
    return {trial.id: rows for trial in store.trials() if (rows := trial.table(name))}


def interval(frame: pd.DataFrame, by: list[str], metrics: list[str]) -> pd.DataFrame:
    """Mean, 95 % Student-t half-width and n of each metric in each group, one row per group and metric."""
    groups = frame.groupby(by or frame["status"], dropna=False, sort=False)[metrics]
    mean, deviation, n = groups.mean(), groups.std(), groups.count()
    half = stdtrit(np.maximum(n.to_numpy() - 1, 1), 0.975) * deviation.to_numpy() / np.sqrt(np.maximum(n.to_numpy(), 1))
    keys = mean.index.to_frame(index=False)[by]
    table = pd.concat([keys] * len(metrics), ignore_index=True)
    values = {"mean": mean, "half_width": half, "n": n}
    columns = {name: np.asarray(value).ravel(order="F") for name, value in values.items()}
    return table.assign(metric=np.repeat(metrics, len(keys)), **columns)


def label(value: Any) -> str:
    """A config value in a few characters: {"name": "difficulty", "hi": 0.05} → `difficulty(hi=0.05)`."""
    if isinstance(value, Mapping) and "name" in value:
        given = {key: inner for key, inner in value.items() if key != "name" and inner is not None}
        arguments = ", ".join(f"{key}={label(inner)}" for key, inner in given.items())
        return f"{value['name']}({arguments})" if given else str(value["name"])
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(label, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return "default" if value is None else str(value)


def cell_label(cell: Mapping[str, Any]) -> str:
    """`k=64, temperature=0.1, negatives=all`."""
    return ", ".join(f"{path}={label(value)}" for path, value in cell.items())


def value_at(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = config
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything in nested dicts; a list is one value."""
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from flat(inner, f"{path}.{key}" if path else key)


def floor_of(metric: str) -> str:
    """The metric that holds the untrained encoder's value of this one: of the linear probe on features alone."""
    return metric.replace("linear.features.", "linear.floor.") if metric.startswith("linear.features.") else ""


def is_percentage(metric: str) -> bool:
    return metric.rpartition(".")[2] in ("top1", "top5")


def text(metric: str, mean: float, half_width: float = float("nan")) -> str:
    """`53.3 ± 0.4`; an empty string where nothing was measured."""
    if np.isnan(mean):
        return ""
    digits = 1 if is_percentage(metric) or metric.startswith(("time.", "memory.", "seconds")) else 3
    return f"{mean:.{digits}f}" + ("" if np.isnan(half_width) else f" ± {half_width:.{digits}f}")


def _k(frame: pd.DataFrame) -> pd.Series:
    """K as configured: what an anchor is offered on average, as measured, is close to it but need not be whole."""
    return frame["k"] if "k" in frame else frame["train.k"].round()


def _varying(contents: list[dict[str, Any]]) -> list[str]:
    """The paths of the cells, and whatever else differs between the configs: trials of an earlier version of the study
    lie in the same store, and are no replicates of the present ones."""
    paths = list(dict.fromkeys(path for content in contents for path in content["cell"]))
    values: dict[str, set[str]] = {}
    for content in contents:
        for path, value in flat(content["config"]):
            values.setdefault(path, set()).add(repr(value))
    for path, distinct in values.items():
        known = any(path == old or path.startswith(f"{old}.") for old in (*paths, "seed"))
        if not known and (len(distinct) > 1):
            paths.append(path)
    return paths


def _value(content: Mapping[str, Any], path: str) -> Any:
    value = content["cell"].get(path)
    return value_at(content["config"], path) if value is None else value


def _column(values: list[Any]) -> list[Any]:
    """Numbers as they are; a column with anything else as labels, so that it has one type."""
    numbers = all(isinstance(value, int | float) for value in values)
    return values if numbers else [label(value) for value in values]

"""A study's store as tables: one row per trial, and one per trial and epoch."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from models.registry import did_you_mean
from study.results.labels import flat, label, value_at
from study.storage.planned import own_seeds, planned
from study.storage.store import Store, TrialFolder
from study.storage.trial_result import TrialResult

BEFORE = ("trial_id", "status", "reason", "seed", "class_counts")
"""The first columns; then what varies, `seconds`, and the metrics. class_counts: of the test split, as JSON. A `k` that
does not vary, `planned`, where asked for, and `added`, of a study that runs until its claims are decided, stand before
class_counts; earlier tables lack them."""


def trials_of(store: Store, started: Iterable[TrialFolder], *, others: bool = False) -> pd.DataFrame:
    """Of the trials that started those of the plan, from their files: a row each, with the columns `BEFORE` and so on.

    `others`: those of other definitions too, and the column `planned`. Where seeds are added until claims are decided,
    the column `added` tells which trials are of such, none of the study's own.
    """
    of_plan, own = planned(store), own_seeds(store)
    folders = [trial for trial in started if others or of_plan(trial.id)]
    contents = [trial.config() for trial in folders]
    results = [trial.result() for trial in folders]
    states = [
        (t.id, r.status, r.reason) if r else (t.id, t.status(), None) for t, r in zip(folders, results, strict=True)
    ]
    facts = {"planned": [of_plan(trial.id) for trial in folders]} if others else {}
    facts |= {} if own is None else {"added": [content["seed"] not in own for content in contents]}
    return _table(contents, states, results, facts)


def pending(contents: list[dict[str, Any]]) -> pd.DataFrame:
    """The table of trials that have not started, from their "id", "cell", "config", "seed" and "class_counts"."""
    return _table(contents, [(c["id"], "pending", None) for c in contents], [None] * len(contents), {})


def _table(
    contents: list[dict[str, Any]],
    states: Sequence[tuple[str, str, str | None]],
    results: Sequence[TrialResult | None],
    facts: Mapping[str, list[bool]],
) -> pd.DataFrame:
    paths = _varying(contents)
    frame = pd.DataFrame(states, columns=list(BEFORE[:3]))
    frame["seed"] = pd.Series([content["seed"] for content in contents], dtype="int64")
    ks = [content["config"].get("k") for content in contents]
    if "k" not in paths and None not in ks:
        frame["k"] = pd.Series(ks, dtype="int64")
    for name, values in facts.items():
        frame[name] = pd.Series(values, dtype=bool)
    counts = [
        r.data.get("class_counts") if r else c.get("class_counts") for c, r in zip(contents, results, strict=True)
    ]
    frame["class_counts"] = [json.dumps(count or []) for count in counts]
    for path in paths:
        frame[path] = _column([_value(content, path) for content in contents])
    frame["seconds"] = pd.Series([r.duration if r else None for r in results], dtype="float64")
    measured = pd.DataFrame([r.metrics if r else {} for r in results], dtype="float64")
    return pd.concat([frame, measured], axis=1)


def write_trials(frame: pd.DataFrame, folder: Path) -> list[Path]:
    """Write results.csv and results.parquet into the folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "results.csv", folder / "results.parquet"]
    frame.to_csv(paths[0], index=False)
    frame.to_parquet(paths[1], index=False)
    return paths


def read_trials(path: Path) -> pd.DataFrame:
    """The table of trials that was saved as .csv or .parquet; ValueError for what is none."""
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
    for name in list(frame.columns)[list(frame.columns).index("seconds") :]:
        found = frame[name].dropna()
        if len(found) and not pd.api.types.is_numeric_dtype(found):
            raise ValueError(f"{path}: column {name} holds numbers, got {found.iloc[0]!r}; write them as 12.5")
    doubled = frame["trial_id"][frame["trial_id"].duplicated()]
    if len(doubled):
        raise ValueError(f"{path}: trial {doubled.iloc[0]} is in it more than once; keep one row per trial")
    return frame


def journals(store: Store, metrics: Iterable[str] | None = None) -> pd.DataFrame:
    """One row per trial and epoch: trial_id, epoch and these stepwise metrics, by default all that there are."""
    return epochs_of({trial.id: trial.journal() for trial in store.trials()}, metrics)


def epochs_of(
    journals: Mapping[str, Sequence[Mapping[str, Any]]], metrics: Iterable[str] | None = None
) -> pd.DataFrame:
    """The table of `journals`, from the lines of each trial's."""
    lines = [(trial, line) for trial, journal in journals.items() for line in journal]
    if metrics is None:
        metrics = dict.fromkeys(name for _, line in lines for name in line["metrics"])
    names = list(metrics)
    rows = [(trial, line["epoch"], *(line["metrics"].get(name) for name in names)) for trial, line in lines]
    return pd.DataFrame(rows, columns=["trial_id", "epoch", *names]).astype(dict.fromkeys(names, float))


def curves(store: Store, frame: pd.DataFrame, varying: Sequence[str], metrics: Iterable[str] | None) -> pd.DataFrame:
    """One row per epoch of the trials of a table: trial_id, what varies, seed, epoch, then the stepwise metrics.

    ValueError for a metric that no trial has by epoch.
    """
    found = frame[["trial_id", *varying, "seed"]].merge(journals(store), on="trial_id")
    logged = list(found.columns)[len(varying) + 3 :]
    asked = logged if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
    if unknown := [name for name in asked if name not in logged]:
        near = did_you_mean(unknown[0], logged)
        raise ValueError(f"no trial has {unknown[0]!r} by epoch{near}; there are {', '.join(logged) or 'none yet'}")
    return found[[*list(found.columns)[: len(varying) + 3], *asked]]


def configured_k(frame: pd.DataFrame) -> pd.Series:
    """K as configured: what an anchor is offered on average, as measured, is close to it but need not be whole."""
    return frame["k"] if "k" in frame else frame["train.k"].round()


def _varying(contents: list[dict[str, Any]]) -> list[str]:
    """The paths of the cells, and whatever else differs between the configs: trials of an earlier version of the study
    lie in the same store, and are no replicates of the present ones. What changes no number, as where data lie, is none
    of them."""
    apart = set.intersection(*(set(content.get("apart", ())) for content in contents)) if contents else set()
    paths = list(dict.fromkeys(path for content in contents for path in content["cell"]))
    values: dict[str, set[str]] = {}
    alike = {repr({**content["config"], "seed": None}): content["config"] for content in contents}  # but for the seed
    for config in alike.values():
        for path, value in flat(config):
            values.setdefault(path, set()).add(repr(value))
    for path, distinct in values.items():
        known = any(path == old or path.startswith(f"{old}.") for old in (*paths, "seed"))
        if not known and path not in apart and len(distinct) > 1:
            paths.append(path)
    return paths


def _value(content: Mapping[str, Any], path: str) -> Any:
    value = content["cell"].get(path)
    return value_at(content["config"], path) if value is None else value


def _column(values: list[Any]) -> list[Any]:
    """Numbers as they are; a column with anything else as labels, so that it has one type."""
    numbers = all(isinstance(value, int | float) for value in values)
    return values if numbers else [label(value) for value in values]

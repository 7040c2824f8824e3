"""Settings, versions and hardware of a study's trials, as far as its files tell them, and how two studies differ."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from study.results.labels import flat, label, value_at
from study.results.results import Results

MEASURED = ("evaluations", "evaluation_views", "negatives_every")
"""The settings that no training depends on."""
ABSENT = "not there"
Config = Mapping[str, Any]


class Side:
    """One of two studies that are compared: its finished trials with a finite value of a metric, and their configs,
    which a table does not have."""

    def __init__(self, results: Results, metric: str) -> None:
        self.results = results
        finite = np.isfinite(results.finished[metric].to_numpy(dtype=float))
        self.frame = results.finished[finite].reset_index(drop=True)
        self.configs: list[Config] = []
        self.environments: list[Config] = []
        for trial_id in self.frame["trial_id"] if results.store else ():
            assert results.store is not None
            folder = results.store.trial(trial_id)
            result = folder.result()
            self.configs.append(_without_places(folder.config()["config"]))
            data = {"data digest": result.data.get("digest", "")[:12]} if result else {}
            self.environments.append({**(result.environment if result else {}), **data})

    def values(self, path: str, *, written: bool) -> list[str] | None:
        """Each trial's value at a path, as a label; None where the study does not tell. `written`: as its cells have
        it, as in a table, not with every parameter."""
        told = path in self.results.varying or (path == "k" and "k" in self.frame)
        if told and (written or not self.configs):
            return [label(value) for value in self.frame[path]]
        return [label(_plain(value_at(config, path))) for config in self.configs] if self.configs else None

    @cached_property
    def conditions(self) -> list[str]:
        """Of each trial, what it shares with every other run of it: of equal ones the training is the same."""
        if not self.configs:
            return [""] * len(self.frame)
        return [
            json.dumps([{k: v for k, v in config.items() if k not in MEASURED}, of.get("data digest")], sort_keys=True)
            for config, of in zip(self.configs, self.environments, strict=True)
        ]

    def settings(self, trials: Iterable[int]) -> dict[str, set[str]]:
        """Path → its values in these trials, by their places in the frame."""
        return _gathered(dict(_settings(self.configs[i])) for i in trials)

    def surroundings(self, trials: Iterable[int]) -> dict[str, set[str]]:
        """Versions, hardware and data of these trials."""
        return _gathered({k: str(v)[:12] if k == "git_commit" else str(v) for k, v in self.environments[i].items()}
                         for i in trials)  # fmt: skip


def differing(
    first: Side, second: Side, trials: tuple[Sequence[int], Sequence[int]], *, apart_from: list[str]
) -> dict[str, tuple[str, str]]:
    """Setting, version or piece of hardware → its values in these trials of both studies, where they differ; nothing of
    a table. A component of another name is one setting."""
    if not first.configs or not second.configs:
        return {}
    settings = _differing(first.settings(trials[0]), second.settings(trials[1]), missing=ABSENT)
    names = {path.removesuffix(".name") for path in settings if path.endswith(".name")}
    shown = {}
    for path, values in settings.items():
        own = any(path == cell or path.startswith(f"{cell}.") for cell in (*apart_from, "seed"))
        of_other_component = any(path.startswith(f"{name}.") and path != f"{name}.name" for name in names)
        if not own and not of_other_component:
            shown[path.removesuffix(".name")] = values
    return shown | _differing(first.surroundings(trials[0]), second.surroundings(trials[1]))


def _differing(
    first: Mapping[str, set[str]], second: Mapping[str, set[str]], *, missing: str = "not told"
) -> dict[str, tuple[str, str]]:
    names = dict.fromkeys([*first, *second])
    both = {name: (_words(first.get(name), missing), _words(second.get(name), missing)) for name in names}
    return {name: values for name, values in both.items() if values[0] != values[1]}


def _words(values: set[str] | None, missing: str) -> str:
    return ", ".join(sorted(values)) if values else missing


def _gathered(many: Iterable[Mapping[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in many:
        for name, value in one.items():
            found.setdefault(name, set()).add(value)
    return found


def _settings(config: Config) -> Iterator[tuple[str, str]]:
    """(path, label) of everything in a config; each evaluation is one setting, by its name."""
    for path, value in flat({key: value for key, value in config.items() if key != "evaluations"}):
        yield path, label(value)
    for one in config.get("evaluations") or ():
        yield f"evaluations.{one['name']}", label(one)


def _plain(value: Any) -> Any:
    """A schedule that is constant is its value, as cells write it."""
    return value["value"] if isinstance(value, Mapping) and value.get("name") == "constant" else value


def _without_places(config: Config) -> Config:
    """The config without what tells where its data lie."""
    from study.data import DATASETS  # a tenth of a second to import, which only two studies need

    data = config.get("data") or {}
    entry = DATASETS.get(str(data.get("name")))
    fields = dataclasses.fields(entry) if dataclasses.is_dataclass(entry) else ()
    places = {field.name for field in fields if not field.metadata.get("identity", True)}
    return {**config, "data": {name: value for name, value in data.items() if name not in places}}

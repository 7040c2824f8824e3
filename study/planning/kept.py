"""The stored trials of a study against what would be computed now: which trials are of it, which have changed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from study.config import ConfigError
from study.planning.data import told_of
from study.planning.study_config import StudyConfig
from study.planning.until_decided import added, further
from study.space import is_of
from study.storage import planned
from study.storage.code import differs
from study.storage.planned import own_seeds
from study.storage.store import Store, TrialFolder, write_atomically

if TYPE_CHECKING:
    from study.data import DataSource
    from study.trial.trial import Trial

Changed = Literal["refuse", "anew", "keep"]
"""Treatments of trials whose code or data have changed since: refused; set aside and run anew; kept as they are."""
NAMED = 4
"""Trials that a message names."""


def of_study(study: StudyConfig, store: Store, trials: "Sequence[Trial]") -> "list[Trial]":
    """The trials of a grid or random study, with the seeds that were added until its claims are decided; of a tpe study
    those in the store that this definition would give."""
    if study.searches:
        return list(_proposed(study, store))
    return as_stored(store, [*trials, *added(study, store, trials)])


def as_begun(study: StudyConfig, store: Store) -> StudyConfig:
    """The study, until decided where it ran so before: who has looked after each seed has done so for good."""
    begun = not study.until_decided and study.sampler == "grid" and own_seeds(store) is not None
    return replace(study, until_decided=True) if begun else study


def as_stored(store: Store, trials: "Sequence[Trial]") -> "list[Trial]":
    """The trials, each under the id that it has in the store: one that began when the place of its data was part of
    its identity keeps that."""
    return [_as_stored(store, trial) for trial in trials]


def _as_stored(store: Store, trial: "Trial") -> "Trial":
    former = trial.formerly()
    if former is None or _holds(store, trial) or not _holds(store, former):
        return trial
    return former


def _holds(store: Store, trial: "Trial") -> bool:
    return (store.trial(trial.id).path / "config.json").exists()


def _proposed(study: StudyConfig, store: Store) -> "Iterator[Trial]":
    from study.planning.resolve import Resolver

    resolver = Resolver()
    for folder in store.trials():
        content = folder.config()
        cell, seed = content["cell"], content["seed"]
        if seed not in study.seeds or not any(is_of(space, cell) for space in study.spaces):
            continue
        try:
            trial = replace(resolver.resolve(study.config(cell)), cell=cell).under(seed)
        except ConfigError:
            continue
        trial = _as_stored(store, trial)
        if trial.id == folder.id:
            yield trial


def others(store: Store, trials: "Sequence[Trial]") -> list[TrialFolder]:
    """The trials in the store that are of other definitions of the study."""
    ids = {trial.id for trial in trials}
    return [folder for folder in store.trials() if folder.id not in ids]


def record(study: StudyConfig, store: Store, trials: "Sequence[Trial]") -> None:
    """Write down which trials are of this study: its results are of these."""
    of_it = of_study(study, store, trials)
    known = None if study.searches else [trial.id for trial in (*of_it, *further(study, trials))]
    planned.record(store, known, [folder.id for folder in others(store, of_it)])


def settle(
    study: StudyConfig, store: Store, trials: "Sequence[Trial]", changed: Changed = "refuse", *, decode: bool = False
) -> "list[Trial]":
    """Refuse, set aside or keep the study's trials in the store whose code or data have changed since they ran.

    `decode`: the data too of trials that are to run, so that what cannot be decoded is refused before anything starts.

    Returns the trials under the ids that they have in the store. Raises ConfigError, with a line for each thing that
    has changed. A failed trial is none of them: it is repaired so.
    """
    data = _Data(decode)
    for trial in trials if decode else ():
        if store.trial(trial.id).status() != "finished":
            for second in _sources(trial):
                data.digest(trial, second)
    found: dict[str, list[tuple[Trial, TrialFolder]]] = {}
    for trial in of_study(study, store, trials):
        folder = store.trial(trial.id)
        for what in _changes(trial, folder, data):
            found.setdefault(what, []).append((trial, folder))
    if found and changed == "refuse":
        raise ConfigError(_refusal(what, [folder.id for _, folder in pairs]) for what, pairs in found.items())
    for trial, folder in {pair[1].id: pair for pairs in found.values() for pair in pairs}.values():
        if changed == "anew":
            store.set_aside(folder)
        else:
            _keep(trial, folder, data)
    return as_stored(store, trials)


def code_changed(trial: "Trial", folder: TrialFolder) -> list[str]:
    """The user's own components, as field.name, whose code is another than the one that the trial was stored with."""
    try:
        stored = folder.config().get("code", {})
    except FileNotFoundError:
        return []
    return [name for name, digest in trial.code.items() if differs(stored.get(name), digest)]


def _changes(trial: "Trial", folder: TrialFolder, data: "_Data") -> list[str]:
    state = folder.status()
    if state in ("pending", "failed"):
        return []
    found = [f"`{name.partition('.')[2]}` has changed" for name in code_changed(trial, folder)]
    for second, (config, _) in _sources(trial).items():
        known = _digests(folder, second)
        if known and data.digest(trial, second) not in {None, *known}:
            where = f" in {config['root']}" if config.get("root") else ""
            found.append(f"the images or texts of {config['name']}{where} have changed")
    return found


def _sources(trial: "Trial") -> "dict[str, tuple[dict[str, Any], DataSource]]":
    """Config and source of the trial's data, under an empty name, and of its second data sets."""
    seconds = {config["name"]: (config, trial.parts.transfer[config["name"]]) for config in trial.config["transfer"]}
    return {"": (trial.config["data"], trial.parts.data), **seconds}


def _digests(folder: TrialFolder, second: str = "") -> set[str]:
    """Of the data that a trial began or finished with, or of a second set that it finished with; and of those that
    count as these; none where none is known."""
    content, result = folder.config(), folder.result()
    stored = result.data if result else {}
    first = stored.get("digest") or content.get("data")
    own = stored.get("transfer", {}).get(second, {}).get("digest") if second else first
    return {own, *content.get("same_data", ())} if own else set()


class _Data:
    """The digests of data sets as they are now, each read once; None of one that this node has not decoded yet, where
    the trial's id tells its content and decoding is not wanted."""

    def __init__(self, decode: bool) -> None:
        self._decode = decode
        self._known: dict[str, str | None] = {}

    def digest(self, trial: "Trial", second: str = "") -> str | None:
        config, source = _sources(trial)[second]
        told = not self._decode and "content" in trial.identity["data"]
        key = f"{told} {json.dumps(config, sort_keys=True)}"
        if key not in self._known:
            field = "transfer" if second else "data"
            self._known[key] = None if told and not source.decoded() else _digest(field, config, source)
        return self._known[key]


def _digest(field: str, config: dict[str, Any], source: "DataSource") -> str:
    try:
        return source.load().digest
    except (ValueError, OSError) as error:
        raise ConfigError([told_of(field, config, error)]) from None


def _keep(trial: "Trial", folder: TrialFolder, data: _Data) -> None:
    """Count the code and the data of now as the trial's."""
    content = folder.config()
    content |= {"code": trial.code} if trial.code else {}
    if _digests(folder):
        present = {data.digest(trial, second) for second in _sources(trial)}
        content["same_data"] = sorted({*content.get("same_data", ()), *filter(None, present)})
    write_atomically(folder.path / "config.json", json.dumps(content, indent=1))


def _refusal(what: str, ids: list[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    these = f"these {len(ids)} trials" if len(ids) > 1 else "this trial"
    return (
        f"{what} since {these}: {', '.join(ids[:NAMED])}{more}; run anew (`study run … --anew` sets them aside), keep "
        "them as they are (`--keep`), or rename"
    )

"""Which trials of a storage are of the study that ran last, which of other definitions of it, and whether seeds are
added to them until claims are decided."""

import json
from collections.abc import Callable, Iterable

from study.storage import yaml_text
from study.storage.store import Store, read_json, write_atomically


def record(store: Store, trials: Iterable[str] | None, others: Iterable[str]) -> None:
    """Remember the ids of a plan; where they are not known beforehand (None), those that are not of it."""
    known = {"others": sorted(others)} if trials is None else {"trials": sorted(trials)}
    write_atomically(store.path / "planned.json", json.dumps(known))


def planned(store: Store) -> Callable[[str], bool]:
    """Whether a trial, by its id, is of the plan: each is where no plan was remembered."""
    known = read_json(store.path / "planned.json") or {}
    trials, others = known.get("trials"), set(known.get("others", ()))
    return (lambda trial: trial not in others) if trials is None else set(trials).__contains__


def own_seeds(store: Store) -> tuple[int, ...] | None:
    """The study's own seeds, of one that ran until its claims were decided, to which further ones were added; None of
    another."""
    described = store.path / "study.yaml"
    study = yaml_text.read(described.read_text()) if described.exists() else {}
    return tuple(study["seeds"]) if study.get("until_decided") else None

"""Which trials of a storage are of the study that ran last, and which of other definitions of it."""

import json
from collections.abc import Callable, Iterable

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

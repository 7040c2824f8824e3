"""The report's parts on how it was made: failures, settings, other definitions, provenance, how to reproduce it."""

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from study.figures.records import Records, in_order
from study.report.parts import Code, Folded, Part, Section, Table, Words, section
from study.results import Results, flat, label
from study.storage import yaml_text
from study.storage.planned import planned
from study.storage.store import Store, read_json
from study.storage.trial_result import TrialResult
from study.tracking.uri import without_secrets

ON_PAPER = 200
"""Trials up to which each is printed; results.csv has all."""


def failures_section(records: Records) -> Section | None:
    """The trials that failed, each with its reason."""
    results = records.results
    if results.failed.empty:
        return None
    frame = results.failed.rename(columns={"trial_id": "trial"})[["trial", *results.varying, "seed", "reason"]]
    frame = frame.assign(trial=[f"`{trial}`" for trial in frame["trial"]])
    return Section("Failures", (Table("failures", "Trials that failed.", frame),))


def settings_section(records: Records) -> Section | None:
    """The space, seeds and sampler; the whole study.yaml; other definitions of the study beside this one."""
    return section("Settings", _settings(records))


def _settings(records: Records) -> Iterator[Part]:
    study_yaml, study, plan = described(records.store), definition(records.store), plan_of(records.store)
    rows = space(study.get("space", {}))
    rows += [("seeds", ", ".join(map(str, study["seeds"])))] if study.get("seeds") else []
    rows += [("sampler", str(study["sampler"]))] if study.get("sampler") else []
    if plan.get("trials"):
        rows.append(("trials", f"{plan['cells']} cells × {plan['seeds']} seeds = {plan['trials']}"))
    if rows:
        yield Table("settings", "Settings that vary.", pd.DataFrame(rows, columns=["setting", "values"]))
    yield from other_definitions(records.store, records.results)
    if study_yaml:
        yield Folded("study.yaml: the whole definition", (Code(study_yaml),))


def described(store: Store) -> str:
    """The study.yaml of the definition that ran last, without secrets; empty where there is none."""
    path = store.path / "study.yaml"
    return without_secrets(path.read_text()) if path.exists() else ""


def definition(store: Store) -> dict[str, Any]:
    """The settings of study.yaml; empty where there is none."""
    return yaml_text.read(described(store)) or {}


def plan_of(store: Store) -> dict[str, Any]:
    """The counts of the plan that ran last; empty where there is none."""
    return read_json(store.path / "plan.json") or {}


def space(given: Mapping[str, Any] | list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Each path with its values, as in `16, 64, 256` or `uniform, 0.1 to 1`; of each space, where there are several."""
    shown = []
    for path, dimension in (item for one in (given if isinstance(given, list) else [given]) for item in one.items()):
        kind, value = next(iter(dimension.items()))
        listed = isinstance(value, list)
        text = ", ".join(map(label, value)) if listed else f"{kind}, {label(value['low'])} to {label(value['high'])}"
        shown.append((path, text))
    return shown


def other_definitions(store: Store, results: Results) -> Iterator[Part]:
    """Trials of other definitions of the study in its storage, by what sets them apart, and how to get at them."""
    if not results.others:
        return
    of_plan = planned(store)
    own: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for trial in store.trials():
        content = trial.config()
        (own if of_plan(trial.id) else others).append(dict(flat({**content["config"], "seed": content["seed"]})))
    known = defaultdict(set)
    for path, value in (item for config in own for item in config.items()):
        known[path].add(label(value))
    apart = Counter(
        ", ".join(f"{path} = {label(value)}" for path, value in config.items() if label(value) not in known[path])
        or "other combinations of these values"
        for config in others
    )
    yield Words(
        f"This report is of one definition of the study, the one that ran last. Beside it in the storage lie "
        f"{results.others} trials of other definitions: `study report NAME --others` takes them in, told apart by what "
        "differs; `study run` of such a definition, which trains nothing anew, makes it the one that is reported."
    )
    rows = pd.DataFrame(apart.most_common(), columns=["differs in", "trials"])
    yield Table("other_definitions", "Trials of other definitions, by the values that this one does not have.", rows)


def provenance_section(records: Records) -> Section | None:
    """Versions, machines and data that the trials ran with; every trial with its state."""
    return section("Provenance", _provenance(records))


def _provenance(records: Records) -> Iterator[Part]:
    results = records.results
    if known := facts(records.outcomes):
        table = pd.DataFrame(known.items(), columns=["fact", "value"])
        yield Table("provenance", "Versions, machines and data; counts where the trials differ.", table)
    columns = ["trial", *results.varying, "seed", "status", "seconds"]
    frame = results.frame.rename(columns={"trial_id": "trial"})[columns]
    if len(frame):
        frame = in_order(frame, [*results.varying, "seed"]).assign(seconds=frame["seconds"].round(1))
        trials = Table("trials", "Trials of this report.", frame, anchors="trial", shown=len(frame))
        yield Folded(f"{len(frame)} trials", (trials,), paper=len(frame) <= ON_PAPER)


def facts(outcomes: Sequence[TrialResult]) -> dict[str, str]:
    """Fact → its value; several where the trials differ."""
    alike = Counter(json.dumps([outcome.environment, outcome.data]) for outcome in outcomes)  # most are
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by their JSON: labels take longer
    sizes = {"train": "training examples", "test": "test examples"}
    for text, count in alike.items():
        environment, data = json.loads(text)
        known = {f"data, {sizes.get(key, key)}": value for key, value in data.items() if key != "classes"}
        if "classes" in data:
            known["data, classes"] = len(data["classes"])
        for name, value in (environment | known).items():
            found[name.replace("_", " ")][json.dumps(value)] += count
    return {
        name: label(json.loads(next(iter(counts))))
        if len(counts) == 1
        else ", ".join(f"{label(json.loads(value))} ({n} trials)" for value, n in counts.items())
        for name, counts in found.items()
    }


def reproduce_section(records: Records) -> Section:
    """Commands that run the study again."""
    known = facts(records.outcomes)
    lines = []
    commit = known.get("git commit", "")
    if commit and " " not in commit:
        lines.append(f"git checkout {shlex.quote(commit)}")
    elif commit:
        lines.append(f"git checkout COMMIT     # the trials ran at several: {commit}")
    lines += [
        "pip install -r requirements.lock && pip install --no-deps -e .",
        "study run study.yaml --storage FOLDER     # study.yaml: under Settings, and in the study's folder",
        "study report study.yaml --storage FOLDER",
    ]
    if "True" in known.get("git changed", ""):
        lines[0:0] = ["# the code had changes that were not committed: the commit alone may give other numbers"]
    if "git diff" in known:
        lines[1:1] = [f"# they are in the study's folder: git apply code-DIGEST.diff, of {known['git diff']}"]
    ran = ", ".join(f"{name} {known[name]}" for name in ("python", "torch", "device") if name in known)
    note = "The same definition on the same kind of machine gives the same trials, by id, and the same numbers"
    note += f"; these ran with {ran}." if ran else "."
    return Section("How to reproduce", (Words(note), Code("\n".join(lines))))

"""Each verb: reads its options, calls, prints. It imports only what it uses, so that `--help` and errors are quick."""

import argparse
import json
import math
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

from study.cli.target import load_target, name_of, store_of, stored_target

if TYPE_CHECKING:
    from study.planning.plan import Plan
    from study.results import Results
    from study.status import Status
    from study.study import Study


def list_(options: argparse.Namespace) -> int:
    from study.catalogue import catalogue

    content = catalogue(options.kind)
    if options.json:
        print(json.dumps(content, indent=1))
        return 0
    for kind, entries in content.items():
        print(kind)
        for name, entry in entries.items():
            parameters = ", ".join(f"{n}={value}" for n, value in entry.get("parameters", {}).items())
            marks = " [uses labels]" if entry.get("uses_labels") else ""
            print(f"  {name:<24} {entry['description']}{marks}" + (f"  ({parameters})" if parameters else ""))
    return 0


def plan_(options: argparse.Namespace) -> int:
    study, here = stored_target(options)
    if here:
        plan = study.plan(storage=options.storage, probe=options.probe)
    else:
        from study.status import stored_plan

        plan = stored_plan(study.name, options.storage)
    print(json.dumps(plan.plain(), indent=1) if options.json else plan)
    return 0


def run_(options: argparse.Namespace) -> int:
    _enter_job(options)
    return _run(load_target(options), options, retry=False)


def _enter_job(options: argparse.Namespace) -> None:
    """Work in the job's own folder, where this is a job of a Ray cluster; all nodes must see its storage."""
    from study.execution import job

    if job.job():
        job.enter_own_folder()
        print(job.described(), file=sys.stderr, flush=True)
        job.check_storage(options.storage)


def _run(study: "Study", options: argparse.Namespace, *, retry: bool) -> int:
    """Run the study; its plan is printed before anything starts."""
    from study.claims import findings
    from study.storage.store import Store
    from study.tracking.uri import is_off

    plans: list[Plan] = []

    def announce(plan: "Plan") -> None:
        if not plans and not options.json:
            print(plan)
            if plan.over == plan.trials and not (retry or plan.until_decided):
                print("nothing to run: every trial has its result")
        plans.append(plan)

    results = study.run(
        storage=options.storage,
        tracking_uri=options.tracking_uri,
        address=options.address,
        retry=retry,
        changed=options.changed,
        announce=announce,
        max_hours=options.max_hours,
        max_trials=options.max_trials,
    )
    before, after = plans
    if options.json:
        print(json.dumps({"ran": after.done - before.done, **after.plain()}, indent=1))
    else:
        print(results)
        if found := findings(results):
            print(found)
        if results.until_decided and (left := [one.name for one in found if one.open]):
            print(
                f"{len(left)} claims are open: {', '.join(left)}; `study run {options.study}` goes on, up to max_seeds"
            )
        report = Store.of(study.name, options.storage).path / "report.html"
        written = report.exists() and not is_off(options.tracking_uri)
        if written:
            print(f"report: {report}")
        nexts = [*([] if written else [f"study report {options.study}"]), *_pages(study.name, options.tracking_uri)]
        print(f"next: {' | '.join(nexts)}")
        if after.failed:
            print(f"{after.failed} failed; see `study status {options.study}`, then `study retry {options.study}`")
        if after.pruned:
            print(
                f"{after.pruned} pruned, counted nowhere; `study run {options.study}` without --prune goes on with them"
            )
        if after.started:
            print(f"{after.started} not finished; `study run {options.study}` resumes them")
        if after.pending and (options.max_hours or options.max_trials):
            print(f"{after.pending} not started, as this run's time or trials are spent; `study run` goes on")
    return 1 if after.failed or after.started else 0


def _pages(study: str, uri: str | None) -> list[str]:
    """How to look at a study in MLflow; empty where this run has sent nothing."""
    from study.tracking.uri import is_off, without_secrets

    told = without_secrets(uri or os.environ.get("MLFLOW_TRACKING_URI") or "")
    if is_off(uri):
        return []
    if told.startswith(("http", "databricks")):
        return [f"the study {study} at {told}"]
    return [f"study ui {study}" + (f" --tracking-uri {shlex.quote(told)}" if uri else "")]


def retry_(options: argparse.Namespace) -> int:
    from study.storage.store import Store

    _enter_job(options)
    study = load_target(options)
    if not any(folder.status() == "failed" for folder in Store.of(study.name, options.storage).trials()):
        print(f"no trial of {study.name} has failed; `study run {options.study}` runs what is not finished")
        return 0
    return _run(study, options, retry=True)


def status_(options: argparse.Namespace) -> int:
    from study.status import stored_status, tracked_status

    tracked = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    study, here = _known(options) if tracked else stored_target(options)
    if study is None or (tracked and not _stored(study, options.storage)):
        found = tracked_status(study.name if study else options.study, options.tracking_uri, options.storage)
    else:
        found = _states(study, options.storage) if here else stored_status(study.name, options.storage)
    print(json.dumps(found.plain(), indent=1) if options.json else found)
    return 0


def _states(study: "Study", storage: str | None) -> "Status":
    """The states of a study's trials; those that are stored alone, where its data are not here to check it by."""
    from study.config import ConfigError
    from study.status import status, stored_status

    try:
        return status(study, storage)
    except ConfigError as error:
        of_data = all(problem.startswith(("data: ", "transfer: ")) for problem in error.problems)
        if not of_data or not _stored(study, storage):
            raise
        print("\n".join([*error.problems, "what is stored is shown, of the study as it ran last"]), file=sys.stderr)
        return stored_status(study.name, storage)


def _known(options: argparse.Namespace) -> "tuple[Study | None, bool]":
    """As `stored_target`; None where the study's name is all that is known of it here."""
    from models.registry import UnknownName

    try:
        return stored_target(options)
    except UnknownName:
        return None, False


def _stored(study: "Study", storage: str | None) -> bool:
    """Whether any of its trials is in this storage."""
    from study.storage.store import Store

    return any(True for _ in Store.of(study.name, storage).trials())


def trial_(options: argparse.Namespace) -> int:
    from study.machine.memory import keep_freed

    keep_freed()
    study = load_target(options)

    def report(epoch: int, metrics: dict[str, float]) -> None:
        print(f"epoch {epoch}  loss {metrics['train.loss']:.4f}  {metrics['train.views_per_s']:,.0f} views/s",
              file=sys.stderr)  # fmt: skip

    trial, result = study.run_one(options.cell, seed=options.seed, storage=options.storage, report=report)
    if options.json:
        print(json.dumps(strict({"trial_id": trial.id, **result.plain()}), indent=1))
    else:
        print(f"{trial.id} {result.status}" + (f": {result.reason}" if result.reason else ""))
        for name, value in result.metrics.items():
            print(f"  {name:<36} {value:,.4g}")
        for name, reason in result.skipped.items():
            print(f"  left out: {name}: {reason}")
    return 0 if result.finished else 1


def fit_(options: argparse.Namespace) -> int:
    from study.bounds import BOUNDS
    from study.config import ConfigError
    from study.results import ACCURACY

    results = results_of(options)
    names = options.bound or BOUNDS.names()
    for name in names:
        BOUNDS.get(name)
    try:
        fits = {name: results.fit(name) for name in names}
        compared = results.compare_bounds()
    except ValueError as error:
        raise ConfigError([f"{options.study}: {error}"]) from None
    slack = results.slack()
    if options.json:
        content = {name: [fit.as_dict() for fit in of_bound] for name, of_bound in fits.items()}
        comparison, violated = compared.to_dict("records"), slack[slack["violated"]].to_dict("records")
        found = {"fits": content, "comparison": comparison, "lower_bounds": len(slack), "violated": violated}
        print(json.dumps(strict(found), indent=1, default=float))
        return 0
    print("L_cont(K) in nats, fitted by each bound; intervals are 95 %, over seeds")
    print("\n".join(str(of_bound) for of_bound in fits.values()))
    print("\nwhich bound explains the curve better (AICc, lower is), and Spearman's rank correlation over K of the")
    print(f"inverted bound with {ACCURACY} (95 % interval from rank_low to rank_high)")
    print(compared.to_string(index=False, na_rep="", float_format="{:.4g}".format))
    if len(slack):
        print(f"\n{slack['violated'].sum()} of {len(slack)} lower bounds are violated (p ≤ 5 %, Holm)")
    return 0


def results_of(options: argparse.Namespace) -> "Results":
    """Of a study, or from a table that is named in its place."""
    from study.config import ConfigError
    from study.results import Results

    if not options.study.endswith((".csv", ".parquet")):
        study, _ = stored_target(options)
        store_of(study, options)
        return study.results(storage=options.storage)
    if options.set or options.storage:
        raise ConfigError([f"--set and --storage tell of a study, but {options.study} is a table; leave them out"])
    try:
        return Results.read(options.study)
    except ValueError as error:
        raise ConfigError([str(error)]) from None


def findings_(options: argparse.Namespace) -> int:
    from study.claims import findings
    from study.config import ConfigError

    results = results_of(options)
    if results.frame.empty:
        raise ConfigError([f"no trial of {options.study} has started: nothing is found yet; `study run` it first"])
    found = findings(results)
    if options.json:
        content = {"findings": [one.as_dict() for one in found], "not_in_this_study": found.others}
        print(json.dumps(strict(content), indent=1, default=plain))
        return 0
    print(found)
    return 0


def plain(value: Any) -> Any:
    """Python's own for NumPy's numbers; else a text."""
    return value.item() if hasattr(value, "item") else str(value)


def strict(value: Any) -> Any:
    """Without NaN and infinities, which JSON does not have: null."""
    if isinstance(value, dict):
        return {key: strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def ui_(options: argparse.Namespace) -> int:
    from study.config import ConfigError
    from study.tracking.pages.ui import serve

    if not 1 <= options.port <= 65535:
        raise ConfigError([f"--port must lie between 1 and 65535, got {options.port}; such as --port 5000"])
    return serve(options.tracking_uri, options.storage, name_of(options), port=options.port)

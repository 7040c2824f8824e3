"""The command `study`. Each verb imports only what it uses, so that `--help` and usage errors are quick."""

import argparse
import gc
import json
import math
import os
import shlex
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.study import Study

EPILOG = """\
a study is given as the name of a recipe in search_spaces/ (`study list studies`), as a Python file that defines
`study = Study(…)`, or as a study.yaml. Examples:

  study plan quickstart
  study run quickstart --set epochs=5 --set k=[16,64]
  study run cifar10_small --set data.root=cifar10-images.tar.xz
  study report quickstart
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0: well, 1: a trial failed or is not finished, or the disk is full, 2: the input is wrong, 130:
    interrupted."""
    options = parser().parse_args(arguments)
    try:
        return options.verb(options)
    except KeyboardInterrupt:
        print(f"\ninterrupted; finished trials are kept. To go on: {_again(options)}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        if _disk_is_full(error):
            print(f"study: {error}", file=sys.stderr)
            return 1
        if not _expected(error):
            raise
        problems = getattr(error, "problems", [str(error)])
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        print(f"study: {count}; nothing was started", file=sys.stderr)
        print(textwrap.indent("\n".join(problems), "  "), file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(
        prog="study",
        description="Study what negatives do in contrastive representation learning.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(required=True, metavar="VERB")
    _verb(verbs, "list", list_, "show studies and everything that a config can name", ["json"]).add_argument(
        "kind", nargs="?", help="only this registry (data, encoder, method, negatives, …) or `studies`"
    )
    plan = _verb(verbs, "plan", plan_, "check a study, and show what would run and its cost", [*TARGET, "json"])
    plan.add_argument("--probe", action="store_true", help="time a few steps of each kind of trial")
    run = _verb(verbs, "run", run_, "run what is not finished yet", [*TARGET, "tracking", "json"])
    run.add_argument("--address", help="a running Ray cluster (default: Ray on this machine)")
    _verb(verbs, "status", status_, "show the state of each trial", [*TARGET, "tracking", "json"])
    retry = _verb(
        verbs, "retry", retry_, "forget the failures, and run what is not finished", [*TARGET, "tracking", "json"]
    )
    retry.add_argument("--address", help="a running Ray cluster (default: Ray on this machine)")
    trial = _verb(verbs, "trial", trial_, "run one trial of a study in this process", [*TARGET, "json"])
    trial.add_argument("--cell", type=int, default=0, help="which cell of the plan, from 0 (default: %(default)s)")
    trial.add_argument("--seed", type=int, help="the seed (default: the study's first)")
    fit = _verb(verbs, "fit", fit_, "fit the observed losses into the bounds", ["set", "storage", "json"])
    fit.add_argument("study", help="a study as for `run`, or a table that `report` wrote (results.csv or .parquet)")
    fit.add_argument("--bound", action="append", metavar="NAME", help="only this bound; repeatable (default: all)")
    report = _verb(verbs, "report", report_, "write the report page and the results table", TARGET)
    report.add_argument("--out", help="folder of report.html, results.csv and results.parquet (default: the study's)")
    ui = _verb(verbs, "ui", ui_, "serve MLflow's pages on this machine", ["storage", "tracking"])
    ui.add_argument("--port", type=int, default=5000, help="(default: %(default)s)")
    bench = _verb(verbs, "bench", bench_, "measure training, selection and bounds against their ceilings", ["json"])
    bench.add_argument("--seconds", type=float, default=10, help="for each encoder's training (default: %(default)s)")
    bench.add_argument("--device", choices=("cpu", "cuda"), help="(default: cuda where it can be used, else cpu)")
    bench.add_argument(
        "--only",
        choices=("training", "precision", "negatives", "bounds"),
        help="only this part; negatives: selection_ms, step_ms and peak_mib of each strategy, and its ratio to a plain "
        "product and log-sum-exp, in about a minute",
    )
    return top


TARGET = ["study", "set", "storage"]


def _verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int], help_: str, options: Sequence[str]
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=help_, description=help_, allow_abbrev=False)
    verb.set_defaults(verb=run, name=name)
    if "study" in options:
        verb.add_argument("study", help="a recipe's name, a Python file, or a study.yaml")
    if "set" in options:
        verb.add_argument(
            "--set", action="append", default=[], metavar="PATH=VALUE", help="set a value by dotted path; repeatable"
        )
    if "storage" in options:
        verb.add_argument(
            "--storage",
            help="folder or s3://BUCKET/PREFIX of results and checkpoints (default: $STUDY_STORAGE, else ./runs)",
        )
    if "tracking" in options:
        verb.add_argument("--tracking-uri", help="MLflow's (default: a database in the storage)")
    if "json" in options:
        verb.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return verb


def load_target(options: argparse.Namespace) -> "Study":
    """The study named on the command line, with its overrides in place."""
    from study.config import ConfigError
    from study.recipes import load
    from study.storage import yaml_text

    overrides = {}
    for item in options.set:
        path, equals, text = item.partition("=")
        if not equals or not path.strip() or not text.strip():
            raise ConfigError([f"--set takes PATH=VALUE, such as --set epochs=5 or --set k=null; got {item!r}"])
        if path.strip() in overrides:
            raise ConfigError([f"--set {path.strip()}: given twice; give it once, several values as a list: [16,64]"])
        try:
            overrides[path.strip()] = yaml_text.read(text)
        except yaml_text.NotYAML as error:
            raise ConfigError(
                [f"--set {path}: {text!r} is not a YAML value ({error}); write a list as [16,64]"]
            ) from None
    return load(options.study).with_overrides(overrides)


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
    plan = load_target(options).plan(storage=options.storage, probe=options.probe)
    print(json.dumps(plan.plain(), indent=1) if options.json else plan)
    return 0


def run_(options: argparse.Namespace) -> int:
    from study.execution import job
    from study.planning.plan import check, make_plan
    from study.storage.store import Store, check_writable

    if job.job():
        job.enter_own_folder()
        print(job.described(), file=sys.stderr, flush=True)
        job.check_storage(options.storage)
    study = load_target(options)
    store = Store.of(study.name, options.storage)
    check(study)
    check_writable(store.path)
    before = make_plan(study, store)
    if not options.json:
        print(before)
    retry = options.name == "retry"
    if before.done + before.failed == before.trials and not options.json and not retry:
        print("nothing to run: every trial has its result")
    results = study.run(
        storage=options.storage, tracking_uri=options.tracking_uri, address=options.address, retry=retry
    )
    after = make_plan(study, store)
    if options.json:
        print(json.dumps({"ran": after.done - before.done, **after.plain()}, indent=1))
    else:
        print(results)
        print(f"next: study report {options.study} | study ui")
        if after.failed:
            print(f"{after.failed} failed; see `study status {options.study}`, then `study retry {options.study}`")
        if after.started:
            print(f"{after.started} not finished; `study run {options.study}` resumes them")
    return 1 if after.failed or after.started else 0


def retry_(options: argparse.Namespace) -> int:
    from study.planning.plan import check
    from study.storage.store import Store

    study = load_target(options)
    check(study)
    if not any(folder.status() == "failed" for folder in Store.of(study.name, options.storage).trials()):
        print(f"no trial of {study.name} has failed; `study run {options.study}` runs what is not finished")
        return 0
    return run_(options)


def status_(options: argparse.Namespace) -> int:
    from study.status import status, tracked_status

    tracked = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    study = _known(options) if tracked else load_target(options)
    if study is None or (tracked and not _stored(study, options.storage)):
        found = tracked_status(study.name if study else options.study, options.tracking_uri, options.storage)
    else:
        found = status(study, options.storage)
    print(json.dumps(found.plain(), indent=1) if options.json else found)
    return 0


def _known(options: argparse.Namespace) -> "Study | None":
    """The study, or None where its name is all that is known of it here."""
    from models.registry import UnknownName

    try:
        return load_target(options)
    except UnknownName:
        return None


def _stored(study: "Study", storage: str | None) -> bool:
    """Whether any of its trials is in this storage."""
    from study.storage.store import Store

    return any(True for _ in Store.of(study.name, storage).trials())


def trial_(options: argparse.Namespace) -> int:
    from study.config import ConfigError
    from study.machine.devices import device_of
    from study.machine.memory import keep_freed
    from study.planning.plan import check, check_here
    from study.storage.claims import Session
    from study.storage.store import Store, check_writable
    from study.trial.run import run_trial

    keep_freed()
    study = load_target(options)
    seed = study.seeds[0] if options.seed is None else options.seed
    if seed < 0:
        raise ConfigError([f"--seed must be 0 or more, got {seed}"])
    trials = check(study)
    check_here(study, trials)
    cells = list({json.dumps(trial.cell): trial for trial in trials}.values())
    if not 0 <= options.cell < len(cells):
        raise ConfigError([f"--cell must lie between 0 and {len(cells) - 1}, got {options.cell}"])
    device = str(device_of(study.gpus))
    trial = cells[options.cell].under(seed)
    store = Store.of(study.name, options.storage)
    check_writable(store.path)
    folder = store.trial(trial.id)
    epochs = trial.config["epochs"]

    def report(epoch: int, metrics: dict[str, float]) -> None:
        print(f"epoch {epoch}/{epochs}  loss {metrics['train.loss']:.4f}  "
              f"{metrics['train.views_per_s']:,.0f} views/s", file=sys.stderr)  # fmt: skip

    with Session(store) as session:
        if not session.claims.take(trial.id):
            raise ConfigError([f"{trial.id} is being run by {session.claims.holder(trial.id) or 'another session'}"])
        result = run_trial(
            trial,
            folder,
            device=device,
            threads=study.threads,
            report=report,
            checkpoints=study.kept,
        )
    if options.json:
        print(json.dumps({"trial_id": trial.id, **result.plain()}, indent=1))
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
    from study.results import ACCURACY, Results
    from study.storage.store import Store

    if options.study.endswith((".csv", ".parquet")):
        if options.set or options.storage:
            raise ConfigError([f"--set and --storage tell of a study, but {options.study} is a table; leave them out"])
        try:
            results = Results.read(options.study)
        except ValueError as error:
            raise ConfigError([str(error)]) from None
    else:
        results = Results.load(Store.of(load_target(options).name, options.storage))
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
        print(json.dumps(_strict(found), indent=1, default=float))
        return 0
    print("L_cont(K) in nats, fitted by each bound; intervals are 95 %, over seeds")
    print("\n".join(str(of_bound) for of_bound in fits.values()))
    print("\nwhich bound explains the curve better (AICc, lower is), and Spearman's rank correlation over K of the")
    print(f"inverted bound with {ACCURACY} (95 % interval from rank_low to rank_high)")
    print(compared.to_string(index=False, na_rep="", float_format="{:.4g}".format))
    if len(slack):
        print(f"\n{slack['violated'].sum()} of {len(slack)} lower bounds are violated by over two standard errors")
    return 0


def _strict(value: Any) -> Any:
    """Without NaN and infinities, which JSON does not have: null."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def report_(options: argparse.Namespace) -> int:
    from pathlib import Path

    from study.config import ConfigError
    from study.report.page import write_report
    from study.report.sections import SECTIONS
    from study.storage.store import Store

    study = load_target(options)
    if not list(Store.of(study.name, options.storage).trials()):
        raise ConfigError(
            [f"no trial of {study.name} has started: nothing to report; `study run {options.study}` first"]
        )
    out = Path(options.out) if options.out else None
    gc.disable()  # of a large report a tenth of the time: looking for garbage among objects that live to its end
    try:
        print(write_report(Store.of(study.name, options.storage), out, SECTIONS))
    finally:
        gc.enable()
    return 0


def ui_(options: argparse.Namespace) -> int:
    from study.config import ConfigError
    from study.tracking.ui import serve

    if not 1 <= options.port <= 65535:
        raise ConfigError([f"--port must lie between 1 and 65535, got {options.port}; such as --port 5000"])
    return serve(options.tracking_uri, options.storage, port=options.port)


def bench_(options: argparse.Namespace) -> int:
    from study.config import ConfigError

    if not 0 < options.seconds < math.inf:
        raise ConfigError([f"--seconds must be above 0 and finite, got {options.seconds:g}; such as --seconds 10"])
    from study.bench.bench import bench

    figures = bench(seconds=options.seconds, only=options.only, device=options.device)
    print(json.dumps(figures, indent=1))
    return 0


def _expected(error: Exception) -> bool:
    """Whether an error is the user's to mend: its message is all that they need."""
    from models.registry import UnknownName
    from study.config import ConfigError
    from study.tracking.uri import TrackingRefused

    return isinstance(error, ConfigError | UnknownName | TrackingRefused | FileNotFoundError)


def _disk_is_full(error: Exception) -> bool:
    from study.storage.store import DiskFull

    return isinstance(error, DiskFull)


def _again(options: argparse.Namespace) -> str:
    from study.tracking.uri import without_secrets

    parts = ["study", options.name, getattr(options, "study", "")]
    parts += [f"--set {shlex.quote(item)}" for item in getattr(options, "set", [])]
    for flag in ("storage", "tracking_uri", "address"):
        value = without_secrets(getattr(options, flag, None) or "")
        parts += [f"--{flag.replace('_', '-')} {shlex.quote(value)}"] if value else []
    return " ".join(part for part in parts if part)


if __name__ == "__main__":
    sys.exit(main())

"""The command line's grammar."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from study.cli import bench, compare, features, report, theory, verbs

EPILOG = """\
a study is given as the name of a recipe in search_spaces/ (`study list studies`), as a Python file that defines
`study = Study(…)`, as a study.yaml, or by the name of one that ran in the storage. Examples:

  study plan quickstart
  study run quickstart --set epochs=5 --set k=[16,64]
  study run cifar10_small --set data.root=cifar10-images.tar.xz
  study report quickstart
"""


def parser() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The command line's grammar, and that of each verb."""
    top = argparse.ArgumentParser(
        prog="study",
        description="Study what negatives do in contrastive representation learning.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found = top.add_subparsers(required=True, metavar="VERB")
    _verb(found, "list", verbs.list_, "show studies and everything that a config can name", ["json"]).add_argument(
        "kind", nargs="?", help="only this registry (data, encoder, method, negatives, …) or `studies`"
    )
    plan = _verb(found, "plan", verbs.plan_, "check a study, and show what would run and its cost", [*TARGET, "json"])
    plan.add_argument("--probe", action="store_true", help="time each kind of trial, and a start")
    _until_decided(plan)
    run = _verb(found, "run", verbs.run_, "run what is not finished yet", [*TARGET, "tracking", "json"])
    _until_decided(run)
    _running(run)
    _verb(found, "status", verbs.status_, "show the state of each trial", [*TARGET, "tracking", "json"])
    retry = _verb(
        found, "retry", verbs.retry_, "forget the failures, and run what is not finished", [*TARGET, "tracking", "json"]
    )
    _running(retry)
    trial = _verb(found, "trial", verbs.trial_, "run one trial of a study in this process", [*TARGET, "json"])
    trial.add_argument("--cell", type=int, default=0, help="which cell of the plan, from 0 (default: %(default)s)")
    trial.add_argument("--seed", type=int, help="the seed (default: the study's first)")
    fit = _verb(found, "fit", verbs.fit_, "fit the observed losses into the bounds", ["set", "storage", "json"])
    fit.add_argument("study", help="a study as for `run`, or a table that `report` wrote (results.csv or .parquet)")
    fit.add_argument("--bound", action="append", metavar="NAME", help="only this bound; repeatable (default: all)")
    findings = _verb(
        found, "findings", verbs.findings_, "say which published claims a study supports", ["set", "storage", "json"]
    )
    findings.add_argument(
        "study", help="a study as for `run`, or a table that `report` wrote (results.csv or .parquet)"
    )
    compare.options(_verb(found, "compare", compare.compare_, "hold two studies side by side", ["storage", "json"]))
    theory.options(
        _verb(found, "theory", theory.theory_, "what the theory says of K for given classes, before any run", ["json"])
    )
    report.options(_verb(found, "report", report.report_, "write the report and the results table", TARGET))
    features.options(
        _verb(found, "features", features.features_, "write a trained encoder's features of a folder of images", TARGET)
    )
    ui = _verb(found, "ui", verbs.ui_, "serve MLflow's pages on this machine", ["storage", "tracking"])
    ui.add_argument(
        "study",
        nargs="?",
        help="tell the page of this study alone, given as for `run` (default: of those that changed last)",
    )
    ui.add_argument("--port", type=int, default=5000, help="(default: %(default)s)")
    bench.options(_verb(found, "bench", bench.bench_, "measure speed, each against its ceiling", ["set", "json"]))
    return top, found.choices


TARGET = ["study", "set", "storage"]


def _until_decided(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--until-decided",
        action="store_true",
        help="then add seeds to the cells that an undecided claim needs, until each is decided (docs/claims.md)",
    )


def _setting(verb: argparse.ArgumentParser, name: str, values: str, meaning: str) -> None:
    """An option that is short for `--set NAME=VALUE`."""
    option, as_set = f"--{name.replace('_', '-')}", f"{name}={{}}".format
    verb.add_argument(option, dest="set", action="append", type=as_set, metavar=values, help=meaning)


def _running(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--max-hours", type=float, help="start none that would end after so many hours, by the longest trial"
    )
    verb.add_argument("--max-trials", type=int, help="start so many trials at most, and go on at the next run")
    _setting(
        verb,
        "save_encoders",
        "{all,best,none}",
        "whose trained encoders stay in the storage (default: all, if they take 2 GiB at most; else the best)",
    )
    _setting(
        verb,
        "prune",
        "median",
        "give up a cell, all of its seeds, whose first seed lags behind the median of the finished ones by "
        "accuracy on the way; what that does to means is in docs/metrics.md. A run without it goes on with them",
    )
    verb.add_argument("--address", help="a running Ray cluster (default: Ray on this machine)")
    changed = verb.add_mutually_exclusive_group()
    changed.add_argument(
        "--anew",
        dest="changed",
        action="store_const",
        const="anew",
        default="refuse",
        help="set trials aside whose code or data have changed since, and run them anew",
    )
    changed.add_argument(
        "--keep", dest="changed", action="store_const", const="keep", help="keep such trials as they are"
    )


def _verb(
    found: Any, name: str, run: Callable[[argparse.Namespace], int], help_: str, options: Sequence[str]
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = found.add_parser(name, help=help_, description=help_, allow_abbrev=False)
    verb.set_defaults(verb=run, name=name)
    if "study" in options:
        verb.add_argument("study", help="a recipe's name, a Python file, a study.yaml, or its name in the storage")
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
        verb.add_argument(
            "--tracking-uri",
            help="MLflow's (default: a database in the storage); off: another session, or a later `run`, sends it",
        )
    if "json" in options:
        verb.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return verb

"""`study report`: its options, and the files that it writes."""

import argparse
import gc
from pathlib import Path

from study.cli.target import store_of, stored_target

FORMATS = ("html", "pdf", "md")


def options(verb: argparse.ArgumentParser) -> None:
    """Options of the verb, beside the study's."""
    verb.add_argument("--out", help="folder of the report, results.csv and results.parquet (default: the study's)")
    verb.add_argument(
        "--format", action="append", choices=FORMATS, help="repeatable; pdf needs Chromium or Chrome (default: html)"
    )
    verb.add_argument(
        "--figures", action="store_true", help="every figure as PDF and SVG, every table as LaTeX (booktabs) and CSV"
    )
    verb.add_argument(
        "--others", action="store_true", help="with the trials of other definitions of the study, told apart"
    )


def report_(options: argparse.Namespace) -> int:
    gc.disable()  # of a large report a tenth of the time: looking for garbage among objects that live to its end
    try:
        return _report(options)
    finally:
        gc.enable()


def _report(options: argparse.Namespace) -> int:
    from study.report.page import write_report
    from study.storage.planned import planned

    study, _ = stored_target(options)
    store = store_of(study, options)
    out = Path(options.out) if options.out else None
    _check_out(out or store.path)
    formats = options.format or ["html"]
    for path in write_report(store, out, formats=formats, files=options.figures, others=options.others):
        print(path)
    of_plan = planned(store)
    if not options.others and (beside := sum(not of_plan(folder.id) for folder in store.trials())):
        trials = "trial" if beside == 1 else "trials"
        print(
            f"left out: {beside} stored {trials} of other definitions of {study.name}; --others shows them, told apart"
        )
    return 0


def _check_out(folder: Path) -> None:
    from study.config import ConfigError
    from study.storage.store import check_writable, is_local

    try:
        if is_local(folder):
            check_writable(folder)
    except ConfigError as error:
        why = error.problems[0].partition("; ")[0].removeprefix("storage: ")
        raise ConfigError([f"report: {why}; write it elsewhere with --out FOLDER"]) from None

"""The verb `compare`: two studies, or a study and a colleague's table, side by side."""

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from study.results import Results

TABLES = (".csv", ".parquet")


def options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    what = "a study as for `run`, or a table that `report` wrote (results.csv or .parquet)"
    verb.add_argument("first", metavar="A", help=what)
    verb.add_argument("second", metavar="B", help=f"{what}: what is held against A")
    verb.add_argument("--other-storage", help="storage of B, where it is not that of A")
    verb.add_argument("--metric", help="metric that is compared (default: A's first that B has too)")
    verb.add_argument("--margin", type=float, help="difference up to which cells are equal, in the metric's unit")
    verb.add_argument("--out", help="draw the differences into this file, .svg, .png or .pdf")


def compare_(options: argparse.Namespace) -> int:
    from study.claims import compare_findings, findings
    from study.cli.theory import check_file
    from study.cli.verbs import plain, strict
    from study.config import ConfigError
    from study.results import compare_studies

    first = _results(options.first, options.storage)
    second = _results(options.second, options.other_storage or options.storage)
    try:
        if options.out:
            check_file(options.out)
        if options.margin is not None and not options.margin > 0:
            raise ValueError(f"--margin must be above 0, got {options.margin:g}; such as --margin 0.5")
        found = compare_studies(first, second, options.metric, margin=options.margin)
    except ValueError as error:
        raise ConfigError([str(error)]) from None
    claims = compare_findings(findings(first), findings(second))
    if options.json:
        content = {**found.plain(), "findings": [one.plain() for one in claims]}
        print(json.dumps(strict(content), indent=1, default=plain))
    else:
        print(found)
        print(claims)
    if options.out:
        from study.figures.outcome.two_studies import differences_info, draw_differences

        draw_differences(differences_info(found)).savefig(options.out)
    return 0


def _results(target: str, storage: str | None) -> "Results":
    from study.cli.verbs import results_of
    from study.config import ConfigError

    of_study = None if target.endswith(TABLES) else storage
    results = results_of(argparse.Namespace(study=target, set=[], storage=of_study))
    if results.finished.empty:
        raise ConfigError([f"no trial of {target} has finished: nothing to compare; `study run` it first"])
    return results

"""The verb `theory`: consequences of the theory for given classes and K, without any training."""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from study.analysis.theory import AtK, Theory
    from study.bounds.priors import Sampling

SUFFIXES = (".svg", ".png", ".pdf")
EXAMPLES = {
    "--classes": "100",
    "--priors": "0.5,0.3,0.2",
    "--counts": "500,300,20",
    "--k": "16,128",
    "--loss": "2.0,3.3",
}


def options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    classes = verb.add_mutually_exclusive_group(required=True)
    classes.add_argument("--classes", help="number of equally frequent classes, such as 100")
    classes.add_argument("--priors", help="share of each class, such as 0.5,0.3,0.2")
    classes.add_argument("--counts", help="samples of each class, such as 500,300,20")
    classes.add_argument("--data", help="class counts of a data set: its name, or {name: cifar10, root: FOLDER}")
    verb.add_argument("--split", choices=("train", "test"), default="test", help="of --data (default: %(default)s)")
    verb.add_argument(
        "--draws",
        choices=("with_replacement", "without_replacement"),
        default="with_replacement",
        help="independent draws, as in the theorems, or draws of a finite set, as trials measure; the latter needs "
        "--counts or --data (default: %(default)s)",
    )
    verb.add_argument("--k", help="numbers of negatives, such as 16,128 (default: powers of 4 up to 65,536)")
    verb.add_argument("--loss", help="observed L_cont in nats, one for each K, for upper bounds on L_sup")
    verb.add_argument("--temperature", type=float, default=0.5, help="(default: %(default)s)")
    verb.add_argument("--out", help="draw the figure into this file, .svg, .png or .pdf")


def theory_(options: argparse.Namespace) -> int:
    from study.analysis.theory import theory
    from study.cli.verbs import strict

    try:
        if options.out:
            check_file(options.out)
        ks, losses = _numbers(options.k, "--k", int), _numbers(options.loss, "--loss", float)
        if losses and not ks:
            raise ValueError("--loss is of given K; add --k, such as --k 127 --loss 3.32")
        found = theory(_draws(options), ks, temperature=options.temperature, losses=losses)
    except ValueError as error:
        from study.config import ConfigError

        raise ConfigError([str(error)]) from None
    print(json.dumps(strict(found.plain()), indent=1) if options.json else table(found))
    if options.out:
        from study.figures.theory.closed import closed_info, draw_closed

        draw_closed(closed_info(found)).savefig(options.out)
    return 0


def check_file(out: str) -> None:
    """Refuse a file that no figure can be drawn into."""
    if Path(out).suffix not in SUFFIXES:
        raise ValueError(f"--out must end in {', '.join(SUFFIXES)}, not {out!r}; such as theory.svg")
    if not Path(out).resolve().parent.is_dir():
        raise ValueError(f"--out {out}: there is no such folder; make it, or name another")


def _draws(options: argparse.Namespace) -> "Sampling":
    """The scheme that the options name."""
    from study.bounds.priors import with_replacement, without_replacement

    finite = options.draws == "without_replacement"
    if options.counts or options.data:
        counts = _class_counts(options) if options.data else _numbers(options.counts, "--counts", int)
        whole = without_replacement(counts)
        return whole if finite else with_replacement(whole.priors)
    if finite:
        raise ValueError("--draws without_replacement needs the samples of each class; give --counts or --data")
    if options.priors:
        return with_replacement(_numbers(options.priors, "--priors", float))
    classes = _numbers(options.classes, "--classes", int)
    if len(classes) != 1 or classes[0] < 1:
        raise ValueError(f"--classes takes one number of at least 1, not {options.classes!r}; such as --classes 100")
    return with_replacement(classes[0])


def _class_counts(options: argparse.Namespace) -> "np.ndarray[Any, Any]":
    """Samples of each class of a data set's split."""
    import numpy as np

    from study.data import DATASETS
    from study.storage import yaml_text

    named = yaml_text.read(options.data)
    parameters = dict(named) if isinstance(named, dict) else {"name": named}
    name = parameters.pop("name", None)
    try:
        source = DATASETS[name](**parameters)
    except TypeError as error:
        raise ValueError(f"--data {options.data}: {error}; see `study list data`") from None
    labels = getattr(source.load(), options.split).labels
    if labels is None:
        raise ValueError(f"--data {options.data} has no labels, but the theory is about classes; give --counts")
    return np.bincount(labels)


def _numbers(text: str | None, option: str, kind: type) -> Any:
    """The numbers of a list with commas; None where the option is not given."""
    if text is None:
        return None
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ValueError(
            f"{option} takes {what} with commas between, not {text!r}; such as {option} {EXAMPLES[option]}"
        ) from None


def table(found: "Theory") -> str:
    """Two tables in plain text: probabilities, and the bounds' closed forms."""
    from study.bounds import BOUNDS

    size = "" if found.draws.total is None else f" from {found.draws.total:,} samples"
    lines = [
        f"{len(found.draws)} classes, draws {found.draws.name}{size}, t = {found.temperature:g}",
        f"all classes are seen after {found.expected_draws:.2f} draws on average",
        "",
        _row("K", "τ_K", "1 − τ_K", "υ_{K+1}", "both", "E ln(Col+1)"),
        *(_probabilities(row) for row in found.rows),
        "",
        "τ: a negative has the anchor's class; υ: all classes are among the K + 1 draws; both: υ without a collision",
        "",
        "closed forms of the bounds, scale·L_sup + offset ≤ L_cont, in nats",
    ]
    for i, name in enumerate(BOUNDS.names()):
        lines += ["", _row(name, "scale", "offset", "L_sup ≤")]
        for row in found.rows:
            bound = row.bounds[i]
            upper = bound.reason or ("" if bound.supervised_upper is None else f"{bound.supervised_upper:.4g}")
            lines.append(_row(f"{row.k}", scientific(bound.log_scale), f"{bound.offset:.4f}", upper))
    return "\n".join(line.rstrip() for line in lines)


def _probabilities(row: "AtK") -> str:
    logs = (row.log_no_collision, row.log_coverage, row.log_free_coverage)
    return _row(f"{row.k}", f"{row.collision:.6g}", *map(scientific, logs), f"{row.log_collisions:.4f}")


def _row(first: str, *others: str) -> str:
    return f"{first:>10}" + "".join(f"  {text:>14}" for text in others)


def scientific(log: float) -> str:
    """e^log in five digits, also where it underflows: `1.5036e-22`, `7.8213e-431`."""
    if log == -math.inf:
        return "0"
    if log > math.log(1e-3):
        return f"{math.exp(log):.5g}"
    exponent = math.floor(log / math.log(10))
    return f"{10 ** (log / math.log(10) - exponent):.4f}e{exponent}"

"""`study bench`: its options, and figures as JSON."""

import argparse
import json
import math
from typing import Any

PARTS = ("training", "precision", "lightly", "negatives", "bounds", "learning")
OF_LEARNING = "only with --only learning: "


def options(verb: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    verb.add_argument("--seconds", type=float, default=10, help="for each encoder's training (default: %(default)s)")
    verb.add_argument("--device", choices=("cpu", "cuda"), help="(default: cuda where it can be used, else cpu)")
    verb.add_argument(
        "--only",
        choices=PARTS,
        help="only this part; negatives: selection_ms, step_ms and peak_mib of each strategy, and its ratio to a plain "
        "product and log-sum-exp, in about a minute; learning: accuracy by seconds of training, which takes these "
        "seconds and is not measured unless asked for",
    )
    verb.add_argument(
        "study",
        nargs="?",
        help=OF_LEARNING + "the study whose base is trained, as for `run` (default: SimCLR on drawn shapes)",
    )
    verb.add_argument(
        "--at", type=float, nargs="+", metavar="SECONDS", help=OF_LEARNING + "measure then (default: 30 60 120 200)"
    )
    verb.add_argument("--seeds", type=int, default=1, help=OF_LEARNING + "trainings (default: %(default)s)")
    verb.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help=OF_LEARNING + "count seconds on the wall, or those of processors by cores, which busy neighbours do not "
        "lengthen: with OMP_NUM_THREADS=1, as threads that wait use their processors (default: %(default)s)",
    )


def bench_(options: argparse.Namespace) -> int:
    from study.config import ConfigError

    if not 0 < options.seconds < math.inf:
        raise ConfigError([f"--seconds must be above 0 and finite, got {options.seconds:g}; such as --seconds 10"])
    if options.only == "learning":
        print(json.dumps(_learning(options), indent=1))
        return 0
    if options.study or options.set or options.at:
        raise ConfigError(["a study, --set and --at are those of --only learning; add that, or leave them out"])
    from study.bench.bench import bench

    print(json.dumps(bench(seconds=options.seconds, only=options.only, device=options.device), indent=1))
    return 0


def _learning(options: argparse.Namespace) -> dict[str, Any]:
    from study.bench.bench import conditions
    from study.bench.learning import CELL, TIMES, bench_learning, check
    from study.cli.target import load_target
    from study.config import ConfigError

    times = options.at or TIMES
    check(times, options.seeds)
    if options.set and not options.study:
        raise ConfigError(["--set changes a study's base; name the study, such as cifar10_small"])
    cell = load_target(options).base if options.study else CELL
    device, figures = conditions(options.device)
    measured = bench_learning(cell, device=device, times=times, seeds=options.seeds, clock=options.clock)
    return figures | {"learning": measured}

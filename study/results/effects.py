"""Effects of the varying parameters on a metric."""

import numpy as np
import pandas as pd


def importance(finished: pd.DataFrame, varying: list[str], metric: str) -> pd.DataFrame:
    """Share of the metric's variance that each varying parameter explains, and whether that differs from chance.

    Of a grid: `variance_components`, with the interactions, the seed and what is unexplained. Of a random search:
    `importance` (fANOVA). ValueError where there are too few values or cells.
    """
    from study.analysis.importance import importance
    from study.analysis.variance import is_grid, variance_components

    draw = np.random.default_rng(0)
    if is_grid(finished, varying, metric):
        return variance_components(finished, varying, metric, generator=draw)
    frame = finished.copy().assign(seed=finished["seed"].astype(str))
    return importance(frame, [*varying, "seed"], metric, generator=draw)


def response(finished: pd.DataFrame, varying: list[str], parameter: str, metric: str) -> pd.DataFrame:
    """`study.analysis.importance.response_curve` of a parameter that varies."""
    from study.analysis.importance import response_curve

    if parameter not in varying:
        raise ValueError(f"{parameter} does not vary in this study; choose one of {', '.join(varying)}")
    return response_curve(finished, varying, parameter, metric)

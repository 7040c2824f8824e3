"""Means over the trials of each cell, with their intervals."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit


def interval(frame: pd.DataFrame, by: list[str], metrics: list[str]) -> pd.DataFrame:
    """Mean, 95 % Student-t half-width and n of each metric in each group, one row per group and metric."""
    groups = frame.groupby(by or frame["status"], dropna=False, sort=False)[metrics]
    mean, deviation, n = groups.mean(), groups.std(), groups.count()
    half = stdtrit(np.maximum(n.to_numpy() - 1, 1), 0.975) * deviation.to_numpy() / np.sqrt(np.maximum(n.to_numpy(), 1))
    keys = mean.index.to_frame(index=False)[by]
    table = pd.concat([keys] * len(metrics), ignore_index=True)
    values = {"mean": mean, "half_width": half, "n": n}
    columns = {name: np.asarray(value).ravel(order="F") for name, value in values.items()}
    return table.assign(metric=np.repeat(metrics, len(keys)), **columns)

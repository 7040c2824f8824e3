"""Studies of known truth, as tables of results."""

import itertools

import numpy as np
import pandas as pd

from study.results import Results

TOP1 = "linear.features.top1"


def grid(**values):
    """Cells: every combination."""
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


def study_of(cells, means, *, seeds=3, noise=0.0, shared=10.0, metric=TOP1, repetition=0, loud=-1, **metrics):
    """Results of every cell under every seed: its mean, what the seed does to all cells, and the trial's own noise.

    loud: a cell with 5 times the noise. metrics: further ones, of each cell.
    """
    draw = np.random.default_rng(repetition)
    of_seeds = shared * draw.normal(size=seeds)
    rows = [
        {
            "trial_id": f"c{i}s{seed}", "status": "finished", "reason": None, "seed": seed, "class_counts": "[]",
            **cell, "seconds": 60.0, metric: mean + of_seeds[seed] + noise * (5 if i == loud else 1) * draw.normal(),
            **{name: values[i] for name, values in metrics.items()},
        }
        for i, (cell, mean) in enumerate(zip(cells, means, strict=True)) for seed in range(seeds)
    ]  # fmt: skip
    return Results(pd.DataFrame(rows))

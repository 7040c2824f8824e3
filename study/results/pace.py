"""How fast accuracy comes: each trial's epochs and training seconds to a given accuracy."""

from collections.abc import Sequence

import pandas as pd

ON_THE_WAY = "knn.quick.validation.top1"
"""Accuracy that a config with `accuracy_every` measures."""
SECONDS = "time.train_s"


def time_to(
    finished: pd.DataFrame, varying: Sequence[str], journal: pd.DataFrame, accuracy: float, metric: str
) -> pd.DataFrame:
    """One row per finished trial that has the metric by epoch: trial_id, what varies, seed, epochs, train_s, censored.

    epochs, train_s: at the first measured epoch whose value is at least `accuracy`. Where none is, the trial is
    censored: epochs and train_s are those of its last measurement, and what it would have taken is more. Measurements
    are so many epochs apart and their noise makes a first crossing early, alike in all cells; seconds compare only on
    the same machine. `journal`: one row per trial and epoch, with trial_id, epoch, the metric and `time.train_s`.

    Raises ValueError where no finished trial has the metric by epoch.
    """
    measured = journal[journal["trial_id"].isin(finished["trial_id"])].dropna(subset=[metric])
    if measured.empty:
        raise ValueError(
            f"no finished trial has {metric} by epoch; set accuracy_every, such as accuracy_every=5, and run anew, or "
            "name a metric that is logged on the way"
        )
    measured = measured.sort_values("epoch", kind="stable")
    reached = measured[measured[metric] >= accuracy].groupby("trial_id").first()
    last = measured.groupby("trial_id").last()
    found = reached.reindex(last.index).assign(censored=~last.index.isin(reached.index))
    found = found.fillna(last)[["epoch", SECONDS, "censored"]]
    found = found.rename(columns={"epoch": "epochs", SECONDS: "train_s"}).astype({"epochs": int})
    return finished[["trial_id", *varying, "seed"]].merge(found, left_on="trial_id", right_index=True)

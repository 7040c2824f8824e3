"""A trial's metrics as MLflow shows them: those that runs are compared by, in groups; the rest is one table."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SUMMARY = 40
"""Metrics of a run at most."""
DIGITS = 12
"""Significant ones of a metric."""
TABLE = "metrics.json"

_DETAIL = re.compile(
    r"""
    (_se|\.draws)$                                     # the precision of another metric
    | \.top5$ | (?<!\.quick)\.validation\.             # an accuracy in another way
    | \.penalty$ | ^train\.(learning_rate|temperature|k)$        # a setting
    | ^time\.(?!train_s$) | ^train\.views_per_s$       # what time.train_s says
    | ^train\.similarity\.                             # what alignment and uniformity say
    | \.tolerance_same_class$ | mean_classifier\..*loss$ | \.embeddings\.confusion_
    | negatives\..*(wup|_pairs)$                       # same-class negatives counted as near in meaning
    | (lca_depth|path|lch|lin|wup_nltk)(_other|_pairs)?$         # further measures of meaning
    | \.(pool|easy_5pct)\.(?!wup_other$) | \.offered\. | collision_rate\.pool$       # the level of chance
    | \.selected\.same_class_share$ | \.beyond_99$
    | ^bounds\.(?!gap$|collision_upper$|\w+\.slack$|\w+\.supervised_upper$)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Layout:
    """Which metrics of a study's trials are MLflow's, and their names there."""

    wanted: tuple[str, ...] = ()
    """the study's own: always among them"""
    grouped: bool = True
    """`linear/features.top1`, as MLflow's charts are grouped; False: all of them by their own names, as in experiments
    that an earlier version began, whose runs would not be comparable otherwise"""

    def name(self, metric: str) -> str:
        """A metric's name in MLflow: the first dot becomes a slash."""
        return metric.replace(".", "/", 1) if self.grouped else metric

    def chosen(self, metrics: Iterable[str]) -> list[str]:
        """The metrics that MLflow gets: the study's own, then in their order those that are no detail of another."""
        if not self.grouped:
            return list(metrics)
        names = dict.fromkeys(metrics)
        first = [name for name in self.wanted if name in names]
        also = [name for name in names if name not in first and not _DETAIL.search(name)]
        also.sort(key=lambda name: name.replace(".features.", ".") != name and name.replace(".features.", ".") in names)
        return (first + also)[:SUMMARY]

    def of_epoch(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Those of an epoch that MLflow gets, by their names there."""
        return {self.name(metric): self._shown(metrics[metric]) for metric in self.chosen(metrics)}

    def final(self, metrics: Mapping[str, Any], journal: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Step → the result's metrics that the journal's last line lacks; at the last epoch what has a curve."""
        last, stepwise = _last(journal), self._stepwise(journal)
        found: dict[int, dict[str, Any]] = {0: {}, last["epoch"]: {}}
        for metric in self.chosen([*stepwise, *metrics]):
            if metric in metrics and metric not in last["metrics"]:
                found[last["epoch"] if metric in stepwise else 0][self.name(metric)] = self._shown(metrics[metric])
        return found

    def rest(self, metrics: Mapping[str, Any], journal: list[dict[str, Any]]) -> dict[str, Any]:
        """A table as MLflow reads it, of what it does not get as metrics: a row for each metric and epoch."""
        last = _last(journal)
        chosen = set(self.chosen([*self._stepwise(journal), *metrics]))
        rows = [(m, line["epoch"], v) for line in journal for m, v in line["metrics"].items() if m not in chosen]
        rows += [(m, last["epoch"], v) for m, v in metrics.items() if m not in chosen and m not in last["metrics"]]
        data = [[m, epoch, v if v is not None and math.isfinite(v) else None] for m, epoch, v in sorted(rows, key=_by)]
        return {"columns": ["metric", "epoch", "value"], "data": data}

    def _shown(self, value: Any) -> Any:
        """A number as tables show it: 30.1 where the division left 30.099999999999998."""
        return float(f"{value:.{DIGITS}g}") if self.grouped and isinstance(value, float) else value

    def _stepwise(self, journal: list[dict[str, Any]]) -> dict[str, None]:
        """Metrics that were sent on the way."""
        return dict.fromkeys(metric for line in journal for metric in self.chosen(line["metrics"]))


def _by(row: tuple[str, int, Any]) -> tuple[str, int]:
    return row[:2]


def _last(journal: list[dict[str, Any]]) -> dict[str, Any]:
    return journal[-1] if journal else {"epoch": 0, "metrics": {}}

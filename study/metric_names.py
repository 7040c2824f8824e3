"""Metrics by their names, `evaluation.representation.number`."""

WITHOUT_EVALUATION = ("train.", "time.", "memory.")
"""Beginnings of the metrics that no evaluation declares."""


def is_percentage(metric: str) -> bool:
    """Whether its unit is percent."""
    return metric.rpartition(".")[2] in ("top1", "top5")


def validation_of(metric: str) -> str:
    """The same accuracy on the held-out examples, which choices are made by: `linear.features.validation.top1`.

    A metric that is no accuracy of test, such as `train.loss`, is itself.
    """
    head, _, number = metric.rpartition(".")
    return f"{head}.validation.{number}" if is_percentage(metric) and not head.endswith(".validation") else metric


def floor_of(metric: str) -> str:
    """The metric that holds the untrained encoder's value of this one: of the linear probe on features alone."""
    return metric.replace("linear.features.", "linear.floor.") if "linear.features." in metric else ""

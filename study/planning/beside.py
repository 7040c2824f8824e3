"""Checks of what is measured beside the evaluations: the encoder on second data sets, and on the way."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from models.multi_crop import small_views, work_in_views
from study.config import ConfigError, TrialConfig
from study.data import DataShape
from study.evaluation.classifier import Classifier
from study.planning.study_config import StudyConfig
from study.trial.probes.quick import SHARE, Sizes, sizes

if TYPE_CHECKING:
    from study.trial.trial import Trial

Part = TypeVar("Part")


class Component(Protocol):
    """A component of a config: by its name and parameters, and as the object."""

    @property
    def plain(self) -> dict[str, Any]: ...

    @property
    def value(self) -> Any: ...


def listed(parts: Mapping[str, Part], field: str) -> dict[str, Part]:
    """The components that a field lists, by their paths: `evaluations.0` …"""
    return {path: part for path, part in parts.items() if path.startswith(f"{field}.")}


def check_transfer(
    parts: Mapping[str, Component], shape: DataShape, shapes: Mapping[str, DataShape]
) -> tuple[list[str], list[str]]:
    """The problems of the second data sets, whose shapes are given by their paths, `transfer.0` …; and remarks."""
    names = [parts[path].plain["name"] for path in shapes]
    problems = [
        f"transfer: {name} is named twice, and metrics bear its name alone; drop one"
        for i, name in enumerate(names)
        if name in names[:i]
    ]
    if names and not any(isinstance(part.value, Classifier) for part in parts.values()):
        problems.append("transfer: evaluations has no classifier to make of it; add linear or knn, or leave it out")
    notes: list[str] = []
    for path, second in shapes.items():
        name = parts[path].plain["name"]
        wrong = list(_wrong(parts[path].plain == parts["data"].plain, shape, second))
        problems += [f"transfer: {name} {what}" for what in wrong]
        if not wrong and second.size != shape.size:
            sizes = ("×".join(map(str, size)) for size in (second.size, shape.size))
            notes.append("transfer: the images of {}, {}, are resized to the encoder's {}".format(name, *sizes))
    return problems, notes


def _wrong(same: bool, shape: DataShape, second: DataShape) -> Iterator[str]:
    if same:
        yield "is what the encoder is trained on, and is measured anyway; name another data set, or leave it out"
    if second.modality != shape.modality or second.modality != "image":
        yield (
            f"holds {second.modality}s, and the encoder is trained on {shape.modality}s: encoders are transferred "
            "from images to images alone; name a data set of images, or leave it out"
        )
    if not second.labelled or second.classes < 2:
        yield "has no classes to tell apart; name a data set with labels"


def check_on_the_way(config: TrialConfig, parts: Mapping[str, Component], shape: DataShape) -> list[str]:
    """The problems of what is measured every so many epochs."""
    problems, method = [], parts["method"].value
    if config.negatives_every is not None:
        if all(part.plain["name"] != "negatives" for part in listed(parts, "evaluations").values()):
            problems.append("negatives_every: evaluations lack `negatives`; add it there, or leave negatives_every out")
        if config.negatives_every > config.epochs:
            problems.append(
                f"negatives_every: {config.negatives_every} is more than the {config.epochs} epochs; "
                "lower it, or leave it out to measure at the end alone"
            )
    if config.accuracy_every and not shape.validation:
        problems.append(
            "accuracy_every: it is measured on held-out examples, and there are none; raise data.validation_size, or "
            "leave accuracy_every out"
        )
    elif config.accuracy_every and config.batch_size <= shape.train:
        problems += _too_often(config, work_in_views(method.views, parts["augmentation"].value, shape.size), shape)
    return problems


def _too_often(config: TrialConfig, views: float, shape: DataShape) -> list[str]:
    """A problem where a measurement that costs no more than it may has not an example of each class."""

    def at(every: int) -> Sizes:
        return sizes(shape, views=views, batch_size=config.batch_size, epochs=config.epochs, every=every)

    least = next((every for every in range(1, config.epochs + 1) if min(at(every)) >= shape.classes), None)
    if least is not None and config.accuracy_every >= least:
        return []
    few = at(config.accuracy_every)
    return [
        f"accuracy_every: at {SHARE:.0%} of the training's cost, every {config.accuracy_every} epochs, {few.queries} "
        f"held-out and {few.bank} training examples can be measured, of {shape.classes} classes; "
        + (f"set it to {least} or more" if least else "leave it out, the training is too short for it")
    ]


def check_prunable(study: StudyConfig, trials: "Sequence[Trial]") -> None:
    """Refuse, with ConfigError, a study that is to prune cells whose accuracies on the way do not compare."""
    if not study.prune:
        return
    if not all(trial.config["accuracy_every"] for trial in trials):
        raise ConfigError(["prune: it goes by the accuracy on the way; set accuracy_every, such as accuracy_every=5"])
    alike = [_work(trial) | trial.config for trial in trials]
    for path in ("data", "epochs", "accuracy_every", "method.views", "augmentation.small_views"):
        if any(config[path] != alike[0][path] for config in alike):
            raise ConfigError(
                [f"prune: cells of other {path} do not compare on the way; fix {path}, or leave prune out"]
            )


def _work(trial: "Trial") -> dict[str, Any]:
    """The settings that decide how much there is to encode of an example in a step."""
    return {"method.views": trial.parts.method.views, "augmentation.small_views": small_views(trial.parts.augmentation)}

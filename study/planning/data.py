"""The data sets of a study: refused where they are not, before torch is imported; and what a plan says of them."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from study.config import ConfigError, plain_value, split_component
from study.data import DATASETS, DataSource
from study.planning.study_config import StudyConfig

if TYPE_CHECKING:
    from study.trial.trial import Trial


def told_of(field: str, plain: Mapping[str, Any], error: Exception) -> str:
    """A data set's error in the words of the field that names it: `data.root` is `its root` in transfer."""
    parameters = "|".join(map(re.escape, plain))
    told = re.sub(rf"\bdata\.({parameters})\b", r"its \1", str(error)) if field == "transfer" else str(error)
    return f"{field}: {told}"


def check_places(study: StudyConfig) -> None:
    """Refuse, with ConfigError, data of the base whose files are not there, in a tenth of the time that a plan takes.

    What the space varies, and every other mistake in a data set, is left to the plan.
    """
    varied = {path.partition(".")[0] for space in study.spaces for path in space}
    named = [("data", study.base.data), *(("transfer", second) for second in study.base.transfer)]
    problems = [found for field, value in named if field not in varied and (found := _missing(field, value))]
    if problems:
        raise ConfigError(problems)


def _missing(field: str, value: Any) -> str:
    name, given = split_component(value)
    try:
        source = DATASETS.get(name)(**given)
    except Exception:  # the plan says it, with all that is wrong
        return ""
    try:
        source.check_place()
    except OSError as error:
        return told_of(field, {"name": name, **given}, error)
    return ""


def lines(trials: "Iterable[Trial]") -> Iterator[str]:
    """A line for each data set: classes, examples, the size that they are kept at, and what that makes of the files."""
    found: dict[str, str] = {}
    for trial in trials:
        seconds = [("transfer", config, trial.parts.transfer[config["name"]]) for config in trial.config["transfer"]]
        for field, config, source in (("data", trial.config["data"], trial.parts.data), *seconds):
            key = f"{field} {json.dumps(plain_value(config), sort_keys=True)}"
            if key not in found:
                found[key] = f"{field} {config['name']}: {_line(field, config, source)}"
    return iter(dict.fromkeys(found.values()))


def _line(field: str, config: Mapping[str, Any], source: DataSource) -> str:
    shape = source.shape()
    held_out = f" + {shape.validation:,} held-out" if shape.validation else ""
    classes = f"{shape.classes:,} class{'es' if shape.classes > 1 else ''}" if shape.labelled else "no labels"
    size = " × ".join(map(str, shape.size)) if shape.modality == "image" else f"{shape.size[0]} tokens"
    kept = "seen as" if config.get("keep") == "encoded" else "kept as"
    resized = _resized(field, min(shape.size), source.sides_of_files())
    return (
        f"{classes}, {shape.train:,} training{held_out} + {shape.test:,} test {shape.modality}s, {kept} {size}{resized}"
    )


def _resized(field: str, size: int, sides: tuple[int, int] | None) -> str:
    """In brackets, how files of another size are changed, and how to ask for another; empty where none is known."""
    if sides is None or sides == (size, size):
        return ""
    low, high = sides
    made = "made smaller" if low >= size else "made larger" if high <= size else "made smaller or larger"
    pixels = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    key = "--set data.image_size" if field == "data" else "its image_size"
    other = f"{key}={low if low == high else 'N'}"
    return f" ({made}: the shorter side of the files has {pixels} pixels; for another size {other})"

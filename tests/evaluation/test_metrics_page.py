"""docs/metrics.md has every metric that trials log, with the direction that the code goes by, and no other."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from study import TrialConfig
from study.bounds import BOUNDS
from study.evaluation import EVALUATIONS, reported
from study.evaluation.evaluation import OfRepresentations, named
from study.planning.resolve import resolve
from study.semantics import MEASURE_NAMES
from study.storage.store import Store
from study.trial.run import run_trial
from tests.conftest import TINY, undrawn

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
PLACEHOLDERS = {
    "<space>": ("features", "embeddings"),
    "<measure>": MEASURE_NAMES,
    "<bound>": BOUNDS.names(),
    "<evaluation>": EVALUATIONS.names(),
    "<dataset>": ("shapes",),
}
EXACT = {"bounds.collision", "bounds.coverage", "bounds.expected_log_collisions", "bounds.replacement"}
OF_REPRESENTATIONS = ("mean_classifier.", "contrastive.", "geometry.", "negatives.")
OF_TRAINING = ("negatives.selected.", "negatives.offered.")
WORDS = {"max": "higher", "min": "lower"}


def expanded(name: str) -> Iterator[str]:
    for placeholder, values in PLACEHOLDERS.items():
        if placeholder in name:
            yield from itertools.chain.from_iterable(expanded(name.replace(placeholder, value)) for value in values)
            return
    yield name


def documented() -> dict[str, str]:
    """Name → direction, of the tables of metrics; of bounds the standard errors besides, as the page says."""
    found = {}
    for body in re.findall(r"^\| (?:metric|scalar) \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, flags=re.MULTILINE):
        for row in body.splitlines():
            names, _, direction, _ = (cell.strip() for cell in row.strip("|").split(" |"))
            for name in itertools.chain.from_iterable(map(expanded, re.findall(r"`([^`]+)`", names))):
                assert name not in found, f"{name} has two rows"
                found[name] = direction
                if name.startswith("bounds.") and name not in EXACT:
                    found[f"{name}_se"] = ""
                if name.startswith(OF_REPRESENTATIONS) and not name.startswith(OF_TRAINING):
                    found[named(name, "features")] = direction
    return found


def logged(tmp_path: Path, **config: object) -> set[str]:
    folder = Store.of("s", tmp_path).trial("t")
    trial = undrawn(resolve(TrialConfig(**{**TINY, "evaluations": None, **config})))
    result = run_trial(trial, folder, threads=1)
    assert result.status == "finished", result.reason
    return set(result.metrics).union(*(line["metrics"] for line in folder.journal()))


def test_every_metric_that_trials_log_is_on_the_page_and_no_other(tmp_path: Path) -> None:
    both = [
        {"name": name, "representations": ["features", "embeddings"]} if issubclass(entry, OfRepresentations) else name
        for name, entry in EVALUATIONS.items()
    ]
    beside = {"accuracy_every": 3, "transfer": [{**TINY["data"], "drawing_seed": 1}]}
    with_negatives = logged(tmp_path / "a", k=32, objective="debiased", negatives_every=1, evaluations=both, **beside)
    without = logged(tmp_path / "b", method="supervised")
    assert (with_negatives | without) - documented().keys() == set(), "missing on the page"
    assert documented().keys() - (with_negatives | without) == set(), "on the page, but never logged"


@pytest.mark.parametrize("name", [name for name, metric in reported().items() if metric.direction])
def test_the_page_and_the_code_agree_on_what_is_better(name: str) -> None:
    direction = reported()[name].direction
    assert direction is not None
    assert documented()[name].startswith(WORDS[direction])

"""docs/search.md says what is so: its study can be planned, its samplers are Optuna's."""

import re
from pathlib import Path

from study import Study
from study.planning.search import optuna_samplers
from study.space import random_cells

PAGE = (Path(__file__).parents[2] / "docs" / "search.md").read_text()


def test_the_study_of_the_page_is_planned_and_has_hi_only_where_negatives_are_by_difficulty(tmp_path: Path) -> None:
    scope: dict[str, Study] = {}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], scope)
    study = scope["study"]
    assert str(study.plan(storage=tmp_path)).startswith("how-hard: 20 cells × 2 seeds = 40 trials (tpe)")
    cells = list(random_cells(study.space, 20, seed=0))
    assert {(cell["negatives"], "negatives.hi" in cell) for cell in cells} == {("all", False), ("difficulty", True)}


def test_the_samplers_of_the_page_are_optunas() -> None:
    named = set(re.findall(r"`optuna:([A-Za-z]+Sampler)`", PAGE))
    assert len(named) == 4
    assert named <= set(optuna_samplers())

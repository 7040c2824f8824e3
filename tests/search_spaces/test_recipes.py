"""Recipes: short, of one study, every cell of which can be planned and speaks to what its publication claims."""

import ast
from pathlib import Path

import numpy as np
import pytest

import search_spaces
from study import Study
from study.claims.cells import Cells
from study.claims.claim import CLAIMS
from study.config import split_component
from study.data.cifar import CIFAR100_CLASSES
from study.planning.plan import check_study
from study.recipes import load, names
from study.results import label, value_at
from tests.claims.studies import study_of
from tests.data.conftest import image_bytes
from tests.end_to_end.test_ag_news import article_files

FOLDER = Path(search_spaces.__path__[0])
DRAWN = {"name": "shapes", "train_size": 1200, "test_size": 100}
CLAIMED = [name for name in names() if any(claim.startswith(name.partition("_")[0]) for claim in CLAIMS.names())]
ELSEWHERE = {"cai2020_share_follows_classes": "removed_share_small"}
"""Claims whose cells another recipe has."""
every_recipe = pytest.mark.parametrize("name", names())


@every_recipe
def test_a_recipe_is_one_study_in_forty_lines_that_tells_what_it_is(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 40
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)]
    study = load(name)
    assert study.name == name
    assert study.question.endswith("?")


@every_recipe
def test_every_cell_of_a_recipe_can_be_planned_on_any_data(name: str, tmp_path: Path) -> None:
    """On drawn images, or a few articles, in place of what is not at hand."""
    study = load(name)
    data = split_component(study.base.data)[0]
    if data == "cifar100":  # whose labels vary
        changes = {"data.root": str(cifar100_files(tmp_path))}
    elif data == "ag_news":
        most = max([63, *(cell["k"] for cell in study.known_cells() if "k" in cell)])
        changes = {"data.root": str(article_files(tmp_path)), "batch_size": most + 1}
    else:
        changes = {"data": DRAWN}
    planned = check_study(study.with_overrides(changes))
    assert len({trial.id for trial in planned}) == len(planned)
    assert len(planned) >= 2 * len(study.seeds)


@pytest.mark.parametrize("name", [*CLAIMED, *ELSEWHERE.values()])
def test_a_recipe_has_the_cells_of_each_claim_of_its_publication(name: str) -> None:
    rows = shown(load(name))
    of_data = [[value for path, value in row.items() if path.startswith("data.")] for row in rows]
    counts = [str([500] * (10 if of == of_data[0] else 20)) for of in of_data]
    cells = Cells(study_of(rows, np.zeros(len(rows)), class_counts=counts))
    publication, elsewhere = name.partition("_")[0], [claim for claim, there in ELSEWHERE.items() if there == name]
    own = [claim for claim in CLAIMS.names() if claim.startswith(publication) and claim not in ELSEWHERE]
    claims = elsewhere or own
    assert [claim for claim in claims if not CLAIMS[claim]().comparison.parts(cells)] == []


def cifar100_files(folder: Path) -> Path:
    """More images of each class than there are negatives."""
    image = image_bytes(0)
    for name in CIFAR100_CLASSES:
        for split, count in (("train", 12), ("test", 1)):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                (folder / split / name / f"{i}.png").write_bytes(image)
    return folder


def shown(study: Study) -> list[dict[str, str]]:
    """Of each cell, as the table of results shows them, the values at every path of the space."""
    paths = list(dict.fromkeys(path for space in study.spaces for path in space))
    configs = [study.config(cell).plain() for cell in study.known_cells()]
    return [{path: label(value_at(config, path)) for path in paths} for config in configs]

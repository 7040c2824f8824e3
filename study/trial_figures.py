"""A trial's figures, drawn from its own tables into its artifacts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from study.analysis import bound_figures, semantic_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = list[dict[str, Any]]


def draw_figures(tables: Mapping[str, Table], folder: Path) -> None:
    """Draw what the tables hold: slack of the bounds over K, bands, class map and consistency of negatives."""
    folder.mkdir(parents=True, exist_ok=True)
    if "bounds.profile" in tables:
        slack = bound_figures.slack_info(pd.DataFrame(tables["bounds.profile"]))
        bound_figures.figure(slack, str(folder / "bounds.slack.png"))
    for name, figure in negative_figures(tables).items():
        figure.savefig(folder / f"{name}.png", dpi=150)


def negative_figures(tables: Mapping[str, Table]) -> dict[str, "Figure"]:
    """The figures of one trial's negatives, by name; those whose table is absent are left out."""
    found = {}
    if bands := tables.get("negatives.bands"):
        for column in ("same_class_share", "wup_other"):
            if column in bands[0]:
                info = semantic_figures.band_info({"this trial": [bands]}, column)
                found[f"negatives.bands.{column}"] = semantic_figures.draw_bands(info)
    if difficulty := tables.get("negatives.difficulty"):
        found["negatives.difficulty"] = semantic_figures.draw_map(class_map(difficulty))
    if histogram := tables.get("negatives.consistency_histogram"):
        found["negatives.consistency"] = semantic_figures.draw_consistency(semantic_figures.consistency_info(histogram))
    return found


def class_map(difficulty: Table) -> semantic_figures.MapInfo:
    """The class-by-class map of the table `negatives.difficulty`."""
    names = [row["class"] for row in difficulty]
    matrix = np.array([[row[name] for name in names] for row in difficulty])
    synsets = [row["synset"] for row in difficulty] if difficulty[0]["synset"] else ()
    return semantic_figures.map_info(matrix, names, synsets)

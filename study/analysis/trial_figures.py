"""A trial's figures, drawn from its own tables into its artifacts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from study.analysis import bound_figures, semantic_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = list[dict[str, Any]]

SELECTED, OFFERED = "negatives.selected.same_class_share", "negatives.offered.same_class_share"


def draw_figures(tables: Mapping[str, Table], folder: Path, *, journal: Sequence[Mapping[str, Any]] = ()) -> None:
    """Draw what the tables hold, and what the journal's epochs say of the selected negatives."""
    folder.mkdir(parents=True, exist_ok=True)
    if "bounds.profile" in tables:
        slack = bound_figures.slack_info(pd.DataFrame(tables["bounds.profile"]))
        bound_figures.figure(slack, str(folder / "bounds.slack.png"))
    for name, figure in negative_figures(tables, journal).items():
        figure.savefig(folder / f"{name}.png", dpi=150)


def negative_figures(tables: Mapping[str, Table], journal: Sequence[Mapping[str, Any]] = ()) -> dict[str, "Figure"]:
    """The figures of one trial's negatives, by name; those whose table is absent are left out."""
    found = {}
    if bands := tables.get("negatives.bands"):
        for column in ("same_class_share", "wup_other"):
            if column in bands[0]:
                info = semantic_figures.band_info({"this trial": [bands]}, column)
                found[f"negatives.bands.{column}"] = semantic_figures.draw_bands(info)
    if difficulty := tables.get("negatives.difficulty"):
        found["negatives.difficulty"] = semantic_figures.draw_map(class_map([difficulty]))
        if confusion := tables.get("linear.features.confusion"):
            found["linear.features.confusion"] = semantic_figures.draw_map(confusion_map([confusion], difficulty))
    if histogram := tables.get("negatives.consistency_histogram"):
        found["negatives.consistency"] = semantic_figures.draw_consistency(semantic_figures.consistency_info(histogram))
    if (collisions := collision_info(journal)).series:
        found["negatives.collisions"] = semantic_figures.draw_epochs(collisions)
    return found


def class_map(difficulties: Sequence[Table]) -> semantic_figures.MapInfo:
    """The class-by-class map of tables `negatives.difficulty`, mean over the trials."""
    names, synsets = _classes(difficulties[0])
    by_trial = [[[row[name] for name in names] for row in table] for table in difficulties]
    return semantic_figures.map_info(np.array(by_trial, dtype=np.float64).mean(axis=0), names, synsets)


def confusion_map(confusions: Sequence[Table], difficulty: Table) -> semantic_figures.MapInfo:
    """The same of tables `linear.features.confusion`; a table `negatives.difficulty` names the classes."""
    names, synsets = _classes(difficulty)
    position = {name: i for i, name in enumerate(names)}
    share = np.zeros((len(names), len(names)))
    for row in (row for table in confusions for row in table):
        share[position[row["class"]], position[row["predicted"]]] += row["share"] / len(confusions)
    return semantic_figures.map_info(share, names, synsets, quantity="confusion")


def collision_info(journal: Sequence[Mapping[str, Any]]) -> semantic_figures.EpochInfo:
    """Same-class share of the selected negatives, and of those offered, over the epochs of one trial."""
    histories = {
        label: [{line["epoch"]: line["metrics"][name] for line in journal if name in line["metrics"]}]
        for label, name in (("selected", SELECTED), ("the pool", OFFERED))
    }
    return semantic_figures.epoch_info({label: h for label, h in histories.items() if h[0]}, "same_class_share")


def _classes(difficulty: Table) -> tuple[list[str], list[str]]:
    """Names and synsets, in the order of the table's rows; no synsets where there are none."""
    return [row["class"] for row in difficulty], [row["synset"] for row in difficulty if row["synset"]]

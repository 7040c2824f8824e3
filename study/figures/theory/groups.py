"""Parts that the figures of the theory share: trials in groups, each a curve over K, and K as an axis."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from study.bounds import BOUNDS
from study.bounds.priors import Sampling
from study.figures.curve import COLOURS, Curve, plain
from study.figures.figure import Picture
from study.figures.records import Records, Table, by_value, of_all
from study.results import cell_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

ACCURACIES = ("mean_classifier.top1", "linear.embeddings.top1")
GROUPS = 4
"""So many are drawn; the tables have them all."""


class Group(NamedTuple):
    """Trials that share everything but K and the seed; of one K, their encoders at the K of the bounds' profile."""

    label: str
    trials: pd.DataFrame
    """rows of `Results.losses`, or one per trial and K of its profile"""
    slack: pd.DataFrame
    """columns k, bound, slack, as measured"""
    priors: Sampling
    accuracies: list[str]
    trained_at: int | None
    """the only K, where there is one; such a group is no curve to be fitted"""
    shown: str
    """how many of the groups are shown, where that is not all"""

    @property
    def title(self) -> str:
        """Over its panel."""
        trained = f"trained at K = {self.trained_at}" if self.trained_at is not None else ""
        return "; ".join(filter(None, [self.label, trained]))


class Panel(NamedTuple):
    """A group's part of a figure; all panels share their scales."""

    title: str
    info: Any
    told: str
    """in words"""


def picture(kind: str, caption: str, panels: Sequence[Panel], shown: str) -> Iterator[Picture]:
    """One picture of all groups; none where there is no panel. `shown`: how many of the groups, where not all."""
    if panels:
        told = ". ".join(": ".join(filter(None, [panel.title, panel.told])) for panel in panels)
        yield Picture(kind, tuple(panels), f"{caption}{shown}", told)


def groups(records: Records) -> list[Group]:
    """The first by value; ValueError where no trial has a loss."""
    frame, by = records.results.losses()
    slacks = records.results.slack()
    pieces = list(by_value(frame, by))
    shown = of_all(min(GROUPS, len(pieces)), len(pieces), "groups of trials", "the table has all")
    found = []
    for values, rows in pieces[:GROUPS]:
        accuracies = [name for name in ACCURACIES if name in rows]
        slack, priors = slacks[slacks["trial_id"].isin(rows["trial_id"])], records.results.priors(rows)
        alone = int(rows["k"].iloc[0]) if rows["k"].min() == rows["k"].max() else None
        if alone is not None and (profile := _profile(rows, records.profiles, accuracies)) is not None:
            rows, slack = profile
        group = cell_label(dict(zip(by, values, strict=True)))
        found.append(Group(group, rows, slack, priors, accuracies, alone, shown))
    return found


def _profile(
    rows: pd.DataFrame, profiles: Mapping[str, Table], accuracies: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """(one row per trial and K of its profile: the slack) of trials at one K; accuracies belong to that K alone."""
    tables = [pd.DataFrame(profiles[i]).assign(trial_id=i) for i in rows["trial_id"] if i in profiles]
    if not tables:
        return None
    slack = pd.concat(tables, ignore_index=True)
    uppers = slack.pivot_table(index=["trial_id", "k"], columns="bound", values="supervised_upper", dropna=False)
    frame = uppers.add_suffix("_supervised_upper").reset_index()
    columns = [
        name for name in ("temperature", "contrastive_loss", "bounds.supervised_loss", *accuracies) if name in rows
    ]
    known = rows.set_index("trial_id")[["k", *columns]].rename(columns={"k": "own"})
    frame = frame.join(known, on="trial_id")
    elsewhere = frame["k"] != frame["own"]
    frame.loc[elsewhere, [*accuracies, "contrastive_loss"]] = float("nan")
    if "contrastive_lower" in slack:
        loss = (slack["contrastive_lower"] + slack["slack"]).groupby([slack["trial_id"], slack["k"]]).mean()
        frame["contrastive_loss"] = frame.join(loss.rename("at_k"), on=["trial_id", "k"])["at_k"]
    return frame, slack


def colour_of(bound: str) -> str:
    """A bound's own, the same in every figure; one that this process does not know comes last."""
    return COLOURS[[*BOUNDS.names(), bound].index(bound) % len(COLOURS)]


def ink() -> str:
    """The text's colour, which a page sets."""
    import matplotlib as mpl

    return str(mpl.rcParams["text.color"])


def sheet(panels: Sequence[Panel], rows: int = 1) -> "tuple[Drawing, Any]":
    """A drawing with axes [rows, panels], each row on one scale, titled by the panels."""
    from matplotlib.figure import Figure as Drawing

    width = max(5.6, 2.7 * len(panels))
    drawing = Drawing(figsize=(width, 2.5 * rows + 1.0), layout="constrained")
    grid = drawing.subplots(rows, len(panels), sharex=True, sharey="row", squeeze=False)
    for axes, panel in zip(grid[0], panels, strict=True):
        axes.set_title(textwrap.fill(panel.title, 34), fontsize=8.5)
    for axes in grid.flat:
        plain(axes)
    return drawing, grid


def legend(drawing: "Drawing", grid: Any) -> None:
    """One below all panels: curves of the same name have the same look."""
    handles = {label: handle for axes in grid for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    places = {"loc": "outside lower center", "ncols": min(4, len(handles)), "frameon": False, "fontsize": 8}
    drawing.legend(handles=list(handles.values()), labels=list(handles), **places)


def k_axis(axes: "Axes", curves: Sequence[Curve]) -> None:
    """K on a logarithmic axis, named where it was observed, as far as the names do not touch."""
    ks = sorted({int(k) for one in curves for k in one.x})
    if not ks:
        return
    shown = [k for i, k in enumerate(ks) if i == 0 or k > 1.25 * ks[i - 1]]
    axes.set_xscale("log")
    axes.set_xlim(ks[0] / 1.2, ks[-1] * 1.2)
    axes.set_xlabel("K", fontsize=9)
    axes.set_xticks(shown, [str(k) for k in shown])
    axes.minorticks_off()

"""L_cont minus each lower bound against K: below 0 a bound is violated."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from study.bounds import BOUNDS
from study.figures.curve import Curve, draw_curve, in_words, mean_curve
from study.figures.figure import FIGURES, Figure, Picture, Table
from study.figures.records import Records
from study.figures.theory.groups import Group, Panel, colour_of, groups, ink, k_axis, legend, picture, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

TITLE = "L_cont minus each lower bound"
SEE = (
    "Below the line at 0 a bound would be violated; the nearer to it from above, the tighter. Means and 95 % intervals "
    "at the measured K; the thin lines only lead the eye."
)
SUPERVISED = "bounds.supervised_loss"


class SlackInfo(NamedTuple):
    """In nats, a curve a bound."""

    slacks: tuple[Curve, ...]


@FIGURES.register("slack")
class Slack(Figure):
    """L_cont minus each lower bound against K."""

    section = "Theory"

    def of_study(self, records: Records) -> Iterator[Picture]:
        panels, shown = [], ""
        for group in groups(records):
            parts = [part for part in (group.slack, closed_slack(group)) if len(part)]
            info, shown = slack_info(pd.concat(parts, ignore_index=True)) if parts else SlackInfo(()), group.shown
            if info.slacks:
                panels.append(Panel(group.title, info, in_words(info.slacks, "K")))
        yield from picture("slack", f"{TITLE}. {SEE}", panels, shown)

    def of_trial(self, tables: Mapping[str, Table], journal: Table) -> Iterator[Picture]:
        if "bounds.profile" in tables:
            info = slack_info(pd.DataFrame(tables["bounds.profile"]))
            panel = Panel("", info, in_words(info.slacks, "K"))
            yield Picture("bounds.slack", (panel,), f"{TITLE}. {SEE}", f"{TITLE}. {panel.told}")

    def draw(self, info: Sequence[Panel]) -> "Drawing":
        """With the line that no bound may cross."""
        drawing, grid = sheet(info)
        for axes, panel in zip(grid[0], info, strict=True):
            for one in panel.info.slacks:
                draw_curve(one, axes, colour_of(one.label))
            axes.axhline(0, color=ink(), linewidth=0.8)
            k_axis(axes, [one for every in info for one in every.info.slacks])
        grid[0, 0].set_ylabel("contrastive loss − lower bound [nats]", fontsize=9)
        legend(drawing, grid.flat)
        return drawing


def slack_info(table: pd.DataFrame) -> SlackInfo:
    """From rows of (K, bound) with columns k, bound and slack, as `Estimate.bounds` gives them, of any trials."""
    known = BOUNDS.names()
    pieces = list(table.groupby("bound", sort=False))
    pieces.sort(key=lambda piece: known.index(piece[0]) if piece[0] in known else len(known))
    return SlackInfo(tuple(mean_curve(str(name), rows["k"], rows["slack"]) for name, rows in pieces))


def closed_slack(group: Group) -> pd.DataFrame:
    """L_cont − (scale·L_sup + offset), by the closed form, of bounds that no trial measured, as of a user's module."""
    frame, nothing = group.trials, pd.DataFrame(columns=["k", "bound", "slack"])
    names = [name for name in BOUNDS.names() if name not in set(group.slack["bound"])]
    if SUPERVISED not in frame:
        return nothing
    parts = [nothing]
    for name, temperature in itertools.product(names, frame["temperature"].unique()):
        rows = frame[frame["temperature"] == temperature]
        losses, ks = rows[SUPERVISED].to_numpy(), rows["k"].to_numpy()
        lower = BOUNDS[name]().contrastive_lower_closed(losses, ks, group.priors, float(temperature))
        parts.append(pd.DataFrame({"k": ks, "bound": name, "slack": rows["contrastive_loss"].to_numpy() - lower}))
    return pd.concat(parts[1:] or parts, ignore_index=True)

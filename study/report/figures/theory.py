"""The figures of the field for a study: bounds and accuracy, slack, and fitted losses against K, curve by curve."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from study.analysis import bound_figures
from study.analysis.bound_figures import BoundsInfo, FitInfo, SlackInfo
from study.analysis.fit import Fit
from study.bounds import BOUNDS
from study.results import Results, cell_label

ACCURACIES = ("mean_classifier.top1", "linear.embeddings.top1")
CURVES = 4
"""Groups of trials that figures are drawn for; the tables have them all."""

Table = list[dict[str, Any]]


class TheoryFigure(NamedTuple):
    name: str
    """of its file: `bounds`, `slack` or `fit`, and the group"""
    caption: str
    info: BoundsInfo | SlackInfo | FitInfo


def theory_figures(results: Results, profiles: Mapping[str, Table]) -> list[TheoryFigure]:
    """Of each group of trials that shares everything but K and the seed; ValueError where no trial has a loss.

    `profiles`: trial id → its table `bounds.profile`, for groups that were trained at one K: their encoders are held
    against the bounds at other K, and there is no curve to fit.
    """
    frame, by = results.losses()
    groups = list(frame.groupby(by, dropna=False) if by else [((), frame)])[:CURVES]
    fits = _fits(results, [trial for _, rows in groups for trial in rows["trial_id"]])
    figures, slacks = [], results.slack()
    for values, rows in groups:
        group = cell_label(dict(zip(by, values, strict=True)))
        accuracies = [name for name in ACCURACIES if name in rows]
        slack = slacks[slacks["trial_id"].isin(rows["trial_id"])]
        alone = rows["k"].min() == rows["k"].max()
        where = f"{group}; trained at K = {rows['k'].iloc[0]}" if alone else group
        priors = results.priors(rows)
        if alone and (found := _profile(rows, profiles, accuracies)) is not None:
            rows, slack = found
        bounds = bound_figures.bounds_info(rows, priors=priors, accuracies=accuracies)
        figures.append(_named("bounds", group, f"Upper bounds on L_sup, and accuracy; {where}", bounds))
        if len(slack):
            slack_info = bound_figures.slack_info(slack)
            figures.append(_named("slack", group, f"L_cont minus each lower bound; {where}", slack_info))
        if not alone:
            of_group = [fit for fit in fits if cell_label(fit.group) == group]
            fitted = bound_figures.fit_info(rows, of_group)
            figures.append(_named("fit", group, f"Observed L_cont and the curves fitted to it; {where}", fitted))
    return figures


def _fits(results: Results, trials: Sequence[str]) -> list[Fit]:
    """Of these trials; none where no group is a curve over K."""
    drawn = Results(results.frame[results.frame["trial_id"].isin(trials)])
    try:
        return [fit for bound in BOUNDS.names() for fit in drawn.fit(bound)]
    except ValueError:
        return []


def draw_theory(figures: Sequence[TheoryFigure], folder: Path) -> list[Path]:
    """A PNG each, in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{figure.name}.png" for figure in figures]
    for figure, path in zip(figures, paths, strict=True):
        bound_figures.figure(figure.info, str(path))
    return paths


def _named(kind: str, group: str, caption: str, info: Any) -> TheoryFigure:
    slug = re.sub(r"[^\w.=-]+", "_", group).strip("_")[:80]
    return TheoryFigure(f"{kind}.{slug}" if slug else kind, caption.removesuffix("; "), info)


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
    known = rows.set_index("trial_id")[["temperature", "contrastive_loss", "k", *accuracies]]
    frame = frame.join(known.rename(columns={"k": "own"}), on="trial_id")
    frame.loc[frame["k"] != frame["own"], list(accuracies)] = float("nan")
    return frame, slack

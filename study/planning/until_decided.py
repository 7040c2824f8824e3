"""A study that runs until its claims are decided: the seeds that it may add, and the claims that it may decide."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from study.config import ConfigError
from study.metric_names import WITHOUT_EVALUATION
from study.planning.study_config import StudyConfig
from study.storage.store import Store

if TYPE_CHECKING:
    from study.trial.trial import Trial


def ladder(study: StudyConfig) -> list[int]:
    """The study's own seeds, then, up to `max_seeds`, the whole numbers above them, as they are added."""
    further = itertools.count(max(study.seeds) + 1)
    return [*study.seeds, *itertools.islice(further, max(study.max_seeds - len(study.seeds), 0))]


def further(study: StudyConfig, trials: "Sequence[Trial]") -> "list[Trial]":
    """Every trial that may be added to these, the study's own."""
    if not study.until_decided:
        return []
    cells = {trial.under(study.seeds[0]).id: trial for trial in trials}
    return [trial.under(seed) for trial in cells.values() for seed in ladder(study)[len(study.seeds) :]]


def added(study: StudyConfig, store: Store, trials: "Sequence[Trial]") -> "list[Trial]":
    """Those of `further` that have started."""
    stored = {folder.id for folder in store.trials()} if study.until_decided else set()
    return [trial for trial in further(study, trials) if trial.id in stored]


def decidable(trials: "Sequence[Trial]") -> dict[str, frozenset[int]]:
    """Claim → the cells of these trials that it needs, by number, of the claims that they will speak to."""
    import numpy as np

    from study.claims.cells import Cells
    from study.claims.claim import CLAIMS
    from study.claims.comparisons import cells_of
    from study.claims.findings import spoken_to
    from study.results import Results
    from study.results.frames import pending

    known = set[str]().union(*(trial.reports for trial in trials))
    known |= {m for name in CLAIMS for m in CLAIMS[name]().metrics if m.startswith(WITHOUT_EVALUATION)}
    rows = [
        {"id": trial.id, "cell": trial.cell, "config": trial.config, "seed": trial.seed,
         "class_counts": [1] * trial.parts.data.shape().classes}
        for trial in trials
    ]  # fmt: skip
    found, _ = spoken_to(Cells(Results(pending(rows))), known)
    return {name: frozenset(np.flatnonzero(cells_of(parts)).tolist()) for name, _, parts in found}


def check_decidable(study: StudyConfig, trials: "Sequence[Trial]") -> None:
    """Refuse, with ConfigError, a study until decided that no claim could end."""
    if study.until_decided and not decidable(trials):
        from study.claims.claim import CLAIMS

        raise ConfigError(
            [f"until_decided: the cells of {study.name} speak to none of the {len(CLAIMS)} claims, so that nothing is "
             "to be decided; add cells that a claim needs (docs/claims.md), or leave out --until-decided"]
        )  # fmt: skip


def notes(study: StudyConfig, trials: "Sequence[Trial]", seconds: float | None, concurrent: int) -> tuple[str, ...]:
    """Lines of a plan: the first stage, the largest that the study can become, and the claims."""
    if not study.until_decided:
        return ()
    claims = decidable(trials)
    cells, own = len(frozenset[int]().union(*claims.values())), len(study.seeds)
    more = cells * (study.max_seeds - own)
    hours = "" if seconds is None else f", {-(-more // concurrent) * seconds / 3600:.1f} h"
    return (
        f"until decided: first these {len(trials)} trials, then seeds of the cells that an undecided claim needs, up "
        f"to {study.max_seeds} seeds of {cells} cells: at most {more} trials more{hours} (max_seeds={study.max_seeds})",
        f"it may decide {len(claims)} claims: {', '.join(claims)}",
    )

"""A study and what one does with it: plan, run, look at its results."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.planning.study_config import StudyConfig
from study.storage.store import Store

if TYPE_CHECKING:
    from study.planning.plan import Plan
    from study.results import Results
    from study.trial.trial import Trial


class Study(StudyConfig):
    __doc__ = StudyConfig.__doc__

    def plan(self, *, storage: Path | str | None = None, probe: bool = False) -> "Plan":
        """Check every cell, and tell what would run and what it would cost; `probe` times a few steps of it."""
        from study.execution import job
        from study.planning.plan import check, check_here, make_plan

        trials = check(self)
        if not job.cluster_of_job() and not os.environ.get("RAY_ADDRESS"):  # its trials run here
            check_here(self, trials)
        return make_plan(self, Store.of(self.name, storage), trials, probe=probe)

    def run(self, **options: Any) -> "Results":
        """Run what is not finished yet, and return the results of all: see `study.execution.runner.run`."""
        from study.execution.runner import run

        return run(self, **options)

    def results(self, *, storage: Path | str | None = None) -> "Results":
        """The results so far."""
        from study.results import Results

        return Results.load(Store.of(self.name, storage))

    def trials(self) -> "list[Trial]":
        """Every known cell under every seed, resolved; ConfigError with the problems of all cells at once."""
        from study.planning.plan import trials_of

        return trials_of(self)

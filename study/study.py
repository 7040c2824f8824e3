"""A study and what one does with it: plan, run, look at its results."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.config import ConfigError, TrialConfig
from study.planning.notebook import table
from study.planning.study_config import StudyConfig
from study.storage.store import Store

if TYPE_CHECKING:
    from study.claims import Findings
    from study.execution import runner
    from study.planning.plan import Plan
    from study.results import Results
    from study.storage.trial_result import TrialResult
    from study.trial.trial import Trial


class Study(StudyConfig):
    __doc__ = StudyConfig.__doc__

    def _repr_html_(self) -> str:
        """Settings, as notebooks show them: each dimension of the space, and the base where it is no default."""
        plain, usual = self.plain(), TrialConfig().plain()
        spaces = plain["space"] if isinstance(plain["space"], list) else [plain["space"]]
        rows = {path: dimension for space in spaces for path, dimension in space.items()}
        rows |= {name: value for name, value in plain["base"].items() if value != usual[name] and name not in rows}
        rows |= {name: plain[name] for name in ("seeds", "sampler", "cells", "metrics") if name in plain}
        return table(self.name, rows, [self.question])

    def plan(self, *, storage: Path | str | None = None, probe: bool = False) -> "Plan":
        """Check every cell, and tell what would run and what it would cost; `probe` times a few steps of it."""
        from study.execution import job
        from study.planning.kept import as_begun, settle
        from study.planning.plan import check_here, check_study, make_plan

        store = Store.of(self.name, storage)
        study = as_begun(self, store)
        trials = check_study(study)
        if not job.cluster_of_job() and not os.environ.get("RAY_ADDRESS"):  # its trials run here
            check_here(study, trials)
        trials = settle(study, store, trials, decode=probe)
        return make_plan(study, store, trials, probe=probe)

    if TYPE_CHECKING:  # its options are the runner's, which takes seconds to import
        run = runner.run
    else:

        def run(self, **options: Any) -> "Results":
            """Run what is not finished yet, and return the results of all: see `study.execution.runner.run`."""
            from study.planning.data import check_places

            check_places(self)
            from study.execution.runner import run

            try:
                return run(self, **options)
            except KeyboardInterrupt as interrupt:
                interrupt.add_note("finished trials are kept; run the study again to go on")
                raise

    def run_one(
        self,
        cell: int = 0,
        *,
        seed: int | None = None,
        storage: Path | str | None = None,
        report: Callable[[int, dict[str, float]], None] | None = None,
    ) -> "tuple[Trial, TrialResult]":
        """Run one trial without Ray, in this process or those that share it: the cell of this number in the plan, by
        default under the first seed. `report` gets each epoch and its metrics. ChildProcessError: one of those died."""
        from study.machine.devices import device_of
        from study.planning.kept import settle
        from study.planning.plan import check_here, check_study
        from study.storage.claims import Session
        from study.storage.store import check_writable
        from study.trial.ranks import run_over_ranks
        from study.trial.run import run_trial

        seed = self.seeds[0] if seed is None else seed
        if not 0 <= seed < 2**63:
            raise ConfigError([f"seed must lie between 0 and 2**63 - 1, got {seed}"])
        trials = check_study(self)
        check_here(self, trials)
        cells = list({json.dumps(trial.cell): trial for trial in trials}.values())
        if not 0 <= cell < len(cells):
            raise ConfigError([f"cell must lie between 0 and {len(cells) - 1}, got {cell}"])
        trial, store = cells[cell].under(seed), Store.of(self.name, storage)
        check_writable(store.path)
        (trial,) = settle(self, store, [trial], decode=True)
        device = str(device_of(self.gpus))
        with Session(store) as session:
            if not session.claims.take(trial.id):
                holder = session.claims.holder(trial.id) or "another session"
                raise ConfigError([f"{trial.id} is being run by {holder}"])
            how: dict[str, Any] = {"threads": self.threads, "report": report, "checkpoints": self.kept}
            folder = store.trial(trial.id)
            if self.ranks > 1:
                result = run_over_ranks(pickle.dumps(trial), folder, ranks=self.ranks, gpus=bool(self.gpus), **how)
            else:
                result = run_trial(trial, folder, device=device, **how)
        return trial, result

    def results(self, *, storage: Path | str | None = None, others: bool = False) -> "Results":
        """The results so far, of the study as it ran last; `others`: see `Results.load`."""
        from study.results import Results

        return Results.load(Store.of(self.name, storage), others=others)

    def findings(self, *, storage: Path | str | None = None) -> "Findings":
        """Verdicts of the results so far on each claim: see `study.claims.findings`."""
        from study.claims import findings

        return findings(self.results(storage=storage))

    def trials(self) -> "list[Trial]":
        """Every known cell under every seed, resolved; ConfigError with the problems of all cells at once."""
        from study.planning.plan import trials_of

        return trials_of(self)

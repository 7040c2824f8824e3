"""A study as Ray Tune sees it: asks for its trials, and passes on what came of them."""

import base64
import logging
import math
import os
import re
import shutil
import tempfile
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.tune.search import Searcher

from study.config import ConfigError
from study.execution import job, ray_compat
from study.execution.progress import Progress
from study.execution.queue import Queue
from study.execution.samplers import Wait, prunable, sampler_of
from study.execution.worker import directory, resources, work
from study.planning.study_config import StudyConfig
from study.results import cell_label
from study.storage.best_encoder import BestEncoder
from study.storage.claims import Session
from study.storage.store import Store, TrialFolder, check_writable
from study.storage.trial_result import TrialResult
from study.tracking.tracker import Tracker
from study.tracking.untracked import Untracked
from study.trial.run import described
from study.trial.trial import Trial

RETRIES = 3
"""Restarts of a trial whose worker died, from its last checkpoint, without a new epoch in between."""
WORKER_START = 60
"""Seconds that a worker may take to start, imports and all, before its trial takes another worker that is free."""


class Proposals(Searcher):
    """Ray's view of a study: asks for trials, and tells sampler, tracker and progress display what came of them."""

    def __init__(
        self,
        study: StudyConfig,
        trials: list[Trial],
        store: Store,
        session: Session,
        tracker: Tracker | Untracked,
        progress: Progress,
        *,
        until: float = math.inf,
        most: float = math.inf,
        best: BestEncoder | None = None,
    ) -> None:
        """until: when the last trial is to be over, on the clock of `time.monotonic`. most: trials that may be started.
        best: whose encoder is kept."""
        super().__init__()
        self._study, self._store, self._tracker, self._progress = study, store, tracker, progress
        self._trials: dict[str, Trial] = {}
        self._best = best
        self._first = [trial.id for trial in trials if trial.seed == study.seeds[0]]
        self._prunable = prunable(study, trials, store) if study.prune else set()
        self._until, self._longest = until, 0.0
        self._left = most
        self._alone: deque[Trial] = deque()
        """Trials whose share of a GPU did not suffice, to be given a whole one: once, as they share none then."""
        self.deaths: dict[str, str] = {}
        """Ray's words on a trial whose worker died."""
        self.stopped: OSError | None = None
        """Why no more trials are started: the storage cannot be written to, or read."""
        self.queue = Queue(
            sampler_of(study, trials, store, progress.added),
            store,
            session.claims,
            heard=self._heard,
        )

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        gpus: float = self._study.gpus
        trial: Trial | Wait | None
        over = self.stopped or time.monotonic() + self._longest > self._until
        try:
            if self._alone and not over:
                trial, gpus = self._alone.popleft(), 1
            else:
                trial = None if over or self._left <= 0 else self.queue.next()
                self._left -= isinstance(trial, Trial)
        except OSError as error:  # what runs goes on to its end; whoever waits for Ray raises it
            self.stopped, trial = error, None
        if trial is None:
            may_come_back = 0 < gpus < 1 and self._trials and not over
            return None if may_come_back else Searcher.FINISHED
        self._progress.waiting(trial.why if isinstance(trial, Wait) else "")
        if isinstance(trial, Wait):
            return None
        self._trials[trial_id] = trial
        folder = self._store.trial(trial.id)
        self._tracker.watch(folder)
        return {
            "trial": base64.b64encode(cloudpickle.dumps(trial)).decode(),
            "folder": str(folder.path),
            "cpus": self._study.cpus,
            "gpus": gpus,
            "threads": self._study.threads,
            "ranks": self._study.ranks,
            "checkpoints": self._study.kept,
            "epochs": trial.config["epochs"],
            "beside": self._first if trial.id in self._prunable else [],
        }

    def start(self, trial_id: str) -> None:
        """The trial got its worker; or another one, after its end: Ray (2.60) does that where the workers of other
        trials are slow to start. It finds its result."""
        if (trial := self._trials.get(trial_id)) is not None:
            self._progress.start(trial_id, _label(trial), trial.config["epochs"])

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "epoch" in result:
            self._progress.epoch(trial_id, result["epoch"], result["loss"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        trial = self._trials.pop(trial_id, None)
        if trial is None:  # it was over before: see `start`
            return
        folder, death = self._store.trial(trial.id), self.deaths.pop(trial_id, "")
        said = result or {}
        if said.get("retry_alone"):
            self._alone.append(trial)
            self._progress.again(trial_id, _label(trial), f"tried again alone on a GPU ({said['reason']})")
            return
        found = folder.result()
        if found is None and said.get("stored"):
            found = _late(folder, said)
        if found is None:
            found = self._fail(trial, folder, said.get("reason") or _reason(death))
        self._longest = max(self._longest, found.duration)
        if self._best is not None:
            self._best.offer(folder, found)
        self.queue.tell(trial, found)
        self._progress.end(trial_id, _label(trial), found)

    def _fail(self, trial: Trial, folder: TrialFolder, reason: str) -> TrialResult:
        """Record a trial's failure; where the storage does not take it (a full disk), the trial stays to be resumed,
        and no other is started."""
        times = [*folder.times(), time.time()]
        found = TrialResult.failure(reason, started=times[0], ended=max(times))
        try:
            folder.write_config(described(trial))  # it may never have begun
            folder.write_result(found)
        except OSError as error:
            self.stopped = error
            why = os.strerror(error.errno) if error.errno else str(error)
            return replace(found, reason=f"{reason}; not recorded ({why}): the next `study run` resumes it")
        return found

    def _heard(self, trial: Trial, result: TrialResult) -> None:
        """Another session finished it."""
        self._progress.end(trial.id, _label(trial), result)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Ray to keep: the store is the state."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a run that goes on makes its sampler anew from the store."""


_RAISED = re.compile(r"^(?!RaySystemError)(\w+(?:Error|Exception|Exit): .*)$", re.MULTILINE)
"""The last line of a Python traceback."""


def _reason(death: str) -> str:
    """Why a trial has no result: what its worker died of, every time, and what to do about it."""
    times = f"{RETRIES + 1} times at one epoch"
    remedy = "lower batch_size, or raise cpus so that fewer trials run at once"
    if "low on memory" in death:
        return f"its node ran out of memory {times}; {remedy}"
    if raised := _RAISED.findall(death):
        return f"its worker died {times} of {raised[-1]}"
    if not death or "actor died" in death:
        return f"its worker died {times}; if memory ran out, {remedy}"
    return f"it cannot run on a worker: {death.splitlines()[-1]}"


def _late(folder: TrialFolder, said: dict[str, Any]) -> TrialResult:
    """A result that its worker has written and this node does not see yet: NFS shows a folder that was looked at before
    as it was, until something is written there. It must not be taken for a trial that ended without one."""
    with suppress(ConfigError):
        check_writable(folder.path)
    return folder.result() or TrialResult.from_plain(said)


def _label(trial: Trial) -> str:
    return f"{cell_label(trial.cell)} seed={trial.seed}"


class Watch(tune.Callback):
    def __init__(self, proposals: Proposals) -> None:
        self._proposals = proposals
        self._epochs: dict[str, int] = {}  # trial → the last one that it has reached

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._proposals.start(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Deaths count anew from each new epoch; one that is redone, behind a checkpoint, is none."""
        if result.get("epoch", 0) > self._epochs.get(trial.trial_id, 0):
            self._epochs[trial.trial_id] = result["epoch"]
            ray_compat.count_deaths_anew(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its worker died; another one goes on."""
        self._proposals.deaths[trial.trial_id] = ray_compat.last_error(trial)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ray_compat.free_memory_of(trial)


def fit(study: StudyConfig, proposals: Proposals) -> None:
    """Run all that is proposed, each trial on one of Ray's workers."""
    scratch = Path(tempfile.mkdtemp(prefix="ray-tune-"))
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial has its reason, which is shown
    ray_compat.limit_waiting_trials(_most_waiting(study))
    ray_compat.take_memory_kills_for_deaths()
    tuner = tune.Tuner(
        tune.with_resources(work, resources),
        tune_config=tune.TuneConfig(
            search_alg=proposals,
            scheduler=ray_compat.NewestTrialFirst(WORKER_START),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=directory,
        ),
        run_config=tune.RunConfig(
            name="study",
            storage_path=str(scratch),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[Watch(proposals)],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _most_waiting(study: StudyConfig) -> int:
    """Trials at most that wait for a worker: where the next one depends on each result, one; else as many nodes as the
    autoscaler may add at a time; else two, one that a worker starts for and one for the next worker that is free."""
    return 1 if study.searches or study.until_decided else 16 if job.nodes_to_come() else 2

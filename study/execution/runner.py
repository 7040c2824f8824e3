"""Runs a study's trials as Ray Tune trials, by Ray's public API; what that lacks is in `ray_compat`."""

import base64
import gc
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.tune.search import Searcher

from study.config import ConfigError
from study.execution import job, ray_compat
from study.execution.progress import Progress
from study.execution.queue import Queue, Wait
from study.execution.samplers import sampler_of
from study.figures.figure import save_study_figures
from study.figures.records import Records
from study.machine.devices import device_of
from study.machine.environment import cores
from study.planning.plan import Plan, check, check_here, make_plan
from study.planning.study_config import StudyConfig
from study.results import Results, cell_label
from study.storage.claims import Session
from study.storage.store import Store, TrialFolder, check_writable, location, write_atomically
from study.storage.trial_result import TrialResult
from study.tracking.tracker import Tracker
from study.trial.run import described
from study.trial.trial import Trial

RETRIES = 3
"""How often a trial whose worker died is started again from its last checkpoint, without a new epoch in between."""
STARTS = 3
"""How often Ray is started on this machine before that counts as impossible."""
WORKER_START = 60
"""Seconds that a worker may take to start, imports and all, before its trial takes another worker that is free."""
_Order = partial(ray_compat.NewestTrialFirst, WORKER_START)

ray_compat.set_environment()


def run(
    study: StudyConfig,
    *,
    storage: Path | str | None = None,
    tracking_uri: str | None = None,
    address: str | None = None,
    owner: str | None = None,
    retry: bool = False,
) -> Results:
    """Run every trial of the study that has no result yet, and return the results of all.

    Idempotent: finished trials are skipped, interrupted ones go on from their last epoch. Everything is checked before
    anything starts. `storage` is the folder of results and checkpoints (shared by all nodes), `tracking_uri` where
    MLflow is (default: a database in the storage), `address` a running Ray cluster (default: Ray on this machine).
    `retry`: failed trials too, from their last checkpoint.
    """
    job.check_storage(storage)
    store = Store.of(study.name, storage)
    trials = check(study)
    modules = user_modules(trials)
    check_writable(store.path)
    plan = make_plan(study, store, trials)
    left = plan.trials - plan.done - (0 if retry else plan.failed)
    address = address or job.cluster_of_job()
    if left:
        _check_reachable(address)
        if address is None and not ray.is_initialized():
            check_here(study, trials)
            device_of(study.gpus, allocate=False)  # on a cluster the driver's machine may have no GPU
    with Session(store, owner) as session:
        tracker = Tracker(study.name, store, tracking_uri, session=session)
        study_yaml = study.to_yaml(modules)
        write_atomically(store.path / "study.yaml", study_yaml)
        write_atomically(store.path / "plan.json", json.dumps(plan.plain(), indent=1))
        tracker.open(study_yaml, plan.plain())
        if retry:  # once nothing is left to be refused: until then, why they failed is kept
            plan = _forget_failures(study, store, trials)
        with connected(address) if left else nullcontext(), tracker.background():
            if left:
                _check_resources(study)
                _tune(study, trials, store, session, tracker, plan)
        results = Results.load(store)
        tracker.summarise(results)
        _attach_figures(tracker, results, store)
    return results


def _forget_failures(study: StudyConfig, store: Store, trials: list[Trial]) -> Plan:
    for folder in store.trials():
        if folder.status() == "failed":
            folder.reset()
    return make_plan(study, store, trials)


def _attach_figures(tracker: Tracker, results: Results, store: Store) -> None:
    """The study's figures, as they are in the report, on the study's run."""
    with tempfile.TemporaryDirectory() as folder:
        for path in save_study_figures(Records(results, store), Path(folder)):
            tracker.attach(path)


def _tune(
    study: StudyConfig, trials: list[Trial], store: Store, session: Session, tracker: Tracker, plan: Plan
) -> None:
    with Progress(plan, *next(iter(study.metrics.items()))) as progress:
        proposals = _Proposals(study, trials, store, session, tracker, progress)
        _fit(study, proposals)
    if proposals.stopped is not None:
        raise proposals.stopped


def _fit(study: StudyConfig, proposals: "_Proposals") -> None:
    scratch = Path(tempfile.mkdtemp(prefix="ray-tune-"))
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial has its reason, which is shown
    ray_compat.limit_waiting_trials(_most_waiting(study))
    ray_compat.take_memory_kills_for_deaths()
    tuner = tune.Tuner(
        tune.with_resources(_work, _resources),
        tune_config=tune.TuneConfig(
            search_alg=proposals,
            scheduler=_Order(),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=_directory,
        ),
        run_config=tune.RunConfig(
            name="study",
            storage_path=str(scratch),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[_Watch(proposals)],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _most_waiting(study: StudyConfig) -> int:
    """Trials at most that wait for a worker: with TPE, which learns from each result, one; else as many nodes as the
    autoscaler may add at a time; else two, one that a worker starts for and one for the next worker that is free."""
    return 1 if study.sampler == "tpe" else 16 if job.nodes_to_come() else 2


def _reason(death: str) -> str:
    """Why a trial has no result: what its worker died of, every time, and what to do about it."""
    times = f"{RETRIES + 1} times at one epoch"
    remedy = "lower batch_size, or raise cpus so that fewer trials run at once"
    if "low on memory" in death:
        return f"its node ran out of memory {times}; {remedy}"
    if not death or "actor died" in death:
        return f"its worker died {times}; if memory ran out, {remedy}"
    return f"it cannot run on a worker: {death.splitlines()[-1]}"


def _resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What a trial is given."""
    return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])


def _directory(trial: Any) -> str:
    """A worker's working directory names the trial that it has."""
    return Path(trial.config["folder"]).name


def _work(config: dict[str, Any]) -> dict[str, Any]:
    """One trial on a worker: what it needs came with it, names are not looked up.

    Where a GPU that it shares with others was full, its failure is forgotten (its checkpoints are not), and said as one
    to be tried again alone.
    """
    folder, retry_alone = TrialFolder(location(config["folder"])), False
    result = folder.result()
    if result is None and "trial" not in config:  # over before, see `_Proposals.start`, and it has no result
        result = TrialResult.failure("tried again alone on a GPU")
    if result is None:
        job.load_torch()
        from study.machine.memory import give_back, keep_freed
        from study.trial.run import run_trial

        keep_freed()
        trial = cloudpickle.loads(base64.b64decode(config["trial"]))
        result = run_trial(
            trial,
            folder,
            device="cuda" if config["gpus"] else "cpu",
            threads=config["threads"],
            checkpoints=config["checkpoints"],
            report=lambda epoch, metrics: tune.report({"epoch": epoch, "loss": metrics["train.loss"]}),
        )
        give_back()
        if not gc.get_freeze_count():  # what the first trial imported: to look through it takes 0.3 s a trial
            gc.freeze()
        retry_alone = 0 < config["gpus"] < 1 and result.out_of_memory
        if retry_alone:
            folder.reset()
    stored = folder.result() is not None
    return {"status": result.status, "reason": result.reason, "stored": stored, "retry_alone": retry_alone}


class _Proposals(Searcher):
    """Ray's view of a study: asks for trials, and tells sampler, tracker and progress display what came of them."""

    def __init__(
        self,
        study: StudyConfig,
        trials: list[Trial],
        store: Store,
        session: Session,
        tracker: Tracker,
        progress: Progress,
    ) -> None:
        super().__init__()
        self._study, self._store, self._tracker, self._progress = study, store, tracker, progress
        self._trials: dict[str, Trial] = {}
        self._alone: deque[Trial] = deque()
        """Trials whose share of a GPU did not suffice, to be given a whole one: once, as they share none then."""
        self.deaths: dict[str, str] = {}
        """What Ray says of a trial whose worker died."""
        self.stopped: OSError | None = None
        """Why no more trials are started: the storage cannot be written to, or read."""
        self.queue = Queue(
            sampler_of(study, trials, store),
            store,
            session.claims,
            heard=self._heard,
        )

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        gpus: float = self._study.gpus
        trial: Trial | Wait | None
        try:
            if self._alone and not self.stopped:
                trial, gpus = self._alone.popleft(), 1
            else:
                trial = None if self.stopped else self.queue.next()
        except OSError as error:  # what runs goes on to its end; whoever waits for Ray raises it
            self.stopped, trial = error, None
        if trial is None:
            may_come_back = 0 < gpus < 1 and self._trials and not self.stopped
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
            "checkpoints": self._study.kept,
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


def _late(folder: TrialFolder, said: dict[str, Any]) -> TrialResult:
    """A result that its worker has written and this node does not see yet: NFS shows a folder that was looked at before
    as it was, until something is written there. It must not be taken for a trial that ended without one."""
    with suppress(ConfigError):
        check_writable(folder.path)
    return folder.result() or TrialResult.from_plain(said)


def _label(trial: Trial) -> str:
    return f"{cell_label(trial.cell)} seed={trial.seed}"


class _Watch(tune.Callback):
    def __init__(self, proposals: _Proposals) -> None:
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


def user_modules(trials: list[Trial]) -> list[str]:
    """The modules outside this project that define components; they travel to the workers by value."""
    ours = {"models", "study", "torch", "functools"}
    found = set()
    for trial in trials:
        parts = [
            trial.parts.data,
            trial.parts.encoder,
            trial.parts.head,
            trial.parts.augmentation,
            trial.parts.method,
            trial.parts.temperature,
        ]
        parts += [trial.parts.optimizer, *trial.parts.evaluations.values(), *trial.parts.figures.values()]
        parts += [trial.parts.contrast.strategy, trial.parts.contrast.objective] if trial.parts.contrast else []
        for part in parts:
            function = getattr(part, "func", part)
            name = getattr(function, "__module__", type(part).__module__)
            if name.split(".")[0] not in ours:
                found.add(name)
    for name in found - {"__main__"}:
        cloudpickle.register_pickle_by_value(sys.modules[name])
    return sorted(found - {"__main__"})


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Ray: at an address, else on this machine; left as it was if it was connected."""
    if ray.is_initialized():
        yield
        return
    _connect(address)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    """On a machine that is busy, Ray gives itself up after 30 s, with a bare Exception; the next start is quicker."""
    for attempt in range(1, STARTS + 1):
        try:
            with ray_compat.on_loopback() if address is None else nullcontext():
                ray.init(
                    address=address or "local",
                    num_cpus=cores() if address is None else None,
                    include_dashboard=False if address is None else None,
                    log_to_driver=False,
                    logging_level="ERROR",
                )
            return
        except Exception as error:
            ray.shutdown()
            if address is not None or attempt == STARTS:
                raise ConfigError([_refusal(address, error)]) from None


def _refusal(address: str | None, error: Exception) -> str:
    """Why Ray did not connect, in a line; a cluster that is there says no more to who does not show its token."""
    reason = str(error).partition("\n")[0].rstrip(".")
    if address is None:
        return (
            f"Ray did not start on this machine in {STARTS} attempts ({reason}); when it is less busy, run this again"
        )
    return (
        f"address: no Ray cluster answers at {address!r} ({reason}); if one runs there, it does not take this "
        "machine's token: put the cluster's into ~/.ray/auth_token (or RAY_AUTH_TOKEN_PATH), and set "
        "RAY_AUTH_MODE=token"
    )


def _check_reachable(address: str | None) -> None:
    """Refuse an address that nobody listens at: Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ConfigError(
            [f"address: no Ray cluster answers at {address!r} ({error}); start one with `ray start --head`, or leave "
             "--address out to run on this machine"]
        ) from None  # fmt: skip


def _check_resources(study: StudyConfig) -> None:
    """Refuse what no node of the cluster has, nor one that its autoscaler can add."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    nodes += [job.nodes_to_come()] if job.nodes_to_come() else []
    if any(node.get("CPU", 0) >= study.cpus and node.get("GPU", 0) >= study.gpus for node in nodes):
        return
    have = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
    raise ConfigError(
        [f"cpus={study.cpus:g}, gpus={study.gpus:g} a trial is more than any node has ({have}); lower cpus or gpus"]
    )

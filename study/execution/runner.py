"""Runs a study's trials as Ray Tune trials, by Ray's public API; what that lacks is in `ray_compat`."""

import hashlib
import json
import logging
import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from study.config import ConfigError
from study.execution import job
from study.execution.samplers import sampler_of
from study.execution.worker import not_found_again, user_modules
from study.machine.devices import device_of
from study.machine.provenance import code_digest, commit_and_diff, digest_of_diff
from study.planning.encoders import saved
from study.planning.kept import Changed, as_begun, code_changed, of_study, record, settle
from study.planning.plan import Plan, check_here, check_study, make_plan
from study.planning.study_config import StudyConfig
from study.results import Results
from study.storage.best_encoder import BestEncoder
from study.storage.claims import Session
from study.storage.store import Store, check_writable, is_local, write_atomically
from study.tracking.tracker import Tracker
from study.tracking.untracked import Untracked
from study.tracking.uri import check, is_off
from study.trial.trial import Trial

log = logging.getLogger(__name__)


def run(
    study: StudyConfig,
    *,
    storage: Path | str | None = None,
    tracking_uri: str | None = None,
    address: str | None = None,
    owner: str | None = None,
    retry: bool = False,
    changed: Changed = "refuse",
    announce: Callable[[Plan], None] | None = None,
    until_decided: bool = False,
    max_hours: float | None = None,
    max_trials: int | None = None,
) -> Results:
    """Run every trial of the study that has no result yet, and return the results of all.

    Idempotent: finished trials are skipped, interrupted ones go on from their last epoch. Everything is checked before
    anything starts. `storage` is the folder of results and checkpoints (shared by all nodes), `tracking_uri` where
    MLflow is (default: a database in the storage, which sessions of one machine at a time write; "off": a session that
    tracks, or a later run, sends all), `address` a running Ray cluster (default: Ray on this machine). `retry`: failed
    trials too, from their last checkpoint. `changed`: what becomes of trials whose code or data are others now:
    "refuse", "anew" (they are set aside), "keep". `announce` gets the plan, before anything starts and at the end.
    `until_decided`: as the study's setting of that name. `max_hours`: no trial is started that would end after them, by
    the longest one so far; `max_trials`: no more are started than that. The next run goes on.
    """
    job.check_storage(storage)
    store = Store.of(study.name, storage)
    study = as_begun(replace(study, until_decided=True) if until_decided else study, store)
    until, most = _end_of(max_hours), _most_trials(max_trials)
    trials = check_study(study)
    modules = user_modules(trials)
    check_writable(store.path)
    trials = settle(study, store, trials, changed, decode=True)
    plan = make_plan(study, store, trials)
    encoders, said = saved(study, trials)
    if announce:
        announce(replace(plan, notes=(*plan.notes, *filter(None, [said, not_found_again(trials)]))))
    left = plan.trials - plan.over + (plan.failed if retry else 0)
    address = address or job.cluster_of_job()
    if left or study.until_decided:
        _check_place(study, trials, address)
    tracks = not is_off(tracking_uri)
    with Session(store, owner, tracks=tracks) as session:
        tracker = Tracker(study.name, store, tracking_uri, session=session) if tracks else Untracked()
        study_yaml = study.to_yaml(modules)
        write_atomically(store.path / "study.yaml", study_yaml)
        write_atomically(store.path / "plan.json", json.dumps(plan.plain(), indent=1))
        record(study, store, trials)
        _keep_diff(store)
        if isinstance(tracker, Tracker):
            check(tracker.uri)
        opened = _aside(lambda: tracker.open(study_yaml, plan.plain()))  # seconds, as Ray's start
        left = left or (study.until_decided and sampler_of(study, trials, store).next() is not None)
        with _ray(study, address) if left else nullcontext():
            opened()
            if retry:  # once nothing is left to be refused: until then, why they failed is kept
                plan = _forget_failures(study, store, trials)
            with tracker.background():
                if left:
                    best = _best_encoder(study, store) if encoders == "best" else None
                    _tune(study, trials, store, session, tracker, plan, until, most, best)
        results = Results.load(store)
        if isinstance(tracker, Tracker) and tracker.is_open:
            _send_outcome(tracker, results, store, encoder=encoders != "none")
    if announce:
        announce(make_plan(study, store, trials))
    return results


def _check_place(study: StudyConfig, trials: list[Trial], address: str | None) -> None:
    """Refuse, before Ray starts, a place that cannot run them. Ray is imported where there is something to run."""
    import ray

    from study.execution.connection import check_machine, check_reachable

    check_reachable(address)
    if address is None and not ray.is_initialized():
        check_machine()
        check_here(study, trials)
        device_of(study.gpus, allocate=False)  # on a cluster the driver's machine may have no GPU


@contextmanager
def _ray(study: StudyConfig, address: str | None) -> Iterator[None]:
    """Ray, with what the study's trials need."""
    from study.execution.connection import check_resources, connected

    with connected(address):
        check_resources(study)
        import ray.tune  # noqa: F401 - takes a second, in which what was begun beside Ray's start goes on

        yield


def _aside(work: Callable[[], None]) -> Callable[[], None]:
    """Begin the work in a thread; the returned function waits for its end, and raises what it raised. An interrupt
    before that does not wait for it."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return done.result


def _keep_diff(store: Store) -> None:
    """In the study's folder: how the code differs from its commit, by the digest that results name."""
    if diff := commit_and_diff()[1]:
        write_atomically(store.path / f"code-{digest_of_diff(diff)}.diff", diff)


def _best_encoder(study: StudyConfig, store: Store) -> BestEncoder:
    """Where the study asks for it, the earlier trials' encoders go too; where their size decided it, they stay."""
    return BestEncoder(store, *next(iter(study.metrics.items())), drop_earlier=study.save_encoders == "best")


def _most_trials(max_trials: int | None) -> float:
    """Trials that may be started."""
    if max_trials is not None and max_trials < 1:
        raise ConfigError([f"max_trials must be at least 1, got {max_trials}; such as --max-trials 20"])
    return math.inf if max_trials is None else max_trials


def _end_of(max_hours: float | None) -> float:
    """When the last trial is to be over, on the clock of `time.monotonic`."""
    if max_hours is None:
        return math.inf
    if not 0 < max_hours < math.inf:
        raise ConfigError([f"max_hours must be above 0 and finite, got {max_hours:g}; such as --max-hours 2"])
    return time.monotonic() + max_hours * 3600


def _forget_failures(study: StudyConfig, store: Store, trials: list[Trial]) -> Plan:
    for trial in of_study(study, store, trials):
        folder = store.trial(trial.id)
        if folder.status() == "failed" and code_changed(trial, folder):
            store.set_aside(folder)
        elif folder.status() == "failed":
            folder.reset()
    return make_plan(study, store, trials)


def _send_outcome(tracker: Tracker, results: Results, store: Store, *, encoder: bool) -> None:
    """The report, in the study's folder and on its run, where the summary is as well, unless that has them of the same
    trials and code; the best encoder on its trial's."""
    if encoder:
        tracker.log_encoder(results)
    with tracker.once(_outcome(results, store)) as anew, tempfile.TemporaryDirectory() as elsewhere:
        if not anew:
            return
        from study.figures.records import Records
        from study.report.page import write

        records = Records(results, store)
        tracker.summarise(results, records.findings)
        if results.frame.empty:
            return
        try:
            for path in write(records, store.path if is_local(store.path) else Path(elsewhere)):
                tracker.attach(path)
        except Exception:  # a study that has run does not fail of its report
            log.warning("no report could be written; `study report %s` tries again", store.path.name, exc_info=True)


def _outcome(results: Results, store: Store) -> str:
    """The digest of all that a study's outcome is made of."""
    parts = code_digest(), (store.path / "study.yaml").read_text(), results.frame.to_csv()
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _tune(
    study: StudyConfig,
    trials: list[Trial],
    store: Store,
    session: Session,
    tracker: Tracker | Untracked,
    plan: Plan,
    until: float,
    most: float,
    best: BestEncoder | None,
) -> None:
    from study.execution.progress import Progress
    from study.execution.proposals import Proposals, fit

    with Progress(plan, *next(iter(study.metrics.items()))) as progress:
        proposals = Proposals(study, trials, store, session, tracker, progress, until=until, most=most, best=best)
        fit(study, proposals)
    if proposals.stopped is not None:
        raise proposals.stopped

"""Needs of a study beyond Ray's public API: all that is private, patched or set by environment.

Each thing says why, where the public API falls short, and what is known upstream, as of Ray 2.60.0. That the installed
Ray still is so, tests/execution/test_ray_compat.py checks: another version fails there and not in a study.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any

from ray._private import parameter, ray_constants
from ray._private.node import Node
from ray.air.execution._internal import RayActorManager
from ray.exceptions import ActorDiedError, OutOfMemoryError
from ray.tune.schedulers import FIFOScheduler

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a CSV, a JSON and an event file per trial: journal and MLflow log
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # of all trials, to disk: the store is the state
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C: stop at once; checkpoints are at epoch ends
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as 2.60 has it: a worker without a GPU keeps CUDA_VISIBLE_DEVICES
    "RAY_AIR_NEW_OUTPUT": "0",  # the older printer, which `RunConfig(verbose=0)` silences without a call per step
}
"""Variables that Ray reads, for which `tune.RunConfig`, `tune.TuneConfig` and `ray.init` (2.60) have no option. What a
user has set stays. No upstream issue known."""


def set_environment() -> None:
    """Before `ray.init`, as its workers inherit it; Ray reads none of it at its import."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def limit_waiting_trials(count: int) -> None:
    """At most `count` trials are created that have no worker yet.

    Ray Tune (2.60) creates one at a time for a user-defined searcher. `TuneConfig(max_concurrent_trials=)` raises that,
    but limits the trials that run as well, which are to be as many as the cluster has place for. No upstream issue
    known.
    """
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(count)


@contextmanager
def on_loopback() -> Iterator[None]:
    """Ray started within listens to 127.0.0.1, where by default it listens to every address of the machine.

    It does so where clusters of several machines are switched off, as they are on a Mac (Ray 2.60). No public option of
    `ray.init` does; `_node_ip_address` is private as well, and by its authors' word it may not last
    (https://github.com/ray-project/ray/issues/30770). The constant's own variable, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER,
    is read once at import, and would hold for a cluster that the same process connects to later.
    """
    usual = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = usual


@contextmanager
def few_processes() -> Iterator[None]:
    """Ray started within has only the processes that trials on one machine need: three of its Python ones are left out.

    These are the autoscaler's monitor, the reader of workers' logs, which `log_to_driver=False` leaves running, and the
    dashboard's server, which `include_dashboard=False` leaves running to report usage, and which `ray.init` waits for.
    Without them its start takes 0.6 of the time (n = 3, two busy cores), and 5.5 s of processors in place of 9.5. The
    parameters of the first two are Ray's own (`RayParams`, 2.60), but no option of `ray.init` sets them; the third has
    none. No upstream issue known.
    """
    usual = parameter.RayParams, Node.start_api_server
    parameter.RayParams = partial(parameter.RayParams, no_monitor=True, include_log_monitor=False)
    Node.start_api_server = lambda self, **options: None
    try:
        yield
    finally:
        parameter.RayParams, Node.start_api_server = usual


_task_failed = RayActorManager._actor_task_failed


@wraps(_task_failed)
def _task_failed_or_memory_ran_out(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    if isinstance(exception, OutOfMemoryError):
        death = ActorDiedError()
        death.error_msg = str(exception)
        exception = death
    _task_failed(self, tracked_actor_task, exception)


def take_memory_kills_for_deaths() -> None:
    """A worker that was killed for its node's memory died: its trial goes to another one.

    Ray Tune (2.60) ends the whole study with "Caught unexpected exception" there: OutOfMemoryError, which actors raise
    since https://github.com/ray-project/ray/issues/29736, is neither a RayActorError nor a RayTaskError.
    `FailureConfig` counts only what arrives as one of these, and callbacks hear of no other. No upstream issue
    known of Tune's part.
    """
    RayActorManager._actor_task_failed = _task_failed_or_memory_ran_out


class NewestTrialFirst(FIFOScheduler):
    """The trial that has waited longest is left to the worker that starts for it; a free worker takes the newest.

    Ray's own order (2.60) gives a free worker to the one that has waited longest, and ends the worker that starts for
    it: where trials are shorter than a worker's start, no second worker would ever be ready. That is meant
    (https://github.com/ray-project/ray/pull/36020), and no option changes it. A trial that has waited longer than
    `overdue` seconds, such a start, goes first: all places are taken, and nothing starts.

    The scheduler's methods are public; what a trial's status is and that its workers follow this order is not said.
    """

    def __init__(self, overdue: float) -> None:
        super().__init__()
        self._overdue = overdue
        self._since: dict[Any, float] = {}  # trial → when it began to wait; the longest first

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._since.pop(trial, None)
        self._since[trial] = time.monotonic()

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        self._since = {trial: since for trial, since in self._since.items() if trial.status == trial.PENDING}
        oldest, newest = next(iter(self._since), None), next(reversed(self._since), None)
        overdue = oldest is not None and self._since[oldest] < time.monotonic() - self._overdue
        return oldest if overdue else newest


def count_deaths_anew(trial: Any) -> None:
    """Forget how often a trial's workers died, so that `FailureConfig(max_failures=)` counts from here.

    Ray Tune (2.60) counts over a trial's whole life: one of many hours on machines that come and go would use it up.
    `trial.num_failures` is read-only, and `max_failures=-1` would try for ever a trial that always dies. No upstream
    issue known.
    """
    trial.run_metadata.num_failures = 0


def last_error(trial: Any) -> str:
    """Ray Tune's (2.60) text of a trial's errors: the callback `on_trial_recover` is not told which it was, and
    `ResultGrid.errors` only at the end. No upstream issue known."""
    return Path(trial.error_file).read_text().strip()


def free_memory_of(trial: Any) -> None:
    """Of a trial that ended, drop its objects, name and the means of its results.

    Ray Tune (2.60) keeps every trial until the study's end: so a thousand of them cost no memory. No option lets go of
    a trial, nor of the statistics of each metric that it reported. No upstream issue known.
    """
    for kept in (trial.config, trial.evaluated_params):
        kept.pop("trial", None)
    trial.experiment_tag = ""
    trial.run_metadata.metric_analysis.clear()
    trial.run_metadata.metric_n_steps.clear()

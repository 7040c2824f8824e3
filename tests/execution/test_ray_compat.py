"""Ray still is as ray_compat takes it to be: what is private or patched exists, is called so, and does what is said."""

import inspect
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import psutil
import pytest
import ray
from packaging.requirements import Requirement
from ray._private import parameter, ray_constants, services
from ray._private.node import Node
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError
from ray.tune.execution.tune_controller import TuneController, _get_max_pending_trials
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from study.execution import ray_compat
from study.execution.connection import connected
from study.machine.environment import cores

RAY = Path(ray.__file__).parent


@cache
def sources_of(folder: str) -> list[str]:
    return [path.read_text() for path in (RAY / folder).rglob("*.py")]


def read_by_ray(variable: str, folder: str) -> bool:
    """Whether Ray's source reads the environment variable, rather than only lists its name."""
    names = {re.escape(f'"{variable}"')}
    for source in sources_of(folder):  # constants that bear the name
        names |= {rf"(?:\w+\.)*{name}" for name in re.findall(rf'^(\w+) = "{variable}"$', source, re.MULTILINE)}
    reads = rf"(?:os\.getenv|os\.environ\.get|env_bool|env_integer)\(\s*(?:{'|'.join(names)})\s*,"
    return any(re.search(reads, source) for source in sources_of(folder))


@pytest.mark.parametrize("variable", [*ray_compat.ENVIRONMENT, "TUNE_MAX_PENDING_TRIALS_PG"])
def test_ray_reads_each_variable_that_is_set_for_it(variable: str) -> None:
    assert read_by_ray(variable, "_private" if "ACCEL" in variable else "tune")
    assert not read_by_ray(variable + "_ELSE", "tune")


def test_each_variable_is_set_unless_the_user_has_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ray_compat.ENVIRONMENT:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "1")
    ray_compat.set_environment()
    found = {name: os.environ[name] for name in ray_compat.ENVIRONMENT}
    assert found == ray_compat.ENVIRONMENT | {"RAY_AIR_NEW_OUTPUT": "1"}


def test_the_number_of_waiting_trials_is_what_tune_creates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNE_MAX_PENDING_TRIALS_PG", raising=False)
    assert _get_max_pending_trials(SimpleNamespace()) == 1  # of a user-defined searcher, without the variable
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "0")  # for monkeypatch to remove
    ray_compat.limit_waiting_trials(7)
    assert _get_max_pending_trials(SimpleNamespace()) == 7


def test_the_constant_switches_the_address_that_ray_listens_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray._private.worker._global_node", None)
    monkeypatch.setattr(services, "node_ip_address_from_perspective", lambda *_: "192.0.2.1")
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)  # as on Linux, wherever this runs
    with ray_compat.on_loopback():
        assert services.get_node_ip_address() in ("127.0.0.1", "::1")
    assert services.get_node_ip_address() == "192.0.2.1"


def test_ray_that_starts_for_a_study_has_no_process_that_no_trial_needs() -> None:
    usual = parameter.RayParams, Node.start_api_server
    with connected(None):
        assert ray.get(ray.remote(lambda: 7).remote()) == 7
        assert ray.cluster_resources()["CPU"] == cores()
        started = set(ray._private.worker._global_node.all_processes)
        running = " ".join(word for one in psutil.Process().children() for word in one.cmdline())
    assert started == {"gcs_server", "raylet"} | started & {"reaper"}
    assert "gcs_server" in running
    assert not re.search(r"dashboard/dashboard\.py|monitor\.py", running)
    assert (parameter.RayParams, Node.start_api_server) == usual, "a cluster that is started elsewhere has them"


@pytest.fixture
def manager() -> Iterator[Any]:
    """Tune's manager of actors with one that lives; as before afterwards."""
    usual = RayActorManager._actor_task_failed
    managed = RayActorManager(resource_manager=Mock())
    managed._actor_task_events = Mock()
    managed._cleanup_actor = Mock()
    yield managed
    RayActorManager._actor_task_failed = usual


def failing_task(manager: Any, exception: Exception) -> list[Exception]:
    """A task of an actor fails with the exception; what Tune's callback is told."""
    told: list[Exception] = []
    actor = Mock(_on_error=None)
    manager._live_actors_to_ray_actors_resources[actor] = (Mock(), Mock())
    manager.schedule_actor_task(actor, "train", on_error=lambda _, error: told.append(error))
    manager._actor_task_events.track_future.call_args.kwargs["on_error"](exception)
    return told


def test_a_worker_killed_for_memory_arrives_as_a_death_with_its_reason(manager: Any) -> None:
    ray_compat.take_memory_kills_for_deaths()
    ray_compat.take_memory_kills_for_deaths()  # once more changes nothing
    (death,) = failing_task(manager, OutOfMemoryError("the node was low on memory"))
    assert isinstance(death, RayActorError)
    assert not death.preempted, "it counts"
    assert str(death) == "the node was low on memory"
    assert len(manager._failed_actor_ids) == 1


def test_what_is_no_kill_for_memory_arrives_as_it_is(manager: Any) -> None:
    ray_compat.take_memory_kills_for_deaths()
    error = RayTaskError("train", "traceback", ValueError())
    assert failing_task(manager, error) == [error]


def test_ray_itself_still_ends_the_study_there(manager: Any) -> None:
    """Where this fails, Ray has learnt it, and `take_memory_kills_for_deaths` can go."""
    assert list(inspect.signature(ray_compat._task_failed).parameters) == ["self", "tracked_actor_task", "exception"]
    RayActorManager._actor_task_failed = ray_compat._task_failed
    with pytest.raises(RuntimeError, match="unexpected exception"):
        failing_task(manager, OutOfMemoryError("low on memory"))


@pytest.mark.parametrize("method", ["on_trial_add", "choose_trial_to_run"])
def test_the_order_has_the_methods_that_tune_calls_with_those_arguments(method: str) -> None:
    of_ray, ours = (getattr(kind, method) for kind in (FIFOScheduler, ray_compat.NewestTrialFirst))
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(of_ray).parameters)
    assert f"_scheduler_alg.{method}(" in inspect.getsource(TuneController)


def test_the_newest_trial_is_chosen_but_one_that_is_overdue_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(ray_compat.time, "monotonic", lambda: now)
    order = ray_compat.NewestTrialFirst(60)
    old, new = (Trial("study", stub=True) for _ in range(2))
    order.on_trial_add(None, old)
    now = 1.0
    order.on_trial_add(None, new)
    assert old.status == Trial.PENDING
    assert order.choose_trial_to_run(None) is new
    now = 60.5
    assert order.choose_trial_to_run(None) is old
    for trial in (old, new):
        trial.set_status(Trial.RUNNING)
    assert order.choose_trial_to_run(None) is None


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """One of Ray's, in a folder."""
    storage = SimpleNamespace(trial_driver_staging_path=str(tmp_path))
    one = Trial("study", stub=True, config={"trial": "x", "cpus": 1}, evaluated_params={"trial": "x"}, max_failures=1)
    one.storage = storage
    return one


def test_deaths_that_are_counted_anew_leave_a_trial_all_its_retries(trial: Trial) -> None:
    for _ in range(2):
        trial.handle_error(RayActorError())
    assert trial.num_failures == 2
    assert not trial.should_recover()
    ray_compat.count_deaths_anew(trial)
    assert trial.num_failures == 0
    assert trial.should_recover()


def test_what_a_worker_died_of_is_in_the_error_file(trial: Trial) -> None:
    trial.handle_error(RayActorError(error_msg="the node was low on memory"))
    assert ray_compat.last_error(trial).endswith("the node was low on memory")


def test_of_a_trial_that_ended_nothing_large_stays(trial: Trial) -> None:
    trial.experiment_tag = "1_trial=x"
    trial.update_last_result({"loss": 0.5, "training_iteration": 1})
    assert trial.metric_analysis["loss"]["last"] == 0.5
    assert trial.metric_n_steps["loss"]
    ray_compat.free_memory_of(trial)
    assert trial.config == {"cpus": 1}
    assert (trial.evaluated_params, trial.experiment_tag) == ({}, "")
    assert (trial.metric_analysis, trial.metric_n_steps) == ({}, {})


def test_only_versions_of_ray_that_were_checked_are_installed() -> None:
    """A new one is allowed by raising the bound in pyproject.toml once this file passes with it."""
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    bound = Requirement(re.search(r'"(ray\[.*?)"', project)[1])
    assert ray.__version__ in bound.specifier
    assert "<" in {one.operator for one in bound.specifier}

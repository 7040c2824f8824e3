"""One trial over several processes of a node: each makes and encodes its share of every batch, the first does the rest.

The caller's process only watches them: whatever becomes of one, the others end with it. They are processes of Python's
own, not workers of Ray Train, whose trainer in a Tune trial would need placement, session and storage of its own.
"""

import multiprocessing
import os
import pickle
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from study.storage.store import Checkpoints, TrialFolder
from study.storage.trial_result import TrialResult
from study.trial.probes.pruning import Pruned

if TYPE_CHECKING:
    from study.trial.trial import Trial

PEER_LOST = 3
"""Exit status of a rank that ended because another one was gone."""
GRACE = 60
"""Seconds that the first rank has to end by itself once another one has failed: of the same, for the most part."""
NEVER = timedelta(days=365)
"""How long a rank waits for another one: that it has died, the watching process sees."""


@dataclass(frozen=True)
class _Rank:
    """One of the processes, as it is started."""

    rank: int
    count: int
    meeting: str
    """a folder that all of them find one another in"""
    trial: bytes
    folder: TrialFolder
    gpu: bool
    threads: int
    cache: Path | None
    checkpoints: Checkpoints | None


def run_over_ranks(
    trial: bytes,
    folder: TrialFolder,
    *,
    ranks: int,
    gpus: bool = False,
    threads: int = 1,
    cache: Path | None = None,
    report: Callable[[int, dict[str, float]], None] | None = None,
    checkpoints: Checkpoints | None = None,
) -> TrialResult:
    """Run a pickled trial over that many processes: see `study.trial.run.run_trial`, which the first one runs.

    `gpus`: on a GPU each, otherwise on the CPU. `threads`: of all processes together. Raises ChildProcessError where
    one of them died; the trial then stays open, to be resumed from its last checkpoint.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="ranks-") as meeting:
        started: list[tuple[BaseProcess, Connection]] = []
        try:
            for rank in range(ranks):
                share = max(threads // ranks, 1)
                what = _Rank(rank, ranks, meeting, trial, folder, gpus, share, cache, checkpoints)
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_run, args=(what, there), daemon=True)
                process.start()
                there.close()
                started.append((process, here))
            return _outcome(started, folder, report)
        except Pruned as given_up:
            times = [*folder.times(), time.time()]
            pruned = TrialResult(status="pruned", reason=str(given_up), started=times[0], ended=max(times))
            folder.write_result(pruned)
            return pruned
        finally:
            for child, _ in started:
                child.kill()
            for child, here in started:
                child.join()
                here.close()


def _outcome(
    started: Sequence[tuple[BaseProcess, Connection]],
    folder: TrialFolder,
    report: Callable[[int, dict[str, float]], None] | None,
) -> TrialResult:
    """The first rank's result, or the failure of another one; ChildProcessError where one died."""
    left = {here: rank for rank, (_, here) in enumerate(started)}
    failure: TrialResult | None = None
    deadline: float | None = None
    while left and (deadline is None or time.monotonic() < deadline):
        for here in wait(list(left), None if deadline is None else max(deadline - time.monotonic(), 0)):
            assert isinstance(here, Connection)
            try:
                said = here.recv()
            except (EOFError, ConnectionResetError):
                rank = left.pop(here)
                _check_alive(rank, started[rank][0], failed=failure is not None)
                continue
            if isinstance(said, TrialResult) and left[here] == 0:
                return said
            if isinstance(said, TrialResult):
                failure, deadline = failure or said, time.monotonic() + GRACE
            elif report is not None:
                report(*said)
    if failure is None:
        raise ChildProcessError("the processes of the trial lost one another")
    folder.write_result(failure)
    return failure


def _check_alive(rank: int, process: BaseProcess, *, failed: bool) -> None:
    """Raise ChildProcessError unless that process, which has ended, had done its work, or said why not."""
    process.join()
    code = process.exitcode or 0
    if code in (0, PEER_LOST) or failed:
        return
    how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
    raise ChildProcessError(f"process {rank} of the trial {how}")


def _run(what: _Rank, pipe: Connection) -> None:
    """A rank's life."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    from models.ranks import PeerLost

    trial: Trial | None = None
    try:
        trial = pickle.loads(what.trial)
        pipe.send(_take_part(what, trial, pipe))
    except PeerLost:
        sys.exit(PEER_LOST)
    except Exception as error:
        pipe.send(_failure(error, what, trial))


def _end_with(parent: int) -> None:
    """End this process when its parent does, however that ends."""
    wait([parent])
    os._exit(PEER_LOST)


def _failure(error: Exception, what: _Rank, trial: "Trial | None") -> TrialResult:
    from study.machine.devices import memory_ran_out
    from study.trial.run import reason_of

    times = [*what.folder.times(), time.time()]
    reason = reason_of(error, trial) if trial else f"{type(error).__name__}: {error}"
    failure = TrialResult.failure(reason, started=times[0], ended=max(times))
    return replace(failure, trace=traceback.format_exc(), out_of_memory=memory_ran_out(error))


def _take_part(what: _Rank, trial: "Trial", pipe: Connection) -> TrialResult:
    """The trial's result, of the first rank; another one trains along, and is ended once there is a result."""
    import torch

    from study.machine.devices import check_usable, set_modes
    from study.machine.memory import keep_freed
    from study.trial import checkpoint
    from study.trial.run import run_trial
    from study.trial.training import Training

    keep_freed()
    torch.set_num_threads(what.threads)
    place = torch.device("cpu")
    if what.gpu:
        place = torch.device("cuda", what.rank)
        check_usable(place, f"gpus={what.count}")
        torch.cuda.set_device(place)
    _meet(what, "gloo" if place.type == "cpu" else "nccl")
    if what.rank == 0:

        def report(epoch: int, metrics: dict[str, float]) -> None:
            pipe.send((epoch, metrics))

        return run_trial(
            trial,
            what.folder,
            cache=what.cache,
            device=str(place),
            threads=what.threads,
            report=report,
            checkpoints=what.checkpoints,
            ranks=what.count,
        )
    set_modes(place)
    training = Training(trial, trial.parts.data.load(what.cache), place, ranks=what.count)
    checkpoint.share(training)
    while training.epoch < training.epochs:
        training.train_epoch()
    while True:
        time.sleep(GRACE)


def _meet(what: _Rank, backend: str) -> None:
    """Set up the group of the ranks, on the loopback of this machine."""
    import torch.distributed as dist

    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(f"{what.meeting}/store", what.count)
    dist.init_process_group(backend, store=store, rank=what.rank, world_size=what.count, timeout=NEVER)

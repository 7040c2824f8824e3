"""Two processes of a torch.distributed group, on the CPU, for tests of what ranks share."""

import multiprocessing
import os
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

RANKS = 2


class Pair:
    """Two ranks that call a module's function of these arguments; within the block they are at work."""

    def __init__(self, folder: Path, function: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for rank in range(RANKS):
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(rank, str(folder / "meeting"), there, function, *arguments))
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def __enter__(self) -> "Pair":
        return self

    def results(self) -> list[Any]:
        """Of both ranks: what the function returned, without tensors."""
        return [pipe.recv() for pipe in self._pipes]

    def __exit__(self, *error: Any) -> None:
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            process.kill()
            process.join()
            pipe.close()


def _run(rank: int, meeting: str, pipe: Connection, function: Callable[..., Any], *arguments: Any) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(meeting, RANKS)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=RANKS, timeout=timedelta(minutes=5))
    pipe.send(function(*arguments))

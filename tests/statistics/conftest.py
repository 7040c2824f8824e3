"""The statistical self-test: `make test-statistics` writes its table into docs/results/statistics.md.

Its tests may run side by side: each process hands its rows, with the place of their test, to the one that writes.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.statistics.measured import Measured, Row, write

ROWS = pytest.StashKey[list[tuple[int, Row]]]()
SECONDS = pytest.StashKey[float]()
"""Of processor time."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS], config.stash[SECONDS] = [], 0.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.statistics)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Iterator[Measured]:
    found = Measured()
    yield found
    place = request.session.items.index(request.node)
    request.config.stash[ROWS].extend((place, row) for row in found)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Of pytest-xdist, in the process that writes, once one that tests has ended."""
    if found := getattr(node, "workeroutput", {}).get("statistics"):
        node.config.stash[ROWS].extend((place, Row(*row)) for place, *row in found["rows"])
        node.config.stash[SECONDS] += found["seconds"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = session.config.stash[ROWS]
    seconds = session.config.stash[SECONDS] + time.process_time()
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["statistics"] = {"rows": [(place, *row) for place, row in rows], "seconds": seconds}
        return
    ordered = [row for _, row in sorted(rows, key=lambda of: of[0])]
    if ordered and (page := os.environ.get("STATISTICS")):
        write(ordered, seconds, Path(page))
    else:
        print(*ordered, sep="\n")

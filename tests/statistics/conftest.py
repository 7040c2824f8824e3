"""The statistical self-test: `make test-statistics` writes its table into docs/results/statistics.md."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.statistics.measured import Measured


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.statistics)


@pytest.fixture(scope="session")
def measured() -> Iterator[Measured]:
    found = Measured()
    yield found
    for row in found:
        print(row)
    if page := os.environ.get("STATISTICS"):
        found.write(Path(page))

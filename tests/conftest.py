"""Number formats as a dimension of the tests: what trains or encodes is tested in each, whatever the CPU has."""

import pytest


@pytest.fixture(params=["float32", "bfloat16"])
def each_precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `precision: auto` is in this test, in the workers that it starts too."""
    monkeypatch.setenv("STUDY_BFLOAT16", "1" if request.param == "bfloat16" else "0")
    return request.param

"""A result is read from what earlier versions wrote, and written as they wrote it."""

import json
from pathlib import Path

import pytest

from study.storage.store import Store
from study.storage.trial_result import TrialResult

STORED = Path(__file__).parents[1] / "end_to_end" / "begun_before" / "begun-before" / "79ffd9e4b719" / "result.json"
FAILED = {"status": "failed", "reason": "the loss is nan", "metrics": {}, "started": 1.0, "ended": 4.0}
ERROR = {"status": "failed", "reason": "full", "metrics": {}, "started": 1.0, "trace": "…", "out_of_memory": True,
         "ended": 4.0, "environment": {"device": "cpu"}}  # fmt: skip
SHORT = {"status": "finished", "reason": None, "metrics": {"train.k": 8.0}, "started": 1.0, "seconds": 0.0,
         "data": {"name": "shapes"}, "skipped": {}, "ended": 4.0, "environment": {"device": "cpu"}}  # fmt: skip


@pytest.mark.parametrize("stored", [STORED.read_text(), *(json.dumps(c, indent=1) for c in (FAILED, ERROR, SHORT))])
def test_a_stored_result_is_read_and_written_to_the_byte(stored: str, tmp_path: Path) -> None:
    folder = Store.of("s", tmp_path).trial("a")
    folder.path.mkdir(parents=True)
    (folder.path / "result.json").write_text(stored)
    result = folder.result()
    assert result is not None
    folder.write_result(result)
    assert (folder.path / "result.json").read_text() == stored


def test_what_a_stored_result_lacks_is_empty_and_what_is_unknown_is_passed_over() -> None:
    result = TrialResult.from_plain({"status": "finished", "started": 3.0, "later": 1})
    assert result == TrialResult(status="finished", started=3.0, ended=3.0)


def test_the_work_of_a_failure_lasted_from_its_start_to_its_end() -> None:
    assert TrialResult.failure("x", started=1.0, ended=4.0).duration == 3.0
    assert TrialResult(status="finished", started=1.0, ended=9.0, seconds=2.0).duration == 2.0

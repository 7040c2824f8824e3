"""A cell that lags is given up by the median rule, keeps its state, and can go on to the numbers it would have had."""

from pathlib import Path

import pytest

from study import TrialConfig
from study.planning.resolve import resolve
from study.storage.store import Store, TrialFolder
from study.storage.trial_result import TrialResult
from study.trial.probes.pruning import BY, Pruning, lags
from study.trial.run import run_trial
from tests.conftest import undrawn
from tests.trial.probes.test_quick import WATCHED
from tests.trial.test_run import exact

FINISHED = [{2: 1.0, 4: value} for value in (10.0, 20.0, 30.0, 40.0, 50.0)]
"""Their median at epoch 4 is 30."""


@pytest.mark.parametrize(
    ("own", "finished", "spared", "expected"),
    [
        ({4: 29.9}, FINISHED, 0, True),
        ({4: 30.0}, FINISHED, 0, False),
        ({2: 30.0, 4: 5.0}, FINISHED, 0, False),  # the best so far counts
        ({4: 29.9}, FINISHED[1:], 0, False),  # too few to tell
        ({4: 29.9}, FINISHED, 4, False),  # it is too early to tell
        ({4: 29.9}, FINISHED, 3, True),
        ({2: 0.9}, FINISHED, 0, True),
        ({3: 0.0}, FINISHED, 0, False),  # nobody was measured then
    ],
)
def test_a_curve_lags_if_its_best_is_below_the_median_of_the_finished_ones(
    own: dict[int, float], finished: list[dict[int, float]], spared: int, expected: bool
) -> None:
    assert lags(own, finished, spared=spared) is expected


def others(store: Store, accuracy: float) -> tuple[TrialFolder, ...]:
    """Five finished trials, of that accuracy at every epoch."""
    found = tuple(store.trial(f"other{i}") for i in range(5))
    for folder in found:
        for epoch in range(1, 6):
            folder.append({"epoch": epoch, "time": 0.0, "metrics": {BY: accuracy}})
        folder.write_result(TrialResult(status="finished", started=0, ended=1))
    return found


def test_a_pruned_trial_keeps_its_state_and_goes_on_to_the_numbers_of_one_that_was_not(tmp_path: Path) -> None:
    store, seen = Store.of("s", tmp_path), list[int]()
    trial = undrawn(resolve(TrialConfig(**WATCHED)))

    def report(epoch: int, metrics: dict[str, float]) -> None:
        seen.append(epoch)

    folder = store.trial(trial.id)
    pruning = Pruning(folder, (*others(store, 101.0), folder), 5, report)
    pruned = run_trial(trial, folder, threads=1, report=pruning)
    assert pruned.status == folder.status() == "pruned"
    assert not pruned.finished
    assert (pruned.reason or "").startswith(f"pruned at epoch 2 of 5: {BY} was ")
    assert "less than the median of 5 cells" in (pruned.reason or "")
    assert seen == [1, 2]
    assert folder.checkpoints()
    folder.reset()
    done = run_trial(trial, folder, threads=1, report=report)
    whole = run_trial(trial, store.trial("whole"), threads=1)
    assert done.status == "finished", done.reason
    assert seen == [1, 2, 3, 4, 5]
    assert exact(done.metrics) == exact(whole.metrics)


def test_a_trial_that_is_ahead_is_not_pruned(tmp_path: Path) -> None:
    store, trial = Store.of("s", tmp_path), undrawn(resolve(TrialConfig(**WATCHED)))
    folder = store.trial(trial.id)
    pruning = Pruning(folder, others(store, 0.0), 5, lambda epoch, metrics: None)
    assert run_trial(trial, folder, threads=1, report=pruning).finished

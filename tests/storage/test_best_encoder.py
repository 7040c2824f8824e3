from pathlib import Path

import pytest

from study.storage.best_encoder import BestEncoder
from study.storage.store import Store, TrialFolder
from study.storage.trial_result import TrialResult


def finished(store: Store, name: str, **metrics: float) -> tuple[TrialFolder, TrialResult]:
    folder = store.trial(name)
    result = TrialResult(
        status="finished", started=0, ended=1, metrics={n.replace("_", "."): v for n, v in metrics.items()}
    )
    folder.write_config({})
    folder.encoder.write_bytes(b"weights")
    folder.write_result(result)
    return folder, result


def kept(store: Store) -> str:
    return "".join(sorted(folder.id for folder in store.trials() if folder.encoder.exists()))


@pytest.mark.parametrize(("direction", "best"), [("max", "b"), ("min", "c")])
def test_the_encoder_of_the_best_trial_so_far_is_kept(tmp_path: Path, direction: str, best: str) -> None:
    store = Store(tmp_path)
    keeper = BestEncoder(store, "train.loss", direction, drop_earlier=True)
    for name, value in (("a", 2.0), ("b", 3.0), ("c", 1.0), ("d", float("nan"))):
        keeper.offer(*finished(store, name, train_loss=value))
        assert len(kept(store)) == 1
    assert kept(store) == best


@pytest.mark.parametrize(("drop_earlier", "left"), [(True, "c"), (False, "abc")])
def test_earlier_encoders_go_only_where_that_was_asked_for(tmp_path: Path, drop_earlier: bool, left: str) -> None:
    store = Store(tmp_path)
    finished(store, "a", train_loss=2.0)
    finished(store, "b", train_loss=3.0)
    keeper = BestEncoder(store, "train.loss", "max", drop_earlier=drop_earlier)
    for name, value in (("c", 4.0), ("d", 3.5)):
        keeper.offer(*finished(store, name, train_loss=value))
    assert kept(store) == left


def test_an_earlier_encoder_that_is_better_is_not_lost(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finished(store, "a", train_loss=9.0)
    keeper = BestEncoder(store, "train.loss", "max", drop_earlier=False)
    keeper.offer(*finished(store, "b", train_loss=8.0))
    assert kept(store) == "a"

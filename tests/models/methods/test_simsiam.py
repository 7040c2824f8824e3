"""SimSiam's collapse, as its authors look at it: the spread of the embeddings."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.augment import NoAugmentation
from study import TrialConfig
from study.planning.resolve import resolve
from study.trial.training import Training

SMALL: dict[str, Any] = {
    "data": {"name": "shapes", "train_size": 500, "test_size": 500},
    "encoder": {"name": "conv-small", "width": 16},
    "method": "simsiam",
    "batch_size": 64,
    "epochs": 4,
    "evaluations": [],
}


def spread(head: dict[str, Any], precision: Any, cache: Path) -> float:
    """Mean standard deviation of the unit embeddings' coordinates times √D, after 28 steps: 1 on a sphere, 0 collapsed.

    Source: Chen & He 2020, 2011.10566, §4.1.
    """
    trial = resolve(TrialConfig(**SMALL, head={"name": "mlp", **head}, precision=precision))
    data = trial.parts.data.load(cache)
    training = Training(trial, data, torch.device("cpu"))
    for _ in range(4):
        training.train_epoch()
    with torch.no_grad():
        z = training.learner.eval().project(NoAugmentation()(torch.from_numpy(data.test.inputs.copy())))
    return float(z.std(dim=0).mean() * z.shape[1] ** 0.5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_batch_norm_at_the_heads_output_spreads_the_embeddings_over_the_sphere(
    precision: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_BFLOAT16", "1")
    published, without = (spread(head, precision, cache) for head in ({}, {"batch_norm": "none"}))
    assert published > 0.95
    assert without < 0.7

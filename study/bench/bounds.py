"""Cost of the bounds: every K from one pass of cached embeddings, against encoding the test split again for each K."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from study.bounds.estimate import estimate_bounds
from study.config import TrialConfig
from study.machine.devices import synchronise
from study.planning.resolve import resolve
from study.trial.encode import represent
from study.trial.training import Training

SAMPLES, VIEWS = 10_000, 10
KS = (32, 64, 128, 256, 512, 1024, 2048, 4096)


def bench_bounds(device: torch.device) -> dict[str, Any]:
    """Seconds of one encoding of the test split in all views, and of the estimate for all K; their ratio with one
    encoding for each K."""
    data = {"name": "shapes", "train_size": 256, "test_size": SAMPLES}
    trial = resolve(TrialConfig(data=data, encoder="conv-small", evaluation_views=VIEWS, batch_size=128, epochs=1))
    with tempfile.TemporaryDirectory() as cache:
        work = Training(trial, trial.parts.data.load(Path(cache)), device)
        synchronise(device)
        started = time.perf_counter()
        views = torch.stack(
            [torch.cat([z.cpu() for _, z in represent(work, work.test, view=view)]) for view in range(VIEWS)]
        ).numpy()
        encoding = time.perf_counter() - started
        labels = np.asarray(work.data.test.labels)
    started = time.perf_counter()
    estimate_bounds(views, labels, KS, temperature=0.5, generator=np.random.default_rng(0))
    estimating = time.perf_counter() - started
    return {
        "estimate_all_k_s": estimating,
        "encode_once_s": encoding,
        "ratio_to_encoding_for_each_k": estimating / (len(KS) * encoding),
        "test_samples": SAMPLES,
        "views": VIEWS,
        "embedding_dim": views.shape[2],
        "ks": KS,
    }

"""The linear probe on the untrained encoder: the floor of each data set that the trained one is probed on."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from study.data.cache import cache_root, check_cache
from study.evaluation.classifier import transfer_name
from study.evaluation.linear import Linear
from study.storage.store import write_atomically
from study.trial.encode import AFTER_TRAINING
from study.trial.probes.frozen import Seen, own, second
from study.trial.streams import Stream, generator, layers_draw
from study.trial.training import Training


def floors(training: Training, cache: Path | None) -> dict[str, float]:
    """`linear.floor.*`, and the same of each second data set; shared by trials that differ elsewhere.

    To be called before the first step; nothing where no linear probe is asked for or the data has no labels.
    """
    parts = training.trial.parts
    if not isinstance(parts.evaluations.get("linear"), Linear):
        return {}
    labelled = training.train.labels is not None and training.test.labels is not None
    found = _floor(training, cache, [], partial(own, training)) if labelled else {}
    for name, source in parts.transfer.items():
        of = _floor(training, cache, [source.load(cache).digest], partial(second, training, source, cache))
        found |= {transfer_name(metric, name): value for metric, value in of.items()}
    return found


def _floor(training: Training, cache: Path | None, further: Sequence[str], see: Callable[[], Seen]) -> dict[str, float]:
    """From the cache, else measured; `further`: all that it depends on beside the encoder, the probe and the data."""
    identity = {name: training.trial.identity[name] for name in ("data", "encoder", "evaluations", "seed")}
    conditions: list[Any] = [training.data.digest, training.precision, training.device.type, *further]
    key = json.dumps([identity, *conditions], sort_keys=True)
    path = (cache or cache_root()) / "floors" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    if not path.exists():
        check_cache(path.parent)
        probe = training.trial.parts.evaluations["linear"]
        assert isinstance(probe, Linear)
        training.part = "evaluating linear on the untrained encoder"
        with layers_draw(training.device, training.seed, *AFTER_TRAINING):
            rows = see().features(training)
        draw = generator("cpu", training.seed, Stream.EVALUATION)
        write_atomically(path, json.dumps(probe.classify("linear.floor", rows, generator=draw).metrics))
    return dict(json.loads(path.read_text()))
